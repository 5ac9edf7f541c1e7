#!/usr/bin/env python3
"""Says whether two moescope programs write the same: tables, logs, page data, pictures, printed text, exit codes.

    .venv/bin/python scripts/compare_runs.py OLD NEW [MODEL...]

OLD and NEW are two builds of the program (or two run directories). Each runs on every MODEL (without one: the checkpoints
of tests/data/zoo, cases and cases_robust), once with Parquet and once with CSV: inspect, init-run, collect-data,
build-tables, build-plots, report, show. What may differ is left out: times, versions, the folder, the program's own path
and the page's size. Of Parquet files the columns' names, types, metadata and values are compared, of the page what it holds as data, but
for what it did not hold in OLD's time.
Prints each difference; exits with 1 if there is one."""

import argparse
import collections
import concurrent.futures
import difflib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import pyarrow.parquet

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests/data"
VARYING = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)|(?<= in )[\d.]+ (s|min)\b"
                     r"|(?<=report\.html \()[^)]+(?=\))")
MASKED_KEYS = {"duration_seconds", "changed_ns", "version", "program", "moescope.version"}
# What older programs do not write: parts of the page's data, and keys of its facts.
LATER_DATA = {"choice", "far", "rest"}
PAGE_DATA = re.compile(r'<script type="(?:application/json|text/plain)" id="(\w+)">(.*?)</script>', re.DOTALL)


def masked(value):
    """Parsed JSON without what may differ."""
    if isinstance(value, dict):
        return {key: "masked" if key in MASKED_KEYS else masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    return VARYING.sub("VARYING", value) if isinstance(value, str) else value


def same_text(data, names):
    text = data.decode(errors="surrogateescape")
    for name, word in names:
        text = text.replace(name, word)
    return VARYING.sub("VARYING", text)


def parquet_content(path):
    table = pyarrow.parquet.read_table(path)
    columns = {}
    for field in table.schema:
        metadata = sorted((field.metadata or {}).items())
        columns[field.name] = f"{field.type} {metadata}\n" + "\n".join(map(repr, table[field.name].to_pylist()))
    kept = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    columns["file metadata"] = json.dumps(masked(kept), sort_keys=True)
    columns["order of columns"] = "\n".join(table.schema.names)
    return columns


def content(path, names):
    """What must be the same of a file: part -> text (or bytes)."""
    if path.suffix == ".parquet":
        return parquet_content(path)
    data = path.read_bytes()
    if path.suffix == ".png":
        return {"": data}
    text = same_text(data, names)
    if path.suffix == ".json":
        return {"": json.dumps(masked(json.loads(text)), indent=1, ensure_ascii=True)}
    if path.suffix == ".html":
        parts = dict(PAGE_DATA.findall(text))
        if "run" in parts:
            facts = masked(json.loads(parts["run"]))
            parts.update({key: json.dumps(facts.pop(key)) for key in LATER_DATA & facts.keys()})
            parts["run"] = json.dumps(facts, indent=1)
        return parts
    return {"": text}


def files_below(folder, names):
    return {(str(path.relative_to(folder)), part): text
            for path in sorted(folder.rglob("*")) if path.is_file()
            for part, text in content(path, names).items()}


def run_pipeline(program, model, table_format, folder):
    """Runs all commands on `model`; returns (thing, part) -> text of all that came out."""
    out, run = {}, folder / "run"
    names = [(str(program), "moescope"), (str(folder), "FOLDER")]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGINGFACE"))}

    def call(*arguments):
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, cwd=folder, timeout=600,
                              env=environment)
        printed = same_text(done.stdout, names), same_text(done.stderr, names)
        out[" ".join(same_text(os.fsencode(str(word)), names) for word in arguments), ""] = (
            f"exit {done.returncode}\n{printed[0]}---- stderr\n{printed[1]}")
        return done.returncode

    call("inspect", model)
    call("inspect", model, "--tensors")
    call("inspect", model, "--json")
    call("init-run", "--root", folder, "--model-id", "m", "--run-name", "r", "--model-path", model)
    config = folder / "m/r/analysis_config.json"
    if config.exists():
        words = json.loads(config.read_text())
        words["output"]["format"] = table_format
        config.write_text(json.dumps(words))
        call("collect-data", config.parent)
        call("build-tables", config.parent)
        call("build-plots", config.parent)
        call("report", config.parent)
        call("show", config.parent)
        call("show", config.parent, "--table", "quant_sim")
    call("analyze", model, "--out", run)
    out.update(files_below(folder, names))
    return out


def differences(old, new):
    for key in sorted(old.keys() | new.keys()):
        is_later = key[1] in LATER_DATA and key not in old
        if old.get(key) != new.get(key) and not is_later:
            yield " ".join(key), old.get(key), new.get(key)


def shown(old, new):
    if not isinstance(old, str) or not isinstance(new, str):
        return f"only in {'NEW' if old is None else 'OLD'}" if old is None or new is None else "other bytes"
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "OLD", "NEW", n=0, lineterm="")
    return "\n".join(line[:300] for line in list(lines)[2:14])


def compare_on(model, table_format, programs):
    made = []
    for program in programs:
        with tempfile.TemporaryDirectory(prefix="compare-runs-") as folder:
            made.append(run_pipeline(program, model, table_format, pathlib.Path(folder)))
    return [(f"{model.parent.name}/{model.name} {table_format}: {what}", shown(old, new))
            for what, old, new in differences(*made)], len(made[0])


def compare_runs(old, new):
    made = [files_below(run, [(str(run), "RUN")]) for run in (old, new)]
    return [(what, shown(a, b)) for what, a, b in differences(*made)], len(made[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=pathlib.Path)
    parser.add_argument("new", type=pathlib.Path)
    parser.add_argument("models", nargs="*", type=pathlib.Path)
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    old, new = arguments.old.resolve(), arguments.new.resolve()
    if old.is_dir():
        found, compared = compare_runs(old, new)
        runs = 1
    else:
        models = [model.resolve() for model in arguments.models] or [
            model for folder in ("zoo", "cases", "cases_robust") for model in sorted((DATA / folder).iterdir())
            if model.is_dir() and model.name != "__pycache__"]
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            results = list(pool.map(lambda work: compare_on(*work, (old, new)),
                                    [(model, form) for model in models for form in ("parquet", "csv")]))
        found = [difference for differing, _ in results for difference in differing]
        compared, runs = sum(count for _, count in results), len(results)
    for what, difference in found:
        print(f"{what}\n{difference}\n")
    kinds = collections.Counter(what.split(": ", 1)[-1] for what, _ in found)
    for kind, count in kinds.most_common(20):
        print(f"{count:6} x {kind}")
    print(f"{runs} runs, {compared} things compared, {len(found)} differ")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
