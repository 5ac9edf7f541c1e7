"""Finds moescope for the launchers beside this file: $MOESCOPE, the build, then the PATH."""
import os
import shutil
import sys
from pathlib import Path


def launch(command):
    built = Path(__file__).resolve().parent.parent / "build" / "release" / "moescope"
    program = os.environ.get("MOESCOPE") or (
        str(built) if built.is_file() else shutil.which("moescope"))
    if not program:
        sys.exit("moescope is not built: run make in " + str(built.parent.parent.parent) +
                 ", or set MOESCOPE to the program")
    try:
        os.execv(program, [program, command, *sys.argv[1:]])
    except OSError as error:
        sys.exit(f"{program}: {error.strerror}; set MOESCOPE to the program")
