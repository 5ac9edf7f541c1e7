"""Installs the library to a fresh folder, builds examples/list_experts with it and runs that."""
import json
import math
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ["MOE_SOURCE"])
MODEL = SOURCE / "tests/data/zoo/hf4_qwen3_moe"


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise AssertionError(f"{command} returned {done.returncode}:\n{done.stdout}")
    return done.stdout


def installed_example(folder):
    cmake, prefix, build = os.environ["MOE_CMAKE"], folder / "prefix", folder / "build"
    run(cmake, "--install", os.environ["MOE_BUILD"], "--prefix", prefix, "--component", "library")
    run(cmake, "-S", SOURCE / "examples/list_experts", "-B", build,
        "-G", os.environ["MOE_GENERATOR"], f"-DCMAKE_PREFIX_PATH={prefix}")
    run(cmake, "--build", build)
    return build / "list_experts"


class ListExperts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.program = installed_example(Path(cls.folder.name))
        cls.output = run(cls.program, MODEL / "model.safetensors")
        cls.expected = json.loads((MODEL / "expected.json").read_text())["experts"]

    def test_lists_every_expert_matrix(self):
        lines = re.findall(r"^layer (\d+) (\w+), expert (\d+): (\d+) x (\d+)$", self.output, re.M)
        self.assertCountEqual(
            [(int(layer), proj, int(expert), int(rows), int(cols))
             for layer, proj, expert, rows, cols in lines],
            [(e["layer"], e["proj"], e["expert_id"], e["rows"], e["cols"]) for e in self.expected])

    def test_measures_the_first(self):
        first = min(self.expected, key=lambda e: e["source_tensor"])  # sorted by name
        rms, largest = map(float, re.search(r"rms (\S+), largest weight (\S+)", self.output).groups())
        self.assertAlmostEqual(rms, math.sqrt(first["sum_sq"] / (first["rows"] * first["cols"])), 6)
        self.assertAlmostEqual(largest, first["max_abs"], 6)
        error = float(re.search(r"relative error (\S+) in 4 bits", self.output).group(1))
        self.assertTrue(0.02 < error < 0.2, error)

    def test_a_missing_file_is_one_line_and_exit_code_1(self):
        done = subprocess.run([self.program, "/nonexistent/m.safetensors"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertIn("/nonexistent/m.safetensors", done.stderr)


if __name__ == "__main__":
    unittest.main()
