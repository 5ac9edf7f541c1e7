"""moescope quantize: what it writes is what mlx_lm.convert writes, and what it refuses leaves nothing behind."""

import contextlib
import fcntl
import importlib.util
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import time
import unittest

import numpy as np

from support import DATA, PROGRAM, AcceptanceTest, files_of, run
from test_export import HAS_MLX_LM, FLOAT, recipe_of

if HAS_MLX_LM:
    import mlx.core as mx
    from mlx_lm import convert
    from mlx_lm.utils import load_model
    from tiny_models import FAMILIES, MORE, quantizable_modules, write_checkpoint

ZOO = DATA / "zoo"
# mlx-lm names these modules in another order.
OTHER_ORDER = {"gpt_oss", "granitemoe"}
# Storages and forms that mlx-lm itself does not load.
ONLY_OURS = ["ct_nvfp4_deepseek_v3", "fp8_qwen3_moe", "gptq_int3_olmoe", "ct_int8_w8a8_mixtral", "hf5fused_deepseek_v3",
             "npz_numpy_f16"]
SCHEMES = [  # ours, mlx_lm.convert's arguments, the model's dtype
    ("q3", {"q_bits": 3, "q_group_size": 64}, "bfloat16"),
    ("q8", {"q_bits": 8, "q_group_size": 64}, "float16"),
    ("mxfp4", {"q_mode": "mxfp4"}, "bfloat16"),
    ("mxfp8", {"q_mode": "mxfp8"}, "float32"),
    ("nvfp4", {"q_mode": "nvfp4"}, "bfloat16"),
]


def quantize(source, out, *arguments, **more):
    return run("quantize", source, "-o", out, *arguments, **more)


def tensors_of(folder):
    """name -> (dtype, shape, bytes) of all files."""
    found = {}
    for path in sorted(folder.glob("model*.safetensors")):
        data = path.read_bytes()
        size = int.from_bytes(data[:8], "little")
        for name, entry in json.loads(data[8:8 + size]).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                found[name] = (entry["dtype"], entry["shape"], data[8 + size + begin:8 + size + end])
            else:
                assert entry == {"format": "mlx"}, entry
    return found


def logits_of(folder):
    model, _ = load_model(folder)
    model.set_dtype(mx.float32)  # 16-bit stacks that stay floats can't be multiplied on a CPU
    return model(mx.array([[1, 5, 9, 2]]))


@unittest.skipUnless(HAS_MLX_LM, "mlx-lm is not installed (setup/setup.sh --test)")
class QuantizeEqualsMlxLm(AcceptanceTest):
    def done(self, source, out, *arguments):
        done = quantize(source, out, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return out

    def convert(self, source, out, **arguments):
        with contextlib.redirect_stdout(io.StringIO()):
            convert(str(source), str(out), quantize=True, **arguments)
        return out

    def assert_same(self, theirs, ours, config_text=True):
        expected, found = tensors_of(theirs), tensors_of(ours)
        self.assertEqual(found.keys(), expected.keys())
        for name in expected:
            self.assertEqual(found[name][:2], expected[name][:2], name)
            self.assertTrue(found[name][2] == expected[name][2], f"bytes of {name}")
        texts = [(folder / "config.json").read_text() for folder in (theirs, ours)]
        self.assertEqual(json.loads(texts[1]), json.loads(texts[0]))
        if config_text:
            self.assertEqual(texts[1], texts[0])
        index = "model.safetensors.index.json"
        self.assertEqual((ours / index).read_text(), (theirs / index).read_text())

    def test_every_family(self):
        for model_type in {**FAMILIES, **MORE}:
            with self.subTest(model_type):
                source = self.tmp / model_type
                write_checkpoint(model_type, source)
                theirs = self.convert(source, self.tmp / f"{model_type}-mlx", q_group_size=32, q_bits=4)
                ours = self.done(source, self.tmp / f"{model_type}-ours", "--scheme", "q4g32")
                self.assert_same(theirs, ours, model_type not in OTHER_ORDER)
                load_model(ours)

    def test_every_mode_and_dtype(self):
        for scheme, arguments, dtype in SCHEMES:
            with self.subTest(scheme):
                source = self.tmp / f"source-{scheme}"
                write_checkpoint("qwen3_moe", source)
                config = json.loads((source / "config.json").read_text())
                (source / "config.json").write_text(json.dumps({**config, "torch_dtype": dtype}))
                theirs = self.convert(source, self.tmp / f"{scheme}-mlx", **arguments)
                self.assert_same(theirs, self.done(source, self.tmp / f"{scheme}-ours", "--scheme", scheme))

    def test_a_recipe(self):
        source = self.tmp / "recipe-source"
        write_checkpoint("deepseek_v3", source)
        schemes = [{"mode": "affine", "bits": 3, "group_size": 32}, {"mode": "mxfp4", "bits": 4, "group_size": 32},
                   FLOAT, {"mode": "affine", "bits": 6, "group_size": 32}]
        model, _ = load_model(source)
        modules = {path: (shape, schemes[i % len(schemes)])
                   for i, (path, shape) in enumerate(quantizable_modules(model).items())}
        plain = self.done(source, self.tmp / "plain", "--scheme", "q4g32")
        recipe = recipe_of(modules, "deepseek_v3")
        recipe["model"]["fingerprint"] = json.loads((plain / "moescope.json").read_text())["source"]["fingerprint"]
        path, script = self.tmp / "recipe.json", self.tmp / "exported.py"
        path.write_text(json.dumps(recipe))
        self.assertEqual(run("export", path, "--to", "mlx-lm", "-o", script).returncode, 0)
        spec = importlib.util.spec_from_file_location("exported", script)
        exported = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(exported)
        theirs = self.convert(source, self.tmp / "recipe-mlx", quant_predicate=exported.predicate,
                              q_group_size=exported.GROUP_SIZE, q_bits=exported.BITS, q_mode=exported.MODE)
        ours = self.done(source, self.tmp / "recipe-ours", "--recipe", path)
        expected, found = tensors_of(theirs), tensors_of(ours)
        self.assertEqual(found, expected)
        block = json.loads((ours / "config.json").read_text())["quantization"]
        for module, (_, scheme) in modules.items():  # an entry for each module
            self.assertEqual(block[module], False if scheme == FLOAT else scheme, module)
        self.assertTrue(mx.array_equal(logits_of(theirs), logits_of(ours)).item())
        card = (ours / "README.md").read_text()
        self.assertIn("mxfp4 4 bits in groups of 32 (", card)
        self.assertIn(recipe["model"]["fingerprint"], card)

    def test_searched_scales_have_less_error_in_the_same_bytes(self):
        source = self.tmp / "searched"
        write_checkpoint("olmoe", source)
        original = mx.load(str(source / "model.safetensors"))
        name = "model.layers.0.mlp.switch_mlp.up_proj"
        stack = mx.stack([original[f"model.layers.0.mlp.experts.{e}.up_proj.weight"] for e in range(3)]).astype(mx.float32)
        forms = [("q2g32", 32, 2, "affine"), ("q4g32", 32, 4, "affine"), ("nvfp4", 16, 4, "nvfp4")]
        schemes = ",".join(f"{form[0]},{form[0]}+search" for form in forms)
        done = run("analyze", source, "-o", self.tmp / "runs", "--schemes", schemes, "--no-report")
        self.assertEqual(done.returncode, 0, done.stderr)
        quant = self.table(next(self.tmp.glob("runs/*/*")), "quant_sim")
        measured = quant[(quant.layer == 0) & (quant.proj == "up_proj")].set_index(["scheme", "expert_id"])
        for scheme, group, bits, mode in forms:
            errors, sizes = [], []
            for encoder in ("mlx", "search"):
                out = self.done(source, self.tmp / f"{scheme}-{encoder}", "--scheme", scheme, "--encoder", encoder)
                t = mx.load(str(out / "model.safetensors"))
                decoded = mx.dequantize(t[name + ".weight"], t[name + ".scales"], t.get(name + ".biases"), group, bits, mode)
                lost = np.array(decoded.astype(mx.float32), np.float64) - np.array(stack, np.float64)
                errors.append(np.linalg.norm(lost))
                label = f"affine_{scheme}".replace("g", "_g") if mode == "affine" else f"{mode}_g{group}"
                for e in range(3):  # what was simulated is what is written
                    row = measured.loc[(label + ("+search" if encoder == "search" else ""), e)]
                    self.assertEqual((row["mode"], row.bits, row.group_size), (mode, bits, group))
                    self.assertAlmostEqual(row.w_rel_fro * np.linalg.norm(np.array(stack[e], np.float64)),
                                           np.linalg.norm(lost[e]), delta=1e-9)
                sizes.append((out / "model.safetensors").stat().st_size)
                load_model(out)
            self.assertLess(errors[1], 0.98 * errors[0], scheme)
            self.assertEqual(*sizes)
        alike = self.done(source, self.tmp / "alike", "--scheme", "nvfp4+search")
        self.assertEqual(files_of(alike), files_of(out))
        done = run("recipe", self.tmp / "runs", "--bits", "4", "--candidates", "q4g32+search", "-o", self.tmp / "r.json")
        self.assertEqual(done.returncode, 2)
        self.assertIn("MLX's own encoder", done.stderr)
        done = run("recipe", self.tmp / "runs", "--bits", "4", "--objective", "weight", "-o", self.tmp / "r.json")
        self.assertEqual(done.returncode, 0, done.stderr)
        options = json.loads((self.tmp / "r.json").read_text())["units"][-1]["alternatives"]
        self.assertEqual(len([one for one in options if one["scheme"]]), 3)  # without the searched ones
        self.assertIn("were searched", (out / "README.md").read_text())
        self.assertEqual(json.loads((out / "moescope.json").read_text())["encoder"], "search")

    def test_what_mlx_lm_refuses_is_made_from_decoded_values(self):
        for name in ONLY_OURS:
            with self.subTest(name):
                out = self.done(ZOO / name, self.tmp / name, "--scheme", "q4g32")
                self.assertTrue(mx.all(mx.isfinite(logits_of(out))).item())
                config = json.loads((out / "config.json").read_text())
                self.assertEqual(config["quantization_config"], config["quantization"])
                if not name.startswith(("hf5", "npz")):
                    self.assertIn("made from decoded values", (out / "README.md").read_text())

    def test_gguf_with_the_config_of_its_model(self):
        for name, config in (("gguf_qwen3moe_bf16_split", "hf4_qwen3_moe"), ("gguf_olmoe_mixed", "gptq_int3_olmoe")):
            source = shutil.copytree(ZOO / name, self.tmp / name)
            shutil.copy(ZOO / config / "config.json", source)
            out = self.done(source, self.tmp / f"{name}-out", "--scheme", "q4g32")
            self.assertTrue(mx.all(mx.isfinite(logits_of(out))).item())


class Quantize(AcceptanceTest):
    MODEL = ZOO / "hf4_qwen3_moe"

    def large(self):
        """Random numbers, then a long hole: a run that takes long enough to be killed."""
        folder = self.tmp / "large"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({
            "model_type": "qwen3_moe", "num_hidden_layers": 2, "num_experts": 2, "torch_dtype": "bfloat16"}))
        header, size, rows, cols = {}, 0, 2048, 2048
        for layer in range(2):
            for expert in range(2):
                for proj in ("gate_proj", "up_proj", "down_proj"):
                    header[f"model.layers.{layer}.mlp.experts.{expert}.{proj}.weight"] = {
                        "dtype": "BF16", "shape": [rows, cols], "data_offsets": [size, size + 2 * rows * cols]}
                    size += 2 * rows * cols
        text = json.dumps(header).encode()
        with open(folder / "model.safetensors", "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            values = np.random.default_rng(1).standard_normal(3 * rows * cols // 2).astype(np.float32)
            file.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())
            file.truncate(8 + len(text) + size)
        return folder

    @staticmethod
    def stop(model, out, act, *more):
        """Begins to write and, after two weights, does act(process): exit code and errors."""
        progress = out.with_name(out.name + ".unfinished") / "moescope-progress.jsonl"
        process = subprocess.Popen([PROGRAM, "quantize", model, "--scheme", "q4", "-o", out, "-j", "1", *more], text=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while process.poll() is None and not (progress.exists() and progress.read_text().count("\n") > 2):
            time.sleep(0.001)
        act(process)
        errors = process.communicate()[1]
        return process.returncode, errors

    def test_a_killed_run_is_gone_on_with(self):
        model, out = self.large(), self.tmp / "out"
        progress = self.tmp / "out.unfinished" / "moescope-progress.jsonl"
        self.assertEqual(self.stop(model, out, lambda process: process.send_signal(signal.SIGINT))[0], 130)
        self.assertEqual(self.stop(model, out, subprocess.Popen.kill, "--resume")[0], -signal.SIGKILL)
        self.assertFalse(out.exists())
        again = quantize(model, out, "--scheme", "q4")
        self.assertEqual(again.returncode, 2)
        self.assertIn("--resume", again.stderr)
        other = quantize(model, out, "--scheme", "q8", "--resume")
        self.assertEqual(other.returncode, 2)
        self.assertIn("with another scheme", other.stderr)
        with open(progress.parent / "moescope.lock", "w") as lock:  # as another run that goes on
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(str(os.getpid()))
            lock.flush()
            for more in ([], ["--resume"]):
                second = quantize(model, out, "--scheme", "q4", *more)
                self.assertEqual(second.returncode, 2)
                self.assertIn(f"written by process {os.getpid()}", second.stderr)
        broken = self.tmp / "broken.unfinished"
        shutil.copytree(progress.parent, broken)
        with open(broken / "model.safetensors", "r+b") as file:  # a byte of the first weight
            file.seek(int.from_bytes(file.read(8), "little") + 8)
            file.write(b"?")
        with open(progress, "a") as file:  # a line that was cut
            file.write("[123")
        resumed = quantize(model, out, "--scheme", "q4", "--resume", "--json")
        self.assertEqual(resumed.returncode, 0, resumed.stderr)
        self.assertGreater(json.loads(resumed.stdout)["resumed_after"], 0)
        whole = self.tmp / "whole"
        self.assertEqual(quantize(model, whole, "--scheme", "q4", "-j", "3").returncode, 0)
        self.assertEqual(files_of(out), files_of(whole))
        self.assertFalse(progress.parent.exists())
        mended = quantize(model, self.tmp / "broken", "--scheme", "q4", "--resume", "--json")
        self.assertEqual(json.loads(mended.stdout)["resumed_after"], 0)
        self.assertEqual(files_of(self.tmp / "broken"), files_of(whole))
        if hasattr(resource, "prlimit"):
            self.check_full_disk(model, files_of(whole))

    def check_full_disk(self, model, whole):
        """The disk is full while weights are written: as if, by a limit that the running process gets."""
        out, before = self.tmp / "full", (model / "model.safetensors").stat().st_mtime_ns
        code, errors = self.stop(model, out,
                                 lambda process: resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (5000, 5000)))
        self.assertEqual(code, 1)
        self.assertEqual(errors.count("\n"), 1, errors)
        self.assertIn("model.safetensors: writing failed: File too large", errors)
        self.assertFalse(out.exists())
        resumed = quantize(model, out, "--scheme", "q4", "--resume", "--json")
        self.assertGreater(json.loads(resumed.stdout)["resumed_after"], 0)
        self.assertEqual(files_of(out), whole)
        self.assertEqual((model / "model.safetensors").stat().st_mtime_ns, before)

    def test_dry_run_tells_names_and_sizes_to_the_byte(self):
        dry = run("quantize", self.MODEL, "--scheme", "q4g32", "--dry-run", "--json")
        self.assertEqual(dry.returncode, 0, dry.stderr)
        told = json.loads(dry.stdout)
        out = self.tmp / "out"
        out.mkdir()  # an empty folder is a new one
        self.assertEqual(quantize(self.MODEL, out, "--scheme", "q4g32").returncode, 0)
        found = tensors_of(out)
        self.assertEqual({t["name"]: (t["shape"], t["bytes"]) for t in told["tensors"]},
                         {name: (shape, len(data)) for name, (_, shape, data) in found.items()})
        self.assertEqual(told["files"], [{"name": "model.safetensors",
                                          "bytes": (out / "model.safetensors").stat().st_size}])
        self.assertEqual(told["bytes"], sum(len(data) for _, _, data in found.values()))
        self.assertIn("rows are no multiple of 32", " ".join(told["notes"]))
        text = run("quantize", self.MODEL, "--scheme", "q4g32", "--dry-run").stdout
        self.assertIn("model.norm.weight  bfloat16 [64]  128\n", text)

    def test_files_beside_the_weights(self):
        model, out = self.tmp / "model", self.tmp / "out"
        shutil.copytree(self.MODEL, model, ignore=shutil.ignore_patterns("expected.json"))
        for name, text in {"tokenizer.json": "{}", "chat_template.jinja": "x", "modeling.py": "pass", "weights.bin": "no",
                           "generation_config.json": '{"eos_token_id": [7, 8]}', "hf_quant_config.json": "{}"}.items():
            (model / name).write_text(text)
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps({**config, "_name_or_path": "x", "vision_config": {}, "é": 1e-6}))
        self.assertEqual(quantize(model, out, "--scheme", "mxfp4").returncode, 0)
        self.assertEqual(set(files_of(out)), {
            "README.md", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
            "model.safetensors.index.json", "modeling.py", "moescope.json", "tokenizer.json"})
        text = (out / "config.json").read_text()
        written = json.loads(text)
        self.assertEqual(written["eos_token_id"], [7, 8])
        self.assertEqual(written["quantization"]["mode"], "mxfp4")
        self.assertIn('"\\u00e9": 1e-06', text)
        self.assertFalse({"_name_or_path", "vision_config"} & written.keys())
        manifest = json.loads((out / "moescope.json").read_text())
        self.assertIn("mlx_lm.convert", manifest["encoder"])
        self.assertEqual(manifest["scheme"], {"mode": "mxfp4", "bits": 4, "group_size": 32})
        self.assertEqual(manifest["tensors"].keys(), tensors_of(out).keys())

    def test_what_is_refused_leaves_nothing(self):
        sharded = self.tmp / "sharded"
        shutil.copytree(ZOO / "hf4_qwen3_moe_sharded", sharded)
        sorted(sharded.glob("*.safetensors"))[0].unlink()
        unknown = self.tmp / "unknown"
        shutil.copytree(self.MODEL, unknown)
        config = json.loads((unknown / "config.json").read_text())
        (unknown / "config.json").write_text(json.dumps({**config, "model_type": "new_moe"}))
        recipe = self.tmp / "recipe.json"
        recipe.write_text(json.dumps(recipe_of({"lm_head": ([100, 64], FLOAT)})))
        full = self.tmp / "full"
        full.mkdir()
        (full / "a").write_text("x")
        cases = [  # model, arguments, exit code, part of the error
            (self.MODEL, [], 2, "--recipe and --scheme"),
            (self.MODEL, ["--scheme", "q4", "--recipe", recipe], 2, "--recipe and --scheme"),
            (self.MODEL, ["--scheme", "q7"], 2, "no scheme 'q7'"),
            (self.MODEL, ["--recipe", recipe], 2, "fingerprint"),
            (self.MODEL, ["--recipe", self.tmp / "none.json"], 1, "none.json"),
            (ZOO / "hf4_dbrx", ["--scheme", "q4"], 1, "model_type dbrx"),
            (unknown, ["--scheme", "q4"], 1, "model_type new_moe: what mlx-lm calls its modules is not known"),
            (ZOO / "hf4_qwen2_moe", ["--scheme", "q4"], 1, "layer 0: has no experts"),
            (ZOO / "gguf_kquants", ["--scheme", "q4"], 1, "config.json"),
            (sharded, ["--scheme", "q4"], 1, "1 of 6 shards is missing: model-00001-of-00006.safetensors"),
            (self.tmp / "none", ["--scheme", "q4"], 1, "no such file"),
        ]
        for model, arguments, code, part in cases:
            out = self.tmp / "out"
            done = quantize(model, out, *arguments)
            self.assertEqual(done.returncode, code, (arguments, done.stderr))
            self.assertIn(part, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertFalse(out.exists() or (self.tmp / "out.unfinished").exists())
        link, empty = self.tmp / "link", self.tmp / "empty"
        link.symlink_to("nowhere")
        empty.mkdir()
        for there in (full, recipe, link):
            done = quantize(self.MODEL, there, "--scheme", "q4")
            self.assertEqual(done.returncode, 2, there)
            self.assertIn("is there already", done.stderr)
        self.assertEqual(files_of(full), {"a": b"x"})
        nameless = quantize(self.MODEL, "", "--scheme", "q4", cwd=empty)
        self.assertEqual(nameless.returncode, 2)
        self.assertIn("wants --out", nameless.stderr)
        self.assertEqual(list(empty.iterdir()), [])

    def test_no_room_from_the_start_leaves_nothing(self):
        out = self.tmp / "out"
        before = files_of(self.MODEL)
        limited = subprocess.run([PROGRAM, "quantize", self.MODEL, "--scheme", "q4g64", "-o", out, "-q"], text=True,
                                 capture_output=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)))
        self.assertEqual(limited.returncode, 1)
        self.assertIn("File too large", limited.stderr)
        self.assertEqual(limited.stderr.count("\n"), 1, limited.stderr)
        self.assertEqual(list(self.tmp.iterdir()), [])
        self.assertEqual(files_of(self.MODEL), before)
        self.assertEqual(quantize(self.MODEL, out, "--scheme", "q4g64").returncode, 0)  # without --resume


if __name__ == "__main__":
    unittest.main()
