"""Runs clang-tidy on the C++ sources: on all, or only on what changed since main (or, on main, in its
last commit). A changed header is judged in a source that includes it."""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROOMS = ("src", "include", "examples", "bench")


def all_sources(build):
    """What the build compiles of ours, but tests."""
    units = json.loads((ROOT / build / "compile_commands.json").read_text())
    paths = (pathlib.Path(unit["file"]).relative_to(ROOT) for unit in units)
    return sorted(path for path in paths if path.parts[0] in ROOMS)


def git(*arguments):
    """Lines that git prints; none of a command that fails."""
    done = subprocess.run(["git", "-c", "safe.directory=*", *arguments], cwd=ROOT, text=True,
                          capture_output=True)
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


def commit_before():
    """Where this branch left main; on main, the commit before its last. None without such history."""
    head = git("rev-parse", "HEAD")
    for main in ("origin/HEAD", "origin/main", "main"):
        base = git("merge-base", "HEAD", main)
        if base and base != head:
            return base[0]
    return next(iter(git("rev-parse", "--verify", "HEAD~1")), None)


def changed_files(base):
    return {pathlib.Path(name) for name in git("diff", "--name-only", base, "--", *ROOMS) +
            git("ls-files", "--others", "--exclude-standard", "--", *ROOMS)}


def judged_in(header, sources):
    """The source that shows what clang-tidy says of `header`: its own, else one that includes it."""
    own = header.with_suffix(".cc")
    if own in sources:
        return own
    name = f'"{pathlib.Path(*header.parts[1:])}"'  # as it is included, from src/ or include/
    return next((path for path in sources if name in (ROOT / path).read_text()), None)


def changed_sources(sources):
    base = commit_before()
    if base is None:
        print("tidy: no commit to compare with here, so all sources are judged")
        return sources
    changed = changed_files(base)
    found = {judged_in(path, sources) if path.suffix == ".h" else path for path in changed}
    return [path for path in sources if path in found]


def tidy(build, source):
    return subprocess.run(["clang-tidy-19", "-quiet", "-p", build, str(source)], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", help="build folder with compile_commands.json")
    parser.add_argument("--changed", action="store_true", help="only what changed")
    arguments = parser.parse_args()
    sources = all_sources(arguments.build)
    if arguments.changed:
        sources = changed_sources(sources)
    print(f"tidy: {len(sources)} sources", flush=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda source: tidy(arguments.build, source), sources))
    bad = [result for result in results if result.returncode != 0]
    for result in bad:
        print(result.stdout or f"{result.args} failed with {result.returncode}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
