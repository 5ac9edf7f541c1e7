#!/usr/bin/env python3
"""Citations are true: "contract section 6", "D12", "checkpoints.md 6.2" name what is in docs/spec.

Papers of others are cited with their name in front ("PNG, section 9"). A public header cites nothing: whoever
installed it has no papers. Every page (*.md) that is mentioned is a file of the repository.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ["bench", "cmake", "docs", "examples", "include", "scripts", "setup", "src", "tests"]
SUFFIXES = {".cc", ".cmake", ".h", ".js", ".md", ".mjs", ".py", ".sh", ".txt"}
SKIPPED = {"node_modules", "data"}  # what others wrote

HEADING = re.compile(r"^#+ (\d+(?:\.\d+)?)[. ]", re.MULTILINE)
DECISION = re.compile(r"^\| (D\d+) \|", re.MULTILINE)
PLACES = {path.stem: {*HEADING.findall(path.read_text()), *DECISION.findall(path.read_text())}
          for path in (ROOT / "docs/spec").glob("*.md")}
DECISIONS = {place for place in PLACES["contract"] if place.startswith("D")}

PLACE = r"D?\d+(?:\.\d+)*"
LIST = rf"{PLACE}(?:(?:,\s+|\s+and\s+|\s+to\s+|-){PLACE})*"
CITATION = re.compile(rf"(?:(?P<paper>[\w.-]+)(?P<comma>,?)\s+)?\b[Ss]ections?\s+(?P<places>{LIST})")
NUMBERED = re.compile(rf"(?P<paper>[\w-]+\.md|[Cc]ontract)\s+(?P<places>{LIST})")
BARE_DECISION = re.compile(r"\bD\d+\b")
PAGE = re.compile(r"[\w-]+\.md\b")
LINE_BREAK = re.compile(r"\n[ \t]*(?:///?<?|#|\*)?[ \t]*")  # within a comment


def files():
    yield from ROOT.glob("*.md")
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and not SKIPPED & set(path.relative_to(ROOT).parts):
                yield path


PAGES = {path.name for path in files() if path.suffix == ".md"}


def faults_of_places(paper, places):
    stem = paper.removesuffix(".md").lower()
    if stem not in PLACES:
        yield f'{places} is of no paper of docs/spec, but of "{paper}"'
        return
    for place in re.findall(PLACE, places):
        if place not in PLACES[stem]:
            yield f"docs/spec/{stem}.md has no {place}"


def faults_of_text(path, text):
    """(position, what) for each."""
    one_line = LINE_BREAK.sub(lambda found: " " * len(found.group()), text)
    own = path.stem if path.parent == ROOT / "docs/spec" else None
    for found in CITATION.finditer(one_line):
        paper = found["paper"] or ""
        if found["comma"] and paper[0].isupper():
            continue  # of others
        if own and paper.removesuffix(".md").lower() not in PLACES:
            paper = own
        for fault in faults_of_places(paper, found["places"]):
            yield found.start(), fault
    for found in NUMBERED.finditer(one_line):
        for fault in faults_of_places(found["paper"], found["places"]):
            yield found.start(), fault
    for found in BARE_DECISION.finditer(one_line):
        if found.group() not in DECISIONS:
            yield found.start(), f"{found.group()} is no decision of docs/spec/contract.md"
    for found in PAGE.finditer(one_line):
        if found.group() not in PAGES:
            yield found.start(), f"there is no {found.group()}"
    if path.is_relative_to(ROOT / "include"):
        for found in re.finditer(r"\bD\d+\b|\bsections?\s+\d|docs/spec|\bcontract\b", one_line):
            yield found.start(), f'a public header cites nothing: "{found.group()}"'


def main():
    found = []
    for path in files():
        text = path.read_text()
        found += [f"{path}:{text.count(chr(10), 0, at) + 1}: {what}" for at, what in faults_of_text(path, text)]
    print("\n".join(found) if found else "every citation names something in docs/spec")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
