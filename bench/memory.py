"""Peak anonymous memory (RssAnon, sampled every 10 ms) of collect-data on large checkpoints.

usage: .venv/bin/python bench/memory.py [--program build/release/moescope] [--threads 1 2]

Contract: under 200 MiB + 8 MiB a thread, whatever the checkpoint's size. Two checkpoints are made in
a temporary folder (about 2.7 GB on disk): 70,000 small bf16 matrices in 7 shards, and one expert bank
of 2 GiB in bf16. Exits 1 when a limit is broken.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np

MIB = 1 << 20


def write_safetensors(path, shapes, block):
    """bf16 tensors of `shapes` (name -> shape), their data cut from `block`, repeated."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for left in range(offset, 0, -len(block)):
            file.write(block[:min(left, len(block))])


def make_checkpoints(folder):
    values = (np.random.default_rng(1).standard_normal(8 * MIB) * 0.02).astype(np.float32)
    block = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    many, bank = folder / "many", folder / "bank"
    many.mkdir()
    bank.mkdir()
    names = [f"model.layers.{layer}.mlp.experts.{expert}.{proj}.weight" for layer in range(92)
             for expert in range(256) for proj in ("gate_proj", "up_proj", "down_proj")][:70_000]
    for shard in range(7):
        part = names[shard * 10_000:(shard + 1) * 10_000]
        write_safetensors(many / f"model-{shard:05}.safetensors", {n: [64, 64] for n in part}, block)
    write_safetensors(bank / "model.safetensors",
                      {"model.layers.0.mlp.experts.gate_proj.weight": [64, 4096, 4096]}, block)
    return {"70,000 matrices": many, "one 2 GiB bank": bank}


def peak_rss_anon(process):
    peak = 0
    while process.poll() is None:
        try:
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        found = re.search(r"RssAnon:\s+(\d+) kB", status)
        peak = max(peak, int(found.group(1)) * 1024) if found else peak
        time.sleep(0.01)
    return peak


def measure(program, model, threads, runs):
    run_name = f"{model.name}-{threads}"
    subprocess.run([program, "init-run", "--root", runs, "--model-id", "m", "--run-name", run_name,
                    "--model-path", model], check=True, capture_output=True)
    started = time.monotonic()
    process = subprocess.Popen([program, "collect-data", "--run-dir", runs / "m" / run_name,
                                "--threads", str(threads)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = peak_rss_anon(process)
    if process.returncode != 0:
        sys.exit(f"collect-data failed: {process.returncode}")
    return peak, time.monotonic() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="build/release/moescope", type=pathlib.Path)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    arguments = parser.parse_args()
    broken = False
    with tempfile.TemporaryDirectory(prefix="moescope-memory-", dir="/var/tmp") as name:
        folder = pathlib.Path(name)
        print(f"{'checkpoint':<18}{'threads':>8}{'peak RssAnon':>16}{'limit':>10}{'seconds':>9}")
        for label, model in make_checkpoints(folder).items():
            for threads in arguments.threads:
                peak, seconds = measure(arguments.program.resolve(), model, threads, folder / "runs")
                limit = (200 + 8 * threads) * MIB
                broken |= peak > limit
                print(f"{label:<18}{threads:>8}{peak / MIB:>12.0f} MiB{limit / MIB:>6.0f} MiB{seconds:>9.1f}",
                      flush=True)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
