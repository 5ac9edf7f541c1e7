"""Time and memory of collect-data against size, threads, and number of tensors: a table and a picture.

usage: .venv/bin/python bench/scale.py [--program build/release/moescope] [--picture FILE.svg]
       [--gigabytes 0.5 1 2 4] [--thousands-of-tensors 12.5 25 50 100]

Sizes: bf16 experts of Qwen3-30B-A3B's geometry in page cache. Tensors: 200 shards of 1 x 32 matrices,
so that the time is that of names, headers and rows. Cold: the largest checkpoint after it was dropped
from the page cache, beside a plain read of it. Needs some 9 GB in /var/tmp.
"""

import argparse
import pathlib
import sys
import tempfile
import time

import checkpoints
import program

EXPERT_BYTES = 3 * 768 * 2048 * 2
SHARDS = 200


def row(label, value, threads, cost, size):
    print(f"| {label} | {value} | {threads} | {cost.wall:.2f} | {cost.cpu:.2f} | "
          f"{size / cost.wall / 1e9:.3f} | {cost.anonymous / (1 << 20):.0f} |", flush=True)
    return {"value": value, "threads": threads, "wall": cost.wall, "memory": cost.anonymous}


def by_size(arguments, folder):
    rows = []
    for gigabytes in arguments.gigabytes:
        model = folder / f"size-{gigabytes}"
        shapes = checkpoints.qwen3_30b_a3b(round(gigabytes * 1e9 / EXPERT_BYTES))
        checkpoints.write_shards(model, shapes, "bf16", 2)
        program.into_page_cache(model)
        size = program.bytes_of(model)
        for threads in (1, 2):
            cost = program.collect(arguments.program, model, folder / "runs", threads)
            rows.append(row("GB", round(size / 1e9, 2), threads, cost, size))
    for mode in ("mmap", "read"):
        program.drop_from_page_cache(model)
        cost = program.collect(arguments.program, model, folder / "runs", 2, ("--io", mode))
        row(f"cold GB, {mode}", round(size / 1e9, 2), 2, cost, size)
    program.drop_from_page_cache(model)
    started = time.monotonic()
    program.into_page_cache(model)
    plain = time.monotonic() - started
    row("cold GB, plain read", round(size / 1e9, 2), 1, program.Cost(plain, 0, 0), size)
    return rows


def by_tensors(arguments, folder):
    rows = []
    for thousands in arguments.thousands_of_tensors:
        model = folder / f"tensors-{thousands}"
        count = round(thousands * 1000)
        names = (f"model.layers.{i // 1536}.mlp.experts.{i % 1536 // 3}.{proj}.weight"
                 for i in range(0, count, 3) for proj in ("gate_proj", "up_proj", "down_proj"))
        shapes = dict.fromkeys(list(names)[:count], (32, 32))
        checkpoints.write_shards(model, shapes, "bf16", SHARDS)
        cost = program.collect(arguments.program, model, folder / "runs", 1)
        rows.append(row(f"thousand tensors in {SHARDS} shards", thousands, 1, cost,
                        program.bytes_of(model)))
    return rows


def draw(sizes, tensors, path):
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for threads, style in ((1, "o-"), (2, "s--")):
        of = [r for r in sizes if r["threads"] == threads]
        left.plot([r["value"] for r in of], [r["wall"] for r in of], style,
                  label=f"{threads} thread{'s' * (threads > 1)}")
        middle.plot([r["value"] for r in of], [r["memory"] / (1 << 20) for r in of], style)
    right.plot([r["value"] for r in tensors], [r["wall"] for r in tensors], "o-")
    for axes, x, y in ((left, "GB of bf16 experts", "seconds"),
                       (middle, "GB of bf16 experts", "peak anonymous MiB"),
                       (right, f"thousand tensors in {SHARDS} shards", "seconds")):
        axes.set(xlabel=x, ylabel=y, xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
    left.legend()
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="build/release/moescope", type=pathlib.Path)
    parser.add_argument("--gigabytes", nargs="+", type=float, default=[0.5, 1, 2, 4])
    parser.add_argument("--thousands-of-tensors", nargs="+", type=float, default=[12.5, 25, 50, 100])
    parser.add_argument("--picture", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.program = arguments.program.resolve()
    print(f"{program.machine()}\n")
    print("| what | value | threads | wall s | CPU s | GB/s | peak anonymous MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="moescope-scale-", dir="/var/tmp") as name:
        folder = pathlib.Path(name)
        sizes = by_size(arguments, folder)
        tensors = by_tensors(arguments, folder)
    if arguments.picture:
        draw(sizes, tensors, arguments.picture)


if __name__ == "__main__":
    sys.exit(main())
