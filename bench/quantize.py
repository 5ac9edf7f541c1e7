"""moescope quantize against mlx_lm.convert on one checkpoint: seconds, CPU seconds, peak anonymous memory.

usage: .venv/bin/python bench/quantize.py [--program build/release/moescope] [--gb 1] [--schemes q4 mxfp4] [--no-mlx]

A Qwen3-MoE of that size in bf16 is made in a temporary folder, read once, and quantized: by moescope on one and on two
threads, and by mlx_lm.convert of this Python, whose tensors must be equal. Speeds are of the checkpoint's bytes by CPU
second. The contract for memory: under 300 MiB + 16 MiB a thread, whatever the checkpoint's size; exits 1 when it is broken.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from memory import MIB, peak_rss_anon, write_safetensors

CONVERT = """
import sys, json
from mlx_lm import convert
convert(sys.argv[1], sys.argv[2], quantize=True, **json.loads(sys.argv[3]))
"""
MLX = {"q4": {"q_bits": 4, "q_group_size": 64}, "q8": {"q_bits": 8, "q_group_size": 64}, "mxfp4": {"q_mode": "mxfp4"},
       "nvfp4": {"q_mode": "nvfp4"}, "mxfp8": {"q_mode": "mxfp8"}}


def make_checkpoint(folder, gigabytes):
    hidden, width, experts, vocab, heads = 2048, 768, 32, 4096, 16
    layer_bytes = 2 * (3 * experts * width * hidden + 4 * hidden * hidden)
    layers = max(1, round(gigabytes * 1e9 / layer_bytes))
    shapes = {"model.embed_tokens.weight": [vocab, hidden], "lm_head.weight": [vocab, hidden], "model.norm.weight": [hidden]}
    for layer in range(layers):
        at = f"model.layers.{layer}."
        shapes |= {at + "input_layernorm.weight": [hidden], at + "post_attention_layernorm.weight": [hidden],
                   at + "mlp.gate.weight": [experts, hidden]}
        shapes |= {f"{at}self_attn.{p}_proj.weight": [hidden, hidden] for p in "qkvo"}
        shapes |= {f"{at}self_attn.{p}_norm.weight": [hidden // heads] for p in "qk"}
        for expert in range(experts):
            shapes |= {f"{at}mlp.experts.{expert}.{p}.weight": [width, hidden] for p in ("gate_proj", "up_proj")}
            shapes[f"{at}mlp.experts.{expert}.down_proj.weight"] = [hidden, width]
    values = (np.random.default_rng(1).standard_normal(8 * MIB) * 0.02).astype(np.float32)
    write_safetensors(folder / "model.safetensors", shapes, (values.view(np.uint32) >> 16).astype(np.uint16).tobytes())
    (folder / "config.json").write_text(json.dumps({
        "model_type": "qwen3_moe", "hidden_size": hidden, "num_hidden_layers": layers, "intermediate_size": width,
        "num_attention_heads": heads, "num_key_value_heads": heads, "head_dim": hidden // heads, "num_experts": experts,
        "num_experts_per_tok": 4, "moe_intermediate_size": width, "decoder_sparse_step": 1, "mlp_only_layers": [],
        "norm_topk_prob": True, "rms_norm_eps": 1e-6, "vocab_size": vocab, "rope_theta": 1e4, "tie_word_embeddings": False,
        "max_position_embeddings": 4096, "torch_dtype": "bfloat16"}))
    vocabulary = {f"w{i}": i for i in range(vocab)}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"}}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


def measured(command):
    """(wall seconds, CPU seconds, peak anonymous memory)."""
    before, started = os.times(), time.monotonic()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "HF_HUB_OFFLINE": "1"})
    peak = peak_rss_anon(process)
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed: {process.stderr.read()}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - started, cpu, peak


def tensors_of(folder):
    """name -> bytes, as views of the mapped file."""
    found = {}
    for path in folder.glob("model*.safetensors"):
        data = np.memmap(path, np.uint8, "r")
        size = int.from_bytes(bytes(data[:8]), "little")
        header = json.loads(bytes(data[8:8 + size]))
        header.pop("__metadata__")
        found |= {name: data[8 + size + entry["data_offsets"][0]:8 + size + entry["data_offsets"][1]]
                  for name, entry in header.items()}
    return found


def are_equal(a, b):
    a, b = tensors_of(a), tensors_of(b)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="build/release/moescope", type=pathlib.Path)
    parser.add_argument("--gb", default=1.0, type=float)
    parser.add_argument("--schemes", nargs="+", default=["q4", "mxfp4"], choices=MLX)
    parser.add_argument("--no-mlx", action="store_true")
    arguments = parser.parse_args()
    broken = False
    with tempfile.TemporaryDirectory(prefix="moescope-quantize-", dir="/var/tmp") as name:
        source = pathlib.Path(name) / "source"
        source.mkdir()
        make_checkpoint(source, arguments.gb)
        size = (source / "model.safetensors").stat().st_size
        subprocess.run(["cat", source / "model.safetensors"], stdout=subprocess.DEVNULL, check=True)
        print(f"{size / 1e9:.2f} GB of bf16")
        print(f"{'scheme':<8}{'by':<20}{'wall s':>8}{'CPU s':>8}{'GB/CPU s':>10}{'peak RssAnon':>14}")
        for scheme in arguments.schemes:
            runs, theirs = [], source.parent / f"{scheme}-mlx"
            for threads in (1, 2):
                out = source.parent / f"{scheme}-{threads}"
                command = [arguments.program.resolve(), "quantize", source, "--scheme", scheme, "-o", out, "-j", threads]
                runs.append((f"moescope -j{threads}", measured(command)))
                broken |= runs[-1][1][2] > (300 + 16 * threads) * MIB
            if not arguments.no_mlx:
                command = [sys.executable, "-c", CONVERT, source, theirs, json.dumps(MLX[scheme])]
                runs.append(("mlx_lm.convert", measured(command)))
            for label, (wall, cpu, peak) in runs:
                print(f"{scheme:<8}{label:<20}{wall:>8.1f}{cpu:>8.1f}{size / cpu / 1e9:>10.2f}{peak / MIB:>10.0f} MiB", flush=True)
            if not arguments.no_mlx and not are_equal(theirs, source.parent / f"{scheme}-1"):
                sys.exit(f"{scheme}: not the same tensors")
            for folder in source.parent.glob(f"{scheme}-*"):
                subprocess.run(["rm", "-r", folder], check=True)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
