#!/usr/bin/env python3
"""What recipes are worth: the KL divergence of what mlx-lm converts by them, beside uniform schemes and its own mixed rules.

    .venv/bin/python scripts/recipe_study.py MODEL IMATRIX JUDGE

MODEL: a checkpoint small enough for a CPU; IMATRIX: llama.cpp's importance matrix of it; JUDGE: a .npy of integers
[windows, tokens], text that is not in IMATRIX. Goes from `moescope analyze` (once with IMATRIX, once without) over `moescope recipe`
and `moescope export --to mlx-lm` to mlx_lm.convert, loads the result and computes KL(MODEL || result) of the next token in nats
per token, float32. Only experts are quantized. Prints two Markdown tables. Needs build/release/moescope and mlx-lm
(setup/setup.sh --test)."""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import re
import runpy
import subprocess
import sys
import tempfile

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.convert import convert, mixed_quant_predicate_builder
from mlx_lm.utils import load_model

MOESCOPE = pathlib.Path(__file__).resolve().parent.parent / "build/release/moescope"
BUDGETS = ["2.75", "3.17", "3.75", "4.0", "4.5", "4.83"]
CANDIDATES = "q2,q3,q4,q5,q6,q8"
EXPERTS = r"switch_mlp|\.experts\."  # in names of MLX's modules and of the checkpoint's
PIN = f"^(?!.*({EXPERTS}))=bf16"
UNIFORM = [(2, 64), (2, 32), (3, 128), (3, 64), (3, 32), (4, 64), (4, 32), (5, 64)]  # bits, group
MIXED = ["mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6"]
BATCH = 8  # windows


@dataclasses.dataclass
class Result:
    name: str
    bytes: int  # of the experts, with scales and biases
    bits: float  # per weight of the experts
    kl: float


def shown(divergence):
    return f"{1000 * divergence:.3g}"


def moescope(*arguments):
    subprocess.run([MOESCOPE, *map(str, arguments)], check=True, stdout=sys.stderr)


def log_probabilities(model, windows):
    """Of each next token, [BATCH, tokens, vocabulary] at a time."""
    model.set_dtype(mx.float32)  # stacks of 16-bit floats can't be multiplied on a CPU
    for start in range(0, len(windows), BATCH):
        logits = model(mx.array(windows[start:start + BATCH, :-1]))
        yield logits - mx.logsumexp(logits, axis=-1, keepdims=True)


def expert_arrays(model):
    return [array for name, array in tree_flatten(model.parameters()) if re.search(EXPERTS, name)]


class Study:
    def __init__(self, source, windows, folder):
        self.source, self.windows, self.folder = source, windows, folder
        self.model, _ = load_model(source)
        self.weights = sum(array.size for array in expert_arrays(self.model))
        self.expected = list(log_probabilities(self.model, windows))
        mx.eval(self.expected)

    def judge(self, name, write):
        """`write(out)` converts the model to the folder `out`."""
        with tempfile.TemporaryDirectory(dir=self.folder) as parent:
            out = pathlib.Path(parent) / "out"
            with contextlib.redirect_stdout(sys.stderr):
                write(out)
            model, _ = load_model(out)
            size = sum(array.nbytes for array in expert_arrays(model))
            divergence = [np.array((mx.exp(p) * (p - q)).sum(axis=-1), dtype=np.float64)
                          for p, q in zip(self.expected, log_probabilities(model, self.windows))]
        return Result(name, size, 8 * size / self.weights, np.concatenate(divergence).mean())

    def by_rule(self, name, rule, group=64):
        """`rule(path, module)`: what an expert's module gets."""
        return self.judge(name, lambda out: convert(
            str(self.source), out, quantize=True, q_group_size=group,
            quant_predicate=lambda path, module: bool(re.search(EXPERTS, path)) and rule(path, module)))

    def uniform(self, bits, group):
        scheme = {"group_size": group, "bits": bits, "mode": "affine"}
        return self.by_rule(f"{bits} bits, groups of {group}", lambda *_: scheme, group)

    def mixed(self, name):
        return self.by_rule(name, mixed_quant_predicate_builder(name, self.model))

    def recipe(self, run, bits):
        recipe, script = self.folder / "recipe.json", self.folder / "convert_by_recipe.py"
        moescope("recipe", run, "--bits", bits, "--candidates", CANDIDATES, "--pin", PIN, "-o", recipe)
        moescope("export", recipe, "--to", "mlx-lm", "-o", script)
        return self.judge("recipe", lambda out: runpy.run_path(str(script))["main"]([str(self.source), str(out)]))


def at_no_fewer_bytes(results, size):
    return min((result for result in results if result.bytes >= size), key=lambda result: result.bytes)


def print_table(*rows):
    """The first row: heads."""
    for row in (rows[0], ["---"] * len(rows[0]), *rows[1:]):
        print("| " + " | ".join(map(str, row)) + " |")
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "imatrix", "judge"):
        parser.add_argument(name, metavar=name.upper(), type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recipe-study-") as name:
        folder = pathlib.Path(name)
        for run, evidence in (("measured", ["--imatrix", arguments.imatrix]), ("guessed", [])):
            moescope("analyze", arguments.model, "--out", folder, "--model-id", "model", "--run-name", run,
                     "--schemes", CANDIDATES, "--no-report", "--quiet", *evidence)
        study = Study(arguments.model, np.load(arguments.judge).astype(np.int32), folder)
        uniform = [study.uniform(*scheme) for scheme in UNIFORM]
        mixed = [study.mixed(rule) for rule in MIXED]
        print_table(("uniform, or mlx-lm's rule", "bits", "bytes", "KL x 1000"), *(
            (other.name, f"{other.bits:.4g}", f"{other.bytes:,}", shown(other.kl))
            for other in sorted(uniform + mixed, key=lambda other: other.bytes)))
        rows = []
        for bits in BUDGETS:
            measured, guessed = (study.recipe(folder / "model" / run, bits) for run in ("measured", "guessed"))
            row = [bits, f"{measured.bits:.4g}", f"{measured.bytes:,}", shown(measured.kl), shown(guessed.kl)]
            for others in (uniform, mixed):
                other = at_no_fewer_bytes(others, max(measured.bytes, guessed.bytes))
                row += [f"{shown(other.kl)} ({other.name}: {other.bits:.4g})", f"{other.kl / measured.kl:.2f}"]
            rows.append(row)
        print_table(("budget", "bits", "bytes", "KL x 1000 of the recipe", "the same without imatrix", "uniform at no fewer bytes",
                     "/ recipe", "mlx-lm's rule at no fewer bytes", "/ recipe"), *rows)


if __name__ == "__main__":
    main()
