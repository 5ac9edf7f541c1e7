"""`moescope export`: what the real mlx-lm makes of its files (exit codes and contents without it, too)."""

import importlib.util
import json
import os
import subprocess
import sys
import unittest

from support import DATA, AcceptanceTest, run

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
HAS_MLX_LM = importlib.util.find_spec("mlx_lm") is not None
if HAS_MLX_LM:
    import contextlib
    import io

    import mlx.core as mx
    from mlx_lm.utils import load_model
    from tiny_models import (FAMILIES, MORE, REFUSED, ZOO, quantizable_modules, record, record_refused, source_of,
                             tensors_in, write_checkpoint, zoo_checkpoint)

FLOAT = "float"
SCHEMES = [{"mode": mode, "bits": bits, "group_size": group} for mode, bits, group in [
    ("affine", 4, 64), ("mxfp4", 4, 32), ("nvfp4", 4, 16), ("affine", 3, 32), ("mxfp8", 8, 32), ("affine", 6, 64),
    ("affine", 2, 128), ("affine", 8, 64), ("affine", 5, 32)]] + [FLOAT]
BLOCKS = ["qwen3_moe", "deepseek_v3", "gpt_oss", "qwen3_5_moe"]  # whose config block is tried, too
EIGHT_BITS = {"mode": "affine", "bits": 8, "group_size": 64}


def weights_of(shape):
    count = 1
    for size in shape:
        count *= size
    return count


def bytes_of(shape, scheme, float_bits=16):
    """As MLX's file has them, by hand."""
    n = weights_of(shape)
    if scheme == FLOAT:
        return float_bits // 8 * n
    of_group = float_bits // 4 if scheme["mode"] == "affine" else 1  # scale and bias, or a scale
    return n * scheme["bits"] // 8 + n // scheme["group_size"] * of_group


def recipe_of(modules, model_type="qwen3_moe"):
    """modules: path -> (shape, scheme). A recipe whose units are one module each."""
    units = [{"role": "*", "layer": None, "proj": "*", "weights": weights_of(shape), "chosen_by": "budget",
              "chosen": {"scheme": scheme, "bytes": bytes_of(shape, scheme), "cost": None},
              "cost_terms": {}, "alternatives": [], "modules": [{"mlx": path, "hf": path, "shape": shape}]}
             for path, (shape, scheme) in modules.items()]
    return {"schema_version": 1, "made_by": "a test",
            "model": {"fingerprint": "", "model_type": model_type, "family": "", "dtype": "bfloat16"},
            "objective": {"name": "none", "value": 0, "reference": None, "reference_value": None},
            "budget": {"kind": "bits", "value": "4", "bytes": None, "cost": None}, "unit": "layer-proj",
            "floors": [], "pins": [], "keep": [], "units": units,
            "coverage": {"matrices": 0, "measured": 0, "source_bytes": 0, "untouched_bytes": 0,
                         "bytes": sum(unit["chosen"]["bytes"] for unit in units), "quantized_weights": 0,
                         "bits_per_weight": None},
            "not_known": []}


SAMPLE = {"model.layers.0.mlp.switch_mlp.up_proj": ([4, 64, 96], {"mode": "mxfp4", "bits": 4, "group_size": 32}),
          "model.layers.0.mlp.gate": ([4, 128], EIGHT_BITS), "lm_head": ([100, 128], FLOAT)}


class Export(AcceptanceTest):
    def write(self, recipe, name="recipe.json"):
        path = self.tmp / name
        path.write_text(recipe if isinstance(recipe, str) else json.dumps(recipe))
        return path

    def export(self, recipe, to, out):
        done = run("export", self.write(recipe), "--to", to, "-o", self.tmp / out)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.tmp / out

    def test_config_block_has_every_module_twice(self):
        block = json.loads(self.export(recipe_of(SAMPLE), "mlx-config", "block.json").read_text())
        self.assertEqual(block["quantization"], {
            "group_size": 32, "bits": 4, "mode": "mxfp4",
            "model.layers.0.mlp.switch_mlp.up_proj": {"group_size": 32, "bits": 4, "mode": "mxfp4"},
            "model.layers.0.mlp.gate": {"group_size": 64, "bits": 8, "mode": "affine"}, "lm_head": False})
        self.assertEqual(block["quantization_config"], block["quantization"])

    def test_python_file_needs_nothing_to_be_imported_and_says_how_to_run_it(self):
        path = self.export(recipe_of(SAMPLE), "mlx-lm", "convert.py")
        code = ("import convert, json; print(json.dumps([convert.predicate(p, None) for p in "
                "('lm_head', 'model.layers.0.mlp.switch_mlp.up_proj', 'other')]))")
        done = subprocess.run([sys.executable, "-S", "-B", "-c", code], cwd=self.tmp, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout), [False, {"group_size": 32, "bits": 4, "mode": "mxfp4"},
                                                   False])
        for arguments in ([], ["model"], ["--help"]):
            done = subprocess.run([sys.executable, "-B", path, *arguments], capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn("MODEL OUT (MODEL: a checkpoint of qwen3_moe", done.stderr)

    def test_json_output(self):
        done = run("export", self.write(recipe_of(SAMPLE)), "--to", "mlx-config", "-o", self.tmp / "a", "--json")
        self.assertEqual(json.loads(done.stdout)["out"], str(self.tmp / "a"))

    def test_what_is_refused_leaves_what_was_there(self):
        good = recipe_of(SAMPLE)
        recipe, out = self.write(good), self.tmp / "out"
        out.write_text("old")
        broken = self.write({**good, "units": [{**good["units"][0], "weights": 1}]}, "broken.json")
        cases = [  # arguments, exit code, part of the error
            ((self.tmp / "none.json", "--to", "mlx-lm", "-o", out), 1, "none.json"),
            ((broken, "--to", "mlx-lm", "-o", out), 1, "/units/0/weights"),
            ((self.write("{", "half.json"), "--to", "mlx-lm", "-o", out), 1, "half.json"),
            ((self.tmp, "--to", "mlx-lm", "-o", out), 1, str(self.tmp)),
            ((recipe, "--to", "gguf", "-o", out), 2, "--to"),
            ((recipe, "--to", "mlx-lm"), 2, "--out"),
            ((recipe, "--to", "mlx-lm", "-o", recipe), 2, "the recipe itself"),
            ((recipe, "--to", "mlx-lm", "-o", self.tmp / "no" / "folder"), 1, "folder"),
        ]
        for arguments, code, part in cases:
            done = run("export", *arguments)
            self.assertEqual(done.returncode, code, arguments)
            self.assertIn(part, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertEqual(out.read_text(), "old")
        self.assertEqual(json.loads(recipe.read_text()), good)


@unittest.skipUnless(HAS_MLX_LM, "mlx-lm is not installed (setup/setup.sh --test)")
class ExportLoads(AcceptanceTest):
    """Every family: the exported file converts, the result loads and has the recipe's schemes and bytes."""

    def logits(self, folder):
        model, _ = load_model(folder)
        model.set_dtype(mx.float32)  # 16-bit stacks that stay floats can't be multiplied on a CPU
        logits = model(mx.array([[1, 5, 9, 2]]))
        self.assertTrue(mx.all(mx.isfinite(logits)).item())
        return model, logits

    def chosen(self, folder):
        """path -> (shape, scheme): all schemes in turn, each where its group divides the rows."""
        model, _ = load_model(folder)
        modules = {}
        for i, (path, shape) in enumerate(quantizable_modules(model).items()):
            fitting = [s for s in SCHEMES if s == FLOAT or shape[-1] % s["group_size"] == 0]
            modules[path] = (shape, fitting[i % len(fitting)])
        return modules

    def check(self, model_type):
        source, out = self.tmp / model_type, self.tmp / (model_type + "-out")
        write_checkpoint(model_type, source)
        self.assertEqual({**source_of(source), **record(source)}, self.known(model_type))
        recipe, modules = self.recipe_of_run(source)
        script, block = self.tmp / f"{model_type}.py", self.tmp / f"{model_type}.block"
        for to, path in (("mlx-lm", script), ("mlx-config", block)):
            if to == "mlx-lm" or model_type in BLOCKS:
                done = run("export", recipe, "--to", to, "-o", path)
                self.assertEqual(done.returncode, 0, done.stderr)
        self.convert(script, source, out)
        self.assertEqual(sum(w.nbytes for w in tensors_in(out).values()),
                         json.loads(recipe.read_text())["coverage"]["bytes"])
        self.check_result(modules, out)
        done = run("verify", out, "--against", source, "--json")
        self.assertEqual((done.returncode, json.loads(done.stdout)["verdict"]), (0, "attested"), done.stdout)
        if model_type in BLOCKS:
            self.check_block(out, json.loads(block.read_text()))

    def recipe_of_run(self, source):
        """Of the program, but for its choices: all schemes in turn. Its file; path -> (shape, scheme, bits of a float)."""
        done = run("analyze", source, "-o", self.tmp / "runs", "--schemes", "q4", "--no-report")
        self.assertEqual(done.returncode, 0, done.stderr)
        path = self.tmp / (source.name + ".json")
        done = run("recipe", self.tmp / "runs" / source.name, "--bits", "8", "-o", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        recipe, modules = json.loads(path.read_text()), {}
        for i, unit in enumerate(recipe["units"]):
            fitting = [s for s in SCHEMES if s == FLOAT or
                       all(m["shape"][-1] % s["group_size"] == 0 for m in unit["modules"])]
            if unit["role"] != "router" and unit["alternatives"]:
                unit["chosen"]["scheme"] = fitting[i % len(fitting)]
            for m in unit["modules"]:
                modules[m["mlx"]] = (m["shape"], unit["chosen"]["scheme"], 32 if m.get("dtype") == "float32" else 16)
            unit["chosen"]["bytes"] = sum(bytes_of(*modules[m["mlx"]]) for m in unit["modules"])
        coverage = recipe["coverage"]
        coverage["bytes"] = coverage["untouched_bytes"] + sum(unit["chosen"]["bytes"] for unit in recipe["units"])
        path.write_text(json.dumps(recipe))
        model, _ = load_model(source, lazy=True)
        self.assertEqual({path: module[0] for path, module in sorted(modules.items())}, quantizable_modules(model))
        return path, modules

    @staticmethod
    def known(name):
        """As tiny_models.py writes it."""
        return json.loads((DATA / "mlx_modules" / f"{name}.json").read_text())

    def test_checkpoints_that_are_recorded_alone(self):
        for name in MORE:
            write_checkpoint(name, self.tmp / name)
            self.assertEqual({**source_of(self.tmp / name), **record(self.tmp / name)}, self.known(name))
        for name in ZOO:
            self.assertEqual(record(zoo_checkpoint(DATA / "zoo", name, self.tmp)), self.known(name))
        for name in REFUSED:
            self.assertEqual(record_refused(DATA / "zoo" / name), self.known(name))

    def convert(self, script, source, out):
        spec = importlib.util.spec_from_file_location("exported", script)
        exported = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(exported)
        with contextlib.redirect_stdout(io.StringIO()):
            exported.main([str(source), str(out)])

    def check_result(self, modules, out):
        model, _ = self.logits(out)
        by_path = dict(model.named_modules())
        tensors = tensors_in(out)
        for path, (shape, scheme, float_bits) in modules.items():
            found = FLOAT
            if hasattr(by_path[path], "bits"):
                found = {key: getattr(by_path[path], key) for key in ("mode", "bits", "group_size")}
            self.assertEqual(found, scheme, path)
            size = sum(tensors[name].nbytes for name in (f"{path}.{part}" for part in ("weight", "scales", "biases"))
                       if name in tensors)
            self.assertEqual(size, bytes_of(shape, scheme, float_bits), path)

    def check_block(self, out, block):
        logits = self.logits(out)[1]
        config = json.loads((out / "config.json").read_text())
        (out / "config.json").write_text(json.dumps({**config, **block}))
        self.assertTrue(mx.array_equal(self.logits(out)[1], logits).item())

    @staticmethod
    def run_program(*arguments):
        return subprocess.run([sys.executable, "-B", *arguments], capture_output=True, text=True,
                              env={**os.environ, "HF_HUB_OFFLINE": "1"})

    def script_of(self, modules, name="convert", model_type="olmoe"):
        recipe, script = self.tmp / f"{name}.json", self.tmp / f"{name}.py"
        recipe.write_text(json.dumps(recipe_of(modules, model_type)))
        self.assertEqual(run("export", recipe, "--to", "mlx-lm", "-o", script).returncode, 0)
        return script

    def refusal(self, script, model, out):
        with self.assertRaises(SystemExit) as stopped:
            self.convert(script, model, out)
        self.assertIsInstance(stopped.exception.code, str)  # exit code 1, and this on stderr
        self.assertNotIn("\n", stopped.exception.code)
        return stopped.exception.code

    def test_a_model_that_is_not_the_recipes_is_refused_before_anything_is_written(self):
        source, out = self.tmp / "olmoe", self.tmp / "out"
        write_checkpoint("olmoe", source)
        good = self.chosen(source)
        head, packed = good["lm_head"][0], self.tmp / "packed"
        down = "model.layers.1.mlp.switch_mlp.down_proj"
        none = {f"model.layers.{i}.none": (head, FLOAT) for i in range(7)}
        of_recipe, other = "7 modules of this recipe are not there, or can't be quantized: ", dict(good)
        del other[down]
        for name, modules, part in [
                ("many", {**good, **none}, of_recipe + ", ".join(list(none)[:5]) + ", ..."),
                ("norm", {**good, "model.norm": ([1, 128], EIGHT_BITS)}, "or can't be quantized: model.norm"),
                ("lacks", other, "1 modules are not in this recipe: " + down),
                ("shape", {**good, "lm_head": ([head[0], 2 * head[1]], FLOAT)}, "have other shapes: lm_head")]:
            self.assertTrue(self.refusal(self.script_of(modules, name), source, out).endswith(part), name)
            self.assertFalse(out.exists())
        self.convert(self.script_of(good), source, packed)
        self.assertIn("is there already", self.refusal(self.script_of(good), source, packed))
        eight = {path: (shape, EIGHT_BITS) for path, (shape, _) in good.items()}
        self.assertIn("are quantized already", self.refusal(self.script_of(eight, "eight"), packed, out))
        self.assertIn("no folder that can be written to",
                      self.refusal(self.script_of(good), source, source / "config.json" / "out"))
        (source / "model.safetensors").write_bytes(b"torn")
        self.assertIn("mlx-lm does not convert it", self.refusal(self.script_of(good), source, out))
        self.assertFalse(out.exists())

    def test_another_config_is_refused_before_mlx_lm_is_asked(self):
        script, out = self.script_of({"lm_head": ([96, 128], FLOAT)}), self.tmp / "out"
        model, part = self.tmp / "model", "config.json can't be read"
        model.mkdir()
        for config, part in [(None, part), ("{", part), ("[]", part), ('{"model_type": "mixtral"}', "its model_type is mixtral"),
                             ('{"model_type": "a", "text_config": {"model_type": "b"}}', "this recipe is for olmoe"),
                             ("{}", "its model_type is None")]:
            if config is not None:
                (model / "config.json").write_text(config)
            self.assertIn(part, self.refusal(script, str(model), out))
        self.assertIn("config.json can't be read", self.refusal(script, model / "config.json", out))
        for none in (self.tmp / "none", "none", "./none", f"{self.tmp.name}/a/b", "", "~"):
            self.assertIn("is no folder that is there", self.refusal(script, none, out))
        done = self.run_program(script, "org/none", out)
        self.assertEqual(done.returncode, 1)
        self.assertIn("org/none is no folder, and can't be had from the Hub", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertFalse(out.exists())

    def test_the_models_type_may_stand_in_text_config(self):
        source, out = self.tmp / "olmoe", self.tmp / "out"
        write_checkpoint("olmoe", source)
        config = json.loads((source / "config.json").read_text())
        script = self.script_of(self.chosen(source), model_type="olmoe_text")
        (source / "config.json").write_text(json.dumps({**config, "text_config": {"model_type": "olmoe_text"}}))
        self.convert(script, source, out)
        self.assertTrue((out / "config.json").exists())

    def test_as_a_program(self):
        source, out = self.tmp / "olmoe", self.tmp / "out"
        write_checkpoint("olmoe", source)
        modules = self.chosen(source)
        done = self.run_program(self.script_of(modules), source, out)
        self.assertEqual(done.returncode, 0, done.stderr)
        model, _ = self.logits(out)
        self.assertEqual(sorted(quantizable_modules(model)), sorted(modules))


def add_families():
    for model_type in FAMILIES if HAS_MLX_LM else ():
        setattr(ExportLoads, f"test_{model_type}", lambda self, name=model_type: self.check(name))


add_families()

if __name__ == "__main__":
    unittest.main()
