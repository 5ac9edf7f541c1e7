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
