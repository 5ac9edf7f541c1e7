"""The work of `collect-data` as Python does it with public NumPy and MLX, on the CPU.

Exact percentiles, group outliers, and for each scheme mx.quantize, mx.dequantize and the error, all
under the template config. A yardstick for bench/compare.py; float32 sums, as is usual there.
"""

import json
import mmap

import mlx.core as mx
import numpy as np

SCHEMES = [("affine", 4, 32), ("mxfp4", 4, 32), ("affine", 8, 32)]


def matrices(path):
    """Name and bfloat16 bits of each tensor of a safetensors file."""
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    length = int.from_bytes(data[:8], "little")
    for name, entry in json.loads(data[8:8 + length]).items():
        begin, end = (8 + length + at for at in entry["data_offsets"])
        yield name, np.frombuffer(data[begin:end], np.uint16).reshape(entry["shape"])


def statistics(w):
    magnitude = np.abs(w)
    stats = [w.mean(), w.std(), magnitude.mean(), np.sqrt(np.square(w).mean()), magnitude.max(),
             *np.percentile(magnitude, [50, 99, 99.9])]
    for size in (32, 64):
        groups = magnitude.reshape(-1, size)
        ratio = groups.max(axis=1) / (groups.mean(axis=1) + 1e-12)
        stats += [np.percentile(ratio, 95), ratio.max()]
    return stats


def errors(bits):
    w = mx.view(mx.array(bits), mx.bfloat16)
    w32 = w.astype(mx.float32)
    norm, largest = mx.sqrt(mx.sum(w32 * w32)), mx.max(mx.abs(w32))
    for mode, width, group in SCHEMES:
        options = {"group_size": group, "bits": width, "mode": mode}
        parts = mx.quantize(w, **options)
        biases = parts[2] if len(parts) > 2 else None
        back = mx.dequantize(parts[0], parts[1], biases, **options).astype(mx.float32)
        d = w32 - back
        yield (mx.sqrt(mx.sum(d * d)) / norm).item(), (mx.max(mx.abs(d)) / largest).item()


def measure(folder):
    mx.set_default_device(mx.cpu)
    rows = []
    for path in sorted(folder.glob("*.safetensors")):
        for name, bits in matrices(path):
            w = (bits.astype(np.uint32) << 16).view(np.float32)
            rows.append((name, statistics(w), list(errors(bits))))
    return rows
