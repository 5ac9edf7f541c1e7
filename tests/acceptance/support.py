"""What the acceptance tests share: running the program, making checkpoints, reading tables."""

import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

import numpy as np
import pandas as pd
import safetensors.numpy

PROGRAM = os.environ["MOESCOPE"]
DATA = pathlib.Path(os.environ["MOE_TEST_DATA"])


def run(*arguments, cwd=None, env=None, stdin=None):
    """Runs `moescope arguments...`; the result has returncode, stdout and stderr."""
    return subprocess.run([PROGRAM, *map(str, arguments)], cwd=cwd, text=True, input=stdin,
                          capture_output=True, timeout=300, env={**os.environ, **(env or {})})


def bf16_bytes(values):
    """float32 array -> the bytes of its bfloat16 rounding (nearest even; no NaN)."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def write_safetensors_raw(path, tensors, metadata=None):
    """tensors: name -> (dtype name, shape, bytes). Written in the order given."""
    header, offset = {}, 0
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape),
                        "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, _, data in tensors.values():
            file.write(data)


class AcceptanceTest(unittest.TestCase):
    """A test with a temporary directory `self.tmp`, gone afterwards."""

    maxDiff = None

    def setUp(self):
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="moescope-test-"))
        self.addCleanup(shutil.rmtree, self.tmp, ignore_errors=True)

    def model(self, tensors, name="model", file="model.safetensors", config=None):
        """Writes a folder with one safetensors (or npz) file of numpy arrays; returns the folder."""
        folder = self.tmp / name
        folder.mkdir(parents=True, exist_ok=True)
        if file.endswith(".npz"):
            np.savez(folder / file, **tensors)
        else:
            safetensors.numpy.save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()},
                                        folder / file)
        if config is not None:
            (folder / "config.json").write_text(json.dumps(config))
        return folder

    def run_dir(self, model_path, change=None, name="run"):
        """A run as init-run makes it (test_init_run.py), without a start of the program: the
        template for `model_path`, after `change(config)`. It demands no coverage (the template
        demands all). Returns the run directory."""
        run_dir = self.tmp / "runs" / "m" / name
        for folder in ("data", "logs", "tables", "cache/sampled_indices", "plots"):
            (run_dir / folder).mkdir(parents=True)
        config = json.loads((DATA / "run/analysis_config.json").read_text())
        config["model_path"] = str(model_path)
        config["scan"]["min_expert_coverage"] = None
        if change is not None:
            change(config)
        (run_dir / "analysis_config.json").write_text(json.dumps(config))
        (run_dir / "manifest.json").write_text(json.dumps(
            {"model_id": "m", "run_name": name, "created_at": "2026-01-01T00:00:00.000000Z",
             "version": 2}))
        return run_dir

    def collect(self, run_dir, *arguments, expect=0, env=None):
        done = run("collect-data", "--run-dir", run_dir, *arguments, env=env)
        self.assertEqual(done.returncode, expect, done.stderr + done.stdout)
        return done

    def collected(self, tensors, change=None, name="run", expect=0, **model):
        """Model of `tensors` -> run directory after collect-data."""
        run_dir = self.run_dir(self.model(tensors, name="model-" + name, **model), change, name)
        self.collect(run_dir, expect=expect)
        return run_dir

    def table(self, run_dir, name, folder="data"):
        """A table the run wrote, from Parquet or CSV, whichever is there (never both)."""
        parquet, csv = (run_dir / folder / (name + end) for end in (".parquet", ".csv"))
        self.assertNotEqual(parquet.exists(), csv.exists(), f"{name}: exactly one file expected")
        return pd.read_parquet(parquet) if parquet.exists() else pd.read_csv(csv)

    def log(self, run_dir, name):
        return json.loads((run_dir / "logs" / name).read_text())


def experts(count=4, rows=64, cols=128, layers=1, seed=0, dtype=np.float32, scale=0.02):
    """Per-expert gate/up/down tensors as transformers names them, normally distributed."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for layer in range(layers):
        for expert in range(count):
            for proj, shape in (("gate_proj", (rows, cols)), ("up_proj", (rows, cols)),
                                ("down_proj", (cols, rows))):
                name = f"model.layers.{layer}.mlp.experts.{expert}.{proj}.weight"
                tensors[name] = (rng.standard_normal(shape) * scale).astype(dtype)
    return tensors


def bank(layer=0, count=1, rows=2, cols=32, proj="gate_proj", seed=0):
    """One 3-D float32 tensor of `count` experts, named as the template's first rule expects."""
    rng = np.random.default_rng(seed)
    return {f"model.layers.{layer}.mlp.experts.{proj}.weight":
            rng.standard_normal((count, rows, cols)).astype(np.float32)}


def gguf_text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def write_imatrix(path, entries):
    """llama.cpp's GGUF form: entries is NAME -> (in_sum2 [matrices, columns], counts [matrices])."""
    tensors = {}
    for name, (sums, counts) in entries.items():
        tensors[name + ".in_sum2"] = np.asarray(sums, np.float32)
        tensors[name + ".counts"] = np.asarray(counts, np.float32).reshape(-1, 1)
    pairs = (gguf_text("general.type") + struct.pack("<I", 8) + gguf_text("imatrix") +
             gguf_text("imatrix.datasets") + struct.pack("<IIQ", 9, 8, 1) + gguf_text("calibration") +
             gguf_text("imatrix.chunk_count") + struct.pack("<II", 4, 3) +
             gguf_text("imatrix.chunk_size") + struct.pack("<II", 4, 512))
    write_gguf_file(path, tensors, 4, pairs)


def write_gguf(path, tensors, arch):
    """A model of float32 tensors, of an architecture of llama.cpp."""
    write_gguf_file(path, tensors, 1, gguf_text("general.architecture") + struct.pack("<I", 8) + gguf_text(arch))


def write_gguf_file(path, tensors, count, pairs):
    """`pairs`: the bytes of `count` of them."""
    header, data = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), count) + pairs, b""
    for name, values in tensors.items():
        header += (gguf_text(name) + struct.pack(f"<I{values.ndim}Q", values.ndim, *values.shape[::-1]) +
                   struct.pack("<IQ", 0, len(data)))
        data += values.tobytes() + bytes(-values.nbytes % 32)
    path.write_bytes(header + bytes(-len(header) % 32) + data)


def files_of(folder):
    """Relative path -> bytes of every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def reference_config(model_path):
    """analysis_config.json as the Python pipeline's first version wrote it."""
    layout = {"layer_axis": None, "expert_axis": 0, "rows_axis": 1, "cols_axis": 2}
    return {
        "model_path": str(model_path),
        "scan": {"extensions": [".safetensors", ".npz"], "experts_only": True,
                 "include_shared_expert": True, "inventory_all_tensors": True, "max_files": None},
        "parsing": {
            "layer_regex": "(?:^|\\.)layers\\.(\\d+)(?:\\.|$)",
            "expert_regex": "(?:^|\\.)experts\\.(\\d+)(?:\\.|$)",
            "proj_aliases": {"down_proj": ["down_proj", "w2", ".down.", "ffn_down"],
                             "gate_proj": ["gate_proj", "w1", ".gate.", "ffn_gate"],
                             "up_proj": ["up_proj", "w3", ".up.", "ffn_up"]},
            "shared_expert_keywords": ["shared", "expert"], "strict_packed_split": True},
        "extract_rules": [
            {"name": "generic_3d_expert_bank_separate",
             "match": ".*experts.*\\.(down_proj|gate_proj|up_proj)\\.weight$", "ndim": 3,
             "layout": layout, "proj_group": 1},
            {"name": "generic_2d_per_expert_separate",
             "match": ".*experts\\.(\\d+)\\.(down_proj|gate_proj|up_proj)\\.weight$", "ndim": 2,
             "layout": {"layer_axis": None, "expert_axis": None, "rows_axis": 0, "cols_axis": 1},
             "expert_group": 1, "proj_group": 2},
            {"name": "EXAMPLE_fused_gate_down_split_rows", "enabled": False,
             "match": ".*experts.*\\.(w13|gate_down_proj)\\.weight$", "ndim": 3, "layout": layout,
             "packed_split": {"axis": "rows", "splits": [512, 512],
                              "projs": ["gate_proj", "down_proj"]}}],
        "mlx": {"enabled": True, "device": "cpu"},
        "stats": {"eps": 1e-12, "sample_per_matrix": 8192, "sample_seed": 1337,
                  "percentiles_abs": [50.0, 99.0, 99.9], "group_outlier_percentile": 95.0,
                  "group_sizes_lastdim": [32, 64]},
        "quant_schemes": [
            {"name": "affine_q4_g32", "mode": "affine", "bits": 4, "group_size": 32,
             "enabled": True},
            {"name": "mxfp4_g32", "mode": "mxfp4", "bits": 4, "group_size": 32, "enabled": True},
            {"name": "affine_q8_g32", "mode": "affine", "bits": 8, "group_size": 32,
             "enabled": True}],
        "delta_pairs": [{"name": "mxfp4_minus_q4", "a": "mxfp4_g32", "b": "affine_q4_g32"},
                        {"name": "q8_minus_mxfp4", "a": "affine_q8_g32", "b": "mxfp4_g32"}],
        "output": {"format": "parquet", "compression": "zstd"},
        "debug": {"dump_unmatched_tensors": True, "print_progress_every_files": 1},
    }
