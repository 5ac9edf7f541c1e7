"""Runs of the built program for the benchmarks, with what they took."""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import time


@dataclasses.dataclass
class Cost:
    wall: float       # seconds
    cpu: float        # seconds, user and system
    anonymous: int    # peak of RssAnon, bytes


def run_measured(command):
    """Runs `command` without its output; stops the benchmark if it fails."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = 0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid != 0:
            break
        try:
            text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            found = re.search(r"RssAnon:\s+(\d+) kB", text)
            peak = max(peak, int(found.group(1)) * 1024) if found else peak
        except OSError:
            pass
        time.sleep(0.005)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{' '.join(map(str, command))}: {process.stderr.read().decode()}")
    return Cost(time.monotonic() - started, usage.ru_utime + usage.ru_stime, peak)


def collect(program, model, runs, threads, extra=()):
    """`collect-data` of `model` under the template config."""
    name = f"{model.name}-{threads}-{time.monotonic_ns()}"
    subprocess.run([program, "init-run", "--root", runs, "--model-id", "bench", "--run-name", name,
                    "--model-path", model], check=True, stdout=subprocess.DEVNULL)
    return run_measured([program, "collect-data", "--run-dir", runs / "bench" / name, "--threads",
                         str(threads), *extra])


def bytes_of(folder):
    return sum(path.stat().st_size for path in folder.iterdir())


def into_page_cache(folder):
    for path in folder.iterdir():
        with open(path, "rb") as file:
            while file.read(1 << 24):
                pass


def drop_from_page_cache(folder):
    os.sync()
    for path in folder.iterdir():
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def machine():
    """One line: processor, cores, kernel, date and commit."""
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text()).group(1)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return (f"{model}, {os.cpu_count()} cores, Linux {os.uname().release}, "
            f"{time.strftime('%Y-%m-%d')}, commit {commit.stdout.strip()}")
