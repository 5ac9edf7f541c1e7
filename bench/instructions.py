"""Counts the instructions of each kernel with callgrind and compares them with committed figures.

usage: bench/instructions.py RUN_WORKLOAD [--write]

Counts do not depend on the machine's load, so a rise is a change of the code (or of the compiler:
the figures are for one of them). Fails when a kernel takes over 10 % more instructions than
bench/instructions.json says; --write makes that file anew.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile

FIGURES = pathlib.Path(__file__).with_suffix(".json")
MOST_RISE = 1.10
TIMES = 8


def per_element(program, name, elements):
    with tempfile.NamedTemporaryFile() as out:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--toggle-collect=RunCounted",
             f"--callgrind-out-file={out.name}", program, name, str(TIMES)],
            capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
        if done.returncode != 0:
            sys.exit(f"{name}: {done.stderr}")
        totals = [line for line in out.read().decode().splitlines() if line.startswith("totals:")]
    return round(int(totals[0].split()[1]) / TIMES / elements, 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="the built run_workload")
    parser.add_argument("--write", action="store_true", help="accept the counts of now")
    arguments = parser.parse_args()
    listed = subprocess.run([arguments.program], check=True, capture_output=True, text=True).stdout
    elements = {name: int(count) for name, count in (line.split() for line in listed.splitlines())}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        counts = dict(zip(elements, pool.map(
            lambda item: per_element(arguments.program, *item), elements.items())))
    if arguments.write:
        FIGURES.write_text(json.dumps(counts, indent=2) + "\n")
    figures = json.loads(FIGURES.read_text())
    print(f"{'instructions an element':<28}{'now':>9}{'committed':>11}")
    for name, count in counts.items():
        print(f"{name:<28}{count:>9.2f}{figures.get(name, 0):>11.2f}")
    missing = sorted(set(counts) ^ set(figures))
    risen = [name for name in counts if count_rose(counts[name], figures.get(name))]
    if missing:
        print(f"not in both lists: {', '.join(missing)}: run with --write", file=sys.stderr)
    if risen:
        print(f"over {MOST_RISE - 1:.0%} more instructions: {', '.join(risen)}", file=sys.stderr)
    return 1 if missing or risen else 0


def count_rose(now, before):
    return before is not None and now > before * MOST_RISE


if __name__ == "__main__":
    sys.exit(main())
