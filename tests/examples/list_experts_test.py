"""Installs the library to a fresh folder, builds examples/list_experts with it and runs that."""
import csv
import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ["MOE_SOURCE"])
ZOO = SOURCE / "tests/data/zoo"


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise AssertionError(f"{command} returned {done.returncode}:\n{done.stdout}")
    return done.stdout


def built(source, build, prefix):
    cmake = os.environ["MOE_CMAKE"]
    run(cmake, "-S", source, "-B", build, "-G", os.environ["MOE_GENERATOR"], f"-DCMAKE_PREFIX_PATH={prefix}")
    run(cmake, "--build", build)
    return build / "list_experts"


def installed_example(folder):
    prefix = folder / "prefix"
    run(os.environ["MOE_CMAKE"], "--install", os.environ["MOE_BUILD"], "--prefix", prefix, "--component", "library")
    return prefix, built(SOURCE / "examples/list_experts", folder / "build", prefix)


def quant_sim(folder, model, scheme):
    """matrix -> w_rel_fro, as the program's tables have it."""
    program = str(Path(os.environ["MOE_BUILD"]) / "moescope")
    run(program, "analyze", model, "--out", folder, "--run-name", "r", "--schemes", scheme, "--no-report", "-q")
    (run_dir,) = (path.parent for path in Path(folder).rglob("analysis_config.json"))
    table = run(program, "show", run_dir, "--table", "quant_sim", "--format", "csv", "--top", "100000")
    return {(int(row["layer"]), row["proj"], int(row["expert_id"])): float(row["w_rel_fro"])
            for row in csv.DictReader(table.splitlines())}


class ListExperts(unittest.TestCase):
    LINE = re.compile(r"^layer (\d+) (\w+), expert (\d+): (\d+) x (\d+), (\S+), (?:4-bit error (\S+)|no 4-bit error: .*)$", re.M)

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.prefix, cls.program = installed_example(Path(cls.folder.name))

    def lines_of(self, path):
        return self.LINE.findall(run(self.program, path))

    def test_a_folder_a_file_or_an_index_in_any_storage(self):
        for name, file in [("hf4_qwen3_moe_sharded", "model.safetensors.index.json"),
                           ("gptq_int4_sym_qwen3_moe", "."), ("gguf_kquants", "."),
                           ("hf4_qwen3_moe", "model.safetensors")]:
            with self.subTest(name):
                expected = json.loads((ZOO / name / "expected.json").read_text())["experts"]
                lines = self.lines_of(ZOO / name / file)
                self.assertCountEqual(
                    [(int(layer), proj, int(expert), int(rows), int(cols))
                     for layer, proj, expert, rows, cols, _, _ in lines],
                    [(e["layer"], e["proj"], e["expert_id"], e["rows"], e["cols"]) for e in expected])

    def test_errors_are_those_of_the_tables(self):
        model = ZOO / "gptq_int4_sym_qwen3_moe"
        with tempfile.TemporaryDirectory() as folder:
            expected = quant_sim(folder, model, "q4g32")
        lines = self.lines_of(model)
        self.assertEqual(len(lines), len(expected))
        for layer, proj, expert, _, _, storage, error in lines:
            self.assertTrue(storage.startswith("gptq"), storage)
            self.assertAlmostEqual(float(error), expected[int(layer), proj, int(expert)], delta=5.1e-5)

    def test_the_lines_of_the_readme_measure_each_expert(self):
        readme = (SOURCE / "README.md").read_text()
        include, lines = re.search(r"```cpp\n(#include [^\n]*\n)\n(.*?)```", readme, re.S).groups()
        model = ZOO / "gptq_int4_sym_qwen3_moe"
        folder = Path(self.folder.name) / "readme"
        folder.mkdir()
        lines = re.sub(r'Open\("[^"]*"\)', f'Open("{model}")', lines)
        (folder / "list_experts.cc").write_text(f"#include <cstdio>\n{include}int main() {{\n{lines}}}\n")
        (folder / "CMakeLists.txt").write_text((SOURCE / "examples/list_experts/CMakeLists.txt").read_text())
        output = run(built(folder, folder / "build", self.prefix))
        found = re.findall(r"^layer (\d+) expert (\d+) (\w+) (\S+)$", output, re.M)
        expected = json.loads((model / "expected.json").read_text())["experts"]
        self.assertCountEqual([(int(layer), proj, int(expert)) for layer, expert, proj, _ in found],
                              [(e["layer"], e["proj"], e["expert_id"]) for e in expected])
        for *_, error in found:
            self.assertTrue(0.1 < float(error) < 0.4, error)

    def test_a_missing_file_is_one_line_and_exit_code_1(self):
        done = subprocess.run([self.program, "/nonexistent/m.safetensors"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertIn("/nonexistent/m.safetensors", done.stderr)


if __name__ == "__main__":
    unittest.main()
