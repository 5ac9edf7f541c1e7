"""moescope and the Python route on the same checkpoint in one run, and how they compare.

usage: .venv/bin/python bench/compare.py [--experts 61] [--program build/release/moescope]

Both read a bf16 checkpoint of Qwen3-30B-A3B's geometry from the page cache (61 experts: 576 MB), and
fails unless their w_rel_fro are the same: quantized bit for bit alike, summed in double.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time

import pandas

import checkpoints
import program
import python_route


def worst_difference(python_rows, run_dir):
    """Largest relative difference of w_rel_fro between the two."""
    table = pandas.read_parquet(run_dir / "data" / "quant_sim.parquet")
    order = json.loads((run_dir / "analysis_config.json").read_text())["quant_schemes"]
    index = table.set_index(["source_tensor", "scheme"])["w_rel_fro"]
    worst = 0
    for name, _, errors in python_rows:
        for (mode, bits, _), error in zip(python_route.SCHEMES, errors):
            scheme = next(s["name"] for s in order if (s["mode"], s["bits"]) == (mode, bits))
            worst = max(worst, abs(error["w_rel_fro"] / index[name, scheme] - 1))
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="build/release/moescope", type=pathlib.Path)
    parser.add_argument("--experts", default=61, type=int)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="moescope-compare-", dir="/var/tmp") as name:
        folder, runs = pathlib.Path(name) / "model", pathlib.Path(name) / "runs"
        checkpoints.write_shards(folder, checkpoints.qwen3_30b_a3b(arguments.experts), "bf16", 2)
        size = program.bytes_of(folder)
        program.into_page_cache(folder)

        wall, cpu = time.monotonic(), time.process_time()
        rows = python_route.measure(folder)
        route = program.Cost(time.monotonic() - wall, time.process_time() - cpu, 0)
        ours = [program.collect(arguments.program.resolve(), folder, runs, 1) for _ in range(3)]
        both = [program.collect(arguments.program.resolve(), folder, runs, 2) for _ in range(3)]
        difference = worst_difference(rows, next((runs / "bench").iterdir()))

    one, two = (min(costs, key=lambda cost: cost.wall) for costs in (ours, both))
    print(f"{program.machine()}; {size / 1e6:.0f} MB of bf16 in page cache")
    print(f"{'':<22}{'wall s':>9}{'CPU s':>9}{'GB/s wall':>11}{'GB/s CPU':>10}{'times Python':>14}")
    for label, cost in (("Python route", route), ("moescope, 1 thread", one), ("moescope, 2 threads", two)):
        print(f"{label:<22}{cost.wall:>9.2f}{cost.cpu:>9.2f}{size / cost.wall / 1e9:>11.4f}"
              f"{size / cost.cpu / 1e9:>10.4f}{route.wall / cost.wall:>14.1f}")
    print(f"w_rel_fro differs by at most {difference:.1e} of it")
    return 0 if difference < 1e-9 else 1


if __name__ == "__main__":
    sys.exit(main())
