"""Which files of a folder are one model: a table of layouts, what inspect and analyze say of each.

Layers of two experts each stand for a model; a layout is (files, expect, fragment of stderr):
files: name -> the numbers of the layers in it, bytes, a text, or a JSON value;
expect: the exit code of analyze (inspect: 3 where analyze ends with 1 for a shard that is missing).
"""

import json
import unittest

import numpy as np
import safetensors.numpy

from support import AcceptanceTest, run

SIZE, EXPERTS = 64, 2


def layer(number, name="model.layers.{}.mlp.experts.{}.{}.weight", size=SIZE):
    """The experts' matrices of one layer."""
    rng = np.random.default_rng(number)
    return {name.format(number, expert, proj): rng.standard_normal((size, size)).astype(np.float32)
            for expert in range(EXPERTS) for proj in ("gate_proj", "up_proj", "down_proj")}


def layers(*numbers, **options):
    return {name: tensor for n in numbers for name, tensor in layer(n, **options).items()}


def stacks(*numbers):
    """The same layers as MLX names them."""
    return {f"model.layers.{n}.mlp.switch_mlp.{proj}.weight": np.stack(
        [layer(n)[f"model.layers.{n}.mlp.experts.{e}.{proj}.weight"] for e in range(EXPERTS)])
        for n in numbers for proj in ("gate_proj", "up_proj", "down_proj")}


def index(shards):
    """An index of shards: name -> the layers in it."""
    return {"weight_map": {name: shard for shard, numbers in shards.items()
                           for name in layers(*numbers)}}


def config(count, **more):
    return {"model_type": "qwen3_moe", "num_experts": EXPERTS, "num_hidden_layers": count,
            "hidden_size": SIZE, "moe_intermediate_size": SIZE, **more}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, tuple):
        content = layers(*content)
    arrays = isinstance(content, dict) and all(isinstance(x, np.ndarray) for x in content.values())
    if path.suffix == ".npz":
        np.savez(path, **content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif arrays:
        safetensors.numpy.save_file(content, path)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))


INDEX = "model.safetensors.index.json"
FOO = {"model_type": "foo"}  # a config that promises nothing
TWO = {"w1.safetensors": (0,), "w2.safetensors": (1,)}
LOST = "1 of 2 shards is missing: w2.safetensors, 6 tensors"


def below(folder, files):
    return {f"{folder}/{name}": content for name, content in files.items()}


INDEX_BELOW = {
    "is obeyed under a config": ({"config.json": FOO, **below("a", {**TWO, INDEX: index(TWO)})},
                                 0, ""),
    "misses a shard under a config": ({"config.json": FOO, **below("a", {
        "w1.safetensors": (0,), INDEX: index(TWO)})}, 1, LOST),
    "leaves out what it does not list": ({"config.json": FOO, **below("a", {
        **TWO, "old.safetensors": (0, 5), INDEX: index(TWO)})}, 0, "old.safetensors"),
    "beside other weights": ({**below("a", {**TWO, INDEX: index(TWO)}),
                              "b/x.safetensors": (5,)}, 1, "holds 2 models: a, b/x.safetensors"),
    "folders without a config": ({"hf/model.safetensors": (0,), "mlx/model.safetensors": (1,)},
                                 1, "holds 2 models: hf/model.safetensors, mlx/model"),
    "numbered folders": ({"l-0/w.safetensors": (0,), "l-1/w.safetensors": (1,)}, 0, ""),
}

OTHER_FILES = {
    "all that the index lists": ({"model.safetensors": (0, 1), INDEX: index(TWO)}, 0,
                                 "none of the 2 shards"),
    "a part of what the index lists": ({"model.safetensors": (0,), INDEX: index(TWO)}, 3,
                                       "(the index)"),
    "the index is of files of another kind": ({"model.safetensors": (0,), INDEX: index(
        {"model.bin": (0, 1)})}, 3, "(the index)"),
    "stacks instead of experts": ({"model.safetensors": stacks(0, 1), INDEX: index(TWO)}, 0,
                                  "none of the 2 shards"),
}

TWO_FP16 = {"w1.fp16.safetensors": (0,), "w2.fp16.safetensors": (1,)}
FP16 = "model.safetensors.index.fp16.json"
SEVERAL_INDEXES = {
    "with a variant's name": ({**TWO_FP16, FP16: index(TWO_FP16)}, 0, ""),
    "with a variant's name, a shard is missing": (
        {"w1.fp16.safetensors": (0,), FP16: index(TWO_FP16)}, 1, "w2.fp16.safetensors, 6 tensors"),
    "the usual one decides": ({**TWO, **TWO_FP16, INDEX: index(TWO), FP16: index(TWO_FP16)}, 0,
                              "w1.fp16.safetensors"),
    "none is the usual one": ({**TWO, **TWO_FP16, "a.safetensors.index.json": index(TWO),
                               FP16: index(TWO_FP16)}, 1, "holds 2 models: a.safetensors.index"),
}


NUMBERED = {
    "a gap": ({"weights.00.safetensors": (0,), "weights.02.safetensors": (2,)}, 1,
              "1 of 3 shards is missing: weights.01.safetensors"),
    "the first is lost": ({"model-00002.npz": (1,), "model-00003.npz": (2,)}, 1,
                          "1 of 3 shards is missing: model-00001.npz"),
    "a layer is not there": ({"layer_0.safetensors": (0,), "layer_1.safetensors": (1,),
                              "layer_3.safetensors": (3,)}, 3, "layer_2.safetensors"),
    "whole": ({"weights.00.safetensors": (0,), "weights.01.safetensors": (1,)}, 0, ""),
    "numbers of other things": ({"model-4bit.safetensors": (0,), "model-16bit.safetensors": (1,)},
                                0, ""),
    "capital letters": ({"MODEL-00001-OF-00002.safetensors": (0,)}, 1,
                        "1 of 2 shards is missing: MODEL-00002-OF-00002.safetensors"),
    "a part beyond the count": ({f"m-{k}-of-2.safetensors": (k,) for k in (1, 2, 3)}, 3,
                                "m-3-of-2.safetensors is a part beyond"),
    "capital suffixes": ({"MODEL-00001-OF-00002.SAFETENSORS": (0,),
                          "MODEL-00002-OF-00002.SAFETENSORS": (1,)}, 0, ""),
}

PARTS = {"m-00001-of-00002.safetensors": (0,), "m-00002-of-00002.safetensors": (1,)}
ONE_PART = {"m-00001-of-00002.safetensors": (0,)}
INDEX_AGAINST_NAMES = {
    "a part is neither listed nor there": ({**ONE_PART, INDEX: index(ONE_PART)}, 3,
                                           "does not list: m-00002-of-00002.safetensors"),
    "a part is there and not listed": ({**PARTS, INDEX: index(ONE_PART)}, 3,
                                       "does not list: m-00002-of-00002.safetensors"),
    "all are listed": ({**PARTS, INDEX: index(PARTS)}, 0, ""),
}

CONFIGS = {name: ({"model.safetensors": (0, 1), "config.json": text}, 3, "config not read")
           for name, text in {"cut off": '{"num_experts": 2,', "empty": "", "a list": "[]",
                              "UTF-16": json.dumps(config(2)).encode("utf-16")}.items()}
CONFIGS["whole"] = ({"model.safetensors": (0, 1), "config.json": config(2)}, 0, "")

SEVERAL_MODELS = {
    "experts and stacks": ({"a.safetensors": (0, 1), "b.safetensors": stacks(0, 1)}, 1,
                           "holds 2 models: a.safetensors, b.safetensors"),
    "other sizes": ({"a.safetensors": (0, 1), "b.safetensors": layers(2, 3, size=128)}, 1,
                    "holds 2 models: a.safetensors, b.safetensors"),
    "sets of other counts": ({**PARTS, "m-00001-of-00001.safetensors": (2,)}, 1,
                             "holds 2 models: m-*-of-00001.safetensors, m-*-of-00002.safetensors"),
    "layers": ({"a.safetensors": (0, 1), "b.safetensors": (2, 3)}, 0, ""),
    "another container beside": ({"a.safetensors": (0,), "b.npz": (1,)}, 0,
                                 "not read beside the .safetensors files: b.npz"),
}


KOHYA = {"model.layers.0.mlp.experts.0.up_proj." + part: np.ones((4, 4), np.float32)
         for part in ("lora_down.weight", "lora_up.weight", "alpha")}
ADAPTERS = {
    "Kohya's beside a model": ({"model.safetensors": (0, 1), "style.safetensors": KOHYA}, 0, ""),
    "in a folder beside the model's": ({**below("base", {**TWO, INDEX: index(TWO)}),
                                        "lora/adapter_model.safetensors": KOHYA}, 0, ""),
    "and the model lacks a shard": ({**below("base", {"w1.safetensors": (0,), INDEX: index(TWO)}),
                                     "lora/adapter_model.safetensors": KOHYA}, 1, LOST),
    "and the model lacks a layer": ({**below("base", {"model.safetensors": (0,),
                                                      "config.json": config(2)}),
                                     "lora/adapter_model.safetensors": KOHYA}, 3, "is missing"),
}

HUB = below(".cache/huggingface/download", {"b.safetensors.x.incomplete": b"x"})
WHOLE = {
    "an index lists all, a download was left": ({**TWO, INDEX: index(TWO), **HUB}, 0, ""),
    "a config promises what is there, a download was left": (
        {"a.safetensors": (0, 1), "config.json": config(2), **HUB}, 0, "b.safetensors.x.incomplete"),
    "a config promises more": ({"a.safetensors": (0,), "config.json": config(2), **HUB}, 3, "[scan]"),
    "a browser's download was left": ({"a.safetensors": (0, 1), "config.json": config(2),
                                       "b.safetensors.crdownload": b"x"}, 0, "b.safetensors.crdown"),
    "numbers of something else": ({"step-100-of-5000.safetensors": (0, 1),
                                   "config.json": config(2)}, 0, "one of 5000 parts, but all"),
    "numbers of layers": ({"layers-1of48.safetensors": (0,), "config.json": config(1)}, 0,
                          "one of 48 parts, but all"),
    "a part": ({"step-1-of-2.safetensors": (0,), "config.json": config(2)}, 1,
               "1 of 2 shards is missing: step-2-of-2.safetensors"),
    "a part, and no config": ({"best-of-2-of-3.safetensors": (0, 1)}, 1, "2 of 3 shards"),
    "a part as tools name it": ({"m-00001-of-00002.safetensors": (0, 1), "config.json": config(2)},
                                1, "1 of 2 shards is missing"),
    "shards with names of another set": ({"m-1-of-3.safetensors": (0, 1), "config.json": config(2),
                                          INDEX: index({"m-1-of-3.safetensors": (0, 1)})}, 0,
                                         "does not list: m-2-of-3.safetensors"),
}

TENSORLESS = (8).to_bytes(8, "little") + b"{}      "
MOMENTS = {f"exp_avg.{name}": tensor for name, tensor in layer(0).items()}
LEFT = {
    "an optimizer's": ({"model.safetensors": (0, 1), "config.json": config(2),
                        "optimizer.safetensors": MOMENTS}, 0, ""),
    "an optimizer's in parts": ({"model.safetensors": (0, 1),
                                 "optimizer-00001-of-00002.safetensors": MOMENTS}, 0, ""),
    "a model called after one": ({"optimizer-merge.safetensors": (0, 1)}, 0, ""),
}

INCOMPLETE = {
    "a part without a tensor": ({"m-1-of-2.safetensors": (0,), "m-2-of-2.safetensors": TENSORLESS},
                                3, "files without a tensor (1): m-2-of-2.safetensors"),
    "a file without a tensor, all is there": ({"a.safetensors": (0, 1), "config.json": config(2),
                                               "b.safetensors": TENSORLESS}, 0, "b.safetensors"),
    "an unfinished download beside": ({"a.safetensors": (0,), "b.safetensors.crdownload": b"x"}, 3,
                                      "b.safetensors.crdownload"),
    "one of hf download --local-dir": ({"a.safetensors": (0,), **HUB}, 3,
                                       "unfinished downloads: b.safetensors.x.incomplete"),
    "of a file that is there": ({"a.safetensors": (0,), "a.safetensors.crdownload": b"x"}, 0, ""),
    "a listed tensor is in no shard": ({**TWO, INDEX: {"weight_map": {
        **index(TWO)["weight_map"], "lm_head.weight": "w2.safetensors"}}}, 3, "lm_head.weight"),
    "a listed shard is of no kind that is read": ({"w1.safetensors": (0,), INDEX: index(
        {"w1.safetensors": (0,), "w2.bin": (1,)})}, 3, "not read: w2.bin"),
}


class WhichFiles(AcceptanceTest):
    def told(self, model, expect, fragment):
        """What analyze says of `model`; inspect says the same, and ends alike."""
        done = run("analyze", model, "--out", self.tmp / "out", "--model-id", "m", "--run-name",
                   f"r{len(list(self.tmp.glob('out/m/*')))}", "--schemes", "q4", "--no-report", "-v")
        self.assertEqual(done.returncode, expect, done.stderr + done.stdout)
        self.assertIn(fragment, done.stderr)
        seen = run("inspect", model)
        ends = (1, 3) if done.returncode == 1 else (done.returncode,)
        self.assertIn(seen.returncode, ends, seen.stderr + seen.stdout)
        return done

    def layouts(self, table):
        for number, (name, (files, expect, fragment)) in enumerate(table.items()):
            with self.subTest(name):
                folder = self.tmp / str(number)
                for file, content in files.items():
                    write(folder / file, content)
                self.told(folder, expect, fragment)

    def test_an_index_below_the_folder_given(self):
        self.layouts(INDEX_BELOW)

    def test_an_index_of_which_no_shard_is_there(self):
        self.layouts(OTHER_FILES)

    def test_indexes_of_variants(self):
        self.layouts(SEVERAL_INDEXES)

    def test_numbers_in_names(self):
        self.layouts(NUMBERED)

    def test_an_index_against_the_names_of_its_shards(self):
        self.layouts(INDEX_AGAINST_NAMES)

    def test_a_config_that_can_not_be_read(self):
        self.layouts(CONFIGS)

    def test_several_models(self):
        self.layouts(SEVERAL_MODELS)

    def test_adapters_beside_a_model(self):
        self.layouts(ADAPTERS)

    def test_doubts_that_config_or_index_settle(self):
        self.layouts(WHOLE)

    def test_what_is_left_out_by_name(self):
        self.layouts(LEFT)

    def test_what_is_not_whole(self):
        self.layouts(INCOMPLETE)

    def test_where_no_file_can_be_read_nothing_is_kept(self):
        write(self.tmp / "m/model.safetensors", b"abc")
        out = self.tmp / "out"
        done = run("analyze", self.tmp / "m", "--out", out, "--keep-going", "--no-report")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("none of its files can be read", done.stderr)
        self.assertEqual(list(out.rglob("*.parquet")), [])

    def test_max_files_is_told(self):
        for path, layout in TWO.items():
            write(self.tmp / "m" / path, layout)
        run_dir = self.run_dir(self.tmp / "m", lambda config: config["scan"].update(max_files=1))
        self.collect(run_dir)
        self.assertIn("[scan] max_files: 1 of 2 files are read",
                      list(self.table(run_dir, "warnings", "logs").warning))

    def test_a_share_that_is_not_whole_does_not_read_so(self):
        tensors = layers(0, 1)
        name = "model.layers.1.mlp.experts.1.up_proj.weight"
        tensors[name] = tensors[name][0, :1]
        write(self.tmp / "m/model.safetensors", tensors)
        self.assertNotIn("100.00 %", self.told(self.tmp / "m", 3, "[coverage]").stderr)

    def test_a_part_that_is_given_is_not_the_model(self):
        for name, file, content in (("listed", "w1.safetensors", {**TWO, INDEX: index(TWO)}),
                                    ("named", "m-00001-of-00002.safetensors", PARTS),
                                    ("alone", "m-00001-of-00002.safetensors", ONE_PART)):
            for path, layout in content.items():
                write(self.tmp / name / path, layout)
            self.told(self.tmp / name / file, 3, file + " is one part of a model")
        write(self.tmp / "all" / "w1.safetensors", (0, 1))
        write(self.tmp / "all" / INDEX, index({"w1.safetensors": (0, 1)}))
        self.told(self.tmp / "all/w1.safetensors", 0, "")

    def test_links_to_nothing_that_describe_the_model(self):
        for name in ("config.json", INDEX):
            with self.subTest(name):
                folder = self.tmp / name
                write(folder / "w1.safetensors", (0,))
                (folder / name).symlink_to("../../blobs/gone")
                self.told(folder, 1, "links to nothing: " + name)
                done = run("analyze", folder, "--out", self.tmp / "kept", "--model-id", name,
                           "--no-report", "--schemes", "q4", "--keep-going")
                self.assertEqual(done.returncode, 3, done.stderr)

    def test_an_index_that_is_given_decides(self):
        for file, content in {**TWO, **TWO_FP16, INDEX: index(TWO), FP16: index(TWO_FP16)}.items():
            write(self.tmp / "m" / file, content)
        done = run("inspect", self.tmp / "m" / FP16, "--json")
        self.assertEqual(json.loads(done.stdout)["model"], str((self.tmp / "m" / FP16).resolve()))
        (self.tmp / "m/w2.fp16.safetensors").unlink()
        self.told(self.tmp / "m" / FP16, 1, "1 of 2 shards is missing: w2.fp16.safetensors")
        self.told(self.tmp / "m" / INDEX, 0, "")


if __name__ == "__main__":
    unittest.main()
