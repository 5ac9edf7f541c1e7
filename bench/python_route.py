"""The work of `collect-data` as Python does it with public NumPy and MLX, on the CPU.

Statistics, exact percentiles, group outliers, and for each scheme mx.quantize, mx.dequantize and the
error, all under the template config; sums in double, since those of float32 are wrong in the third
digit. A yardstick for bench/compare.py. Shares of clipped elements, which MLX does not show, are left out.
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
    wide, magnitude = w.astype(np.float64), np.abs(w)
    stats = [wide.mean(), wide.std(), np.abs(wide).mean(), np.sqrt(np.square(wide).mean()),
             magnitude.max(), *np.percentile(magnitude, [50, 99, 99.9])]
    for size in (32, 64):
        groups = magnitude.reshape(-1, size)
        ratio = groups.max(axis=1) / (groups.mean(axis=1, dtype=np.float64) + 1e-12)
        stats += [np.percentile(ratio, 95), ratio.max()]
    return stats


def floats(array):
    return np.array(array.astype(mx.float32))


def errors(bits, w):
    stored = mx.view(mx.array(bits), mx.bfloat16)
    wide = w.astype(np.float64)
    norm, largest = np.sqrt(np.square(wide).sum()), np.abs(wide).max()
    for mode, width, group in SCHEMES:
        options = {"group_size": group, "bits": width, "mode": mode}
        codes, scales, *biases = mx.quantize(stored, **options)
        back = floats(mx.dequantize(codes, scales, *biases, **options))
        d = wide - back
        yield {"w_rel_fro": np.sqrt(np.square(d).sum()) / norm, "w_rel_max": np.abs(d).max() / largest,
               "zero_share": np.mean((back == 0) & (w != 0)),
               "stored": [(part.mean(dtype=np.float64), part.max(), np.abs(part).max())
                          for part in map(floats, [scales, *biases])]}


def measure(folder):
    mx.set_default_device(mx.cpu)
    rows = []
    for path in sorted(folder.glob("*.safetensors")):
        for name, bits in matrices(path):
            w = (bits.astype(np.uint32) << 16).view(np.float32)
            rows.append((name, statistics(w), list(errors(bits, w))))
    return rows
