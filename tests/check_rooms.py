#!/usr/bin/env python3
"""Checks that #include points only towards rooms that a room may know (docs/architecture.md)."""
import re
import sys
from pathlib import Path

# Room -> the rooms whose headers it may include, besides its own and include/moescope.
MAY_KNOW = {
    "base": set(),
    "checkpoint": {"base"},
    "codec": {"base", "checkpoint"},
    "experts": {"base", "checkpoint", "codec"},
    "measure": {"base"},
    "mlx": {"base", "measure"},
    "rows": {"base"},
    "run": {"base", "checkpoint", "measure", "rows"},
    "tables": {"base", "rows", "run"},
    "report": {"base", "measure", "rows", "run", "tables"},
    "collect": {"base", "checkpoint", "codec", "experts", "measure", "mlx", "rows", "run", "tables"},
    "cli": {"base", "checkpoint", "collect", "mlx", "report", "rows", "run", "tables"},
}
# A library's headers -> the only room that may see them.
ONLY_IN = {"arrow": "tables", "parquet": "tables", "mlx": "mlx", "CLI": "cli", "duktape.h": "report",
           "librsvg": "report", "cairo.h": "report", "glib.h": "report"}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)


def faults(root):
    for path in sorted((root / "src").glob("*/**/*")):
        if path.suffix not in {".h", ".cc"}:
            continue
        room = path.relative_to(root / "src").parts[0]
        if room not in MAY_KNOW:
            yield f"{path}: room '{room}' is not in MAY_KNOW"
            continue
        for quote, header in INCLUDE.findall(path.read_text()):
            first = header.split("/")[0]
            if quote == "<":
                if ONLY_IN.get(first, room) != room:
                    yield f"{path}: only {ONLY_IN[first]} may include <{header}>"
            elif first not in MAY_KNOW[room] | {room, "moescope"}:
                yield f'{path}: {room} may not know "{header}"'
    for path in sorted((root / "include/moescope").glob("*.h")):
        for quote, header in INCLUDE.findall(path.read_text()):
            if quote == '"' and not header.startswith("moescope/"):
                yield f'{path}: a public header may not include "{header}"'


def main():
    found = list(faults(Path(__file__).resolve().parent.parent))
    print("\n".join(found) if found else "includes point only where they may")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
