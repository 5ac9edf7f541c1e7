"""`analyze MODEL`: the three commands in one call."""

import json
import pathlib

import numpy as np

from support import AcceptanceTest, experts, run

DATA_TABLES = ["tensor_inventory", "matrix_stats", "quant_sim", "unmatched_tensors"]
SUMMARIES = ["A_weight_layer_summary", "A_weight_block4_summary", "A_weight_global_summary",
             "B_quant_layer_summary", "B_quant_block4_summary", "B_quant_global_summary",
             "B_quant_deltas", "C_weight_global_summary", "C_quant_global_summary"]


class Analyze(AcceptanceTest):
    def small_model(self, name="Small-MoE"):
        return self.model({**experts(count=2, rows=32, cols=64, layers=2),
                           "model.embed_tokens.weight": np.ones((8, 64), np.float32)}, name=name)

    def analyze(self, *arguments, expect=0, cwd=None):
        done = run("analyze", *arguments, cwd=cwd)
        self.assertEqual(done.returncode, expect, done.stderr + done.stdout)
        return done

    def is_complete(self, run_dir):
        for name in DATA_TABLES:
            self.table(run_dir, name)
        for name in SUMMARIES:
            self.table(run_dir, name, folder="tables")
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 12)
        self.assertEqual(len(self.table(run_dir, "quant_sim")), 36)
        for name in ("manifest.json", "analysis_config.json", "logs/run_context.json",
                     "logs/run_health.json", "logs/write_manifest.json",
                     "logs/tables_write_manifest.json"):
            self.assertTrue((run_dir / name).is_file(), name)

    def test_the_flags_name_the_run_directory(self):
        self.analyze(self.small_model(), "--out", self.tmp / "out", "--model-id", "org/small",
                     "--run-name", "first")
        run_dir = self.tmp / "out" / "org" / "small" / "first"
        self.is_complete(run_dir)
        manifest = json.loads((run_dir / "manifest.json").read_text())
        self.assertEqual((manifest["model_id"], manifest["run_name"]), ("org/small", "first"))

    def only_run(self, root):
        configs = list(root.rglob("analysis_config.json"))
        self.assertEqual(len(configs), 1, configs)
        return configs[0].parent

    def test_ids_come_from_the_path_of_a_folder(self):
        done = self.analyze(self.small_model(), "--out", self.tmp / "out")
        run_dir = self.only_run(self.tmp / "out")
        self.is_complete(run_dir)
        self.assertEqual(run_dir.parent.name, "Small-MoE")
        self.assertIn(str(run_dir), done.stdout)

    def test_ids_come_from_the_path_of_a_file(self):
        folder = self.small_model()
        (folder / "model.safetensors").rename(folder / "weights.safetensors")
        self.analyze(folder / "weights.safetensors", "--out", self.tmp / "out")
        run_dir = self.only_run(self.tmp / "out")
        self.is_complete(run_dir)
        self.assertEqual(run_dir.parent.name, "weights")

    def test_without_out_the_run_lies_under_the_callers_folder(self):
        self.small_model()
        here = self.tmp / "here"
        here.mkdir()
        self.analyze("../Small-MoE", cwd=here)
        self.is_complete(self.only_run(here))

    def test_a_second_call_writes_the_same_bytes(self):
        model = self.small_model()
        arguments = (model, "--out", self.tmp / "out")
        self.analyze(*arguments)
        run_dir = self.only_run(self.tmp / "out")

        def tables():
            return {p: p.read_bytes() for folder in ("data", "tables")
                    for p in (run_dir / folder).iterdir()}
        before = tables()
        self.analyze(*arguments)
        self.assertEqual(self.only_run(self.tmp / "out"), run_dir)
        self.assertEqual(tables(), before)

    def test_results_equal_those_of_the_three_commands(self):
        model = self.small_model()
        self.analyze(model, "--out", self.tmp / "out", "--model-id", "m", "--run-name", "r")
        one = self.tmp / "out" / "m" / "r"
        three = self.run_dir(model)
        self.collect(three)
        built = run("build-tables", "--run-dir", three)
        self.assertEqual(built.returncode, 0, built.stderr)
        for folder, names in (("data", DATA_TABLES), ("tables", SUMMARIES)):
            for name in names:
                with self.subTest(name):
                    self.assertEqual((one / folder / f"{name}.parquet").read_bytes(),
                                     (three / folder / f"{name}.parquet").read_bytes())
        self.assertEqual(json.loads((one / "analysis_config.json").read_text()),
                         json.loads((three / "analysis_config.json").read_text()))

    def test_a_missing_model_fails_with_its_path_and_makes_nothing(self):
        done = self.analyze(self.tmp / "nowhere", "--out", self.tmp / "out", expect=1)
        self.assertIn(str(self.tmp / "nowhere"), done.stderr)
        self.assertFalse((self.tmp / "out").exists())

    def test_a_missing_argument_is_a_usage_error(self):
        self.analyze(expect=2)

    def test_refused_tensors_end_with_3_and_tables_all_the_same(self):
        tensors = experts(count=1, rows=32, cols=64)
        tensors["model.layers.0.mlp.experts.1.up_proj.weight"] = np.ones((4, 8), np.uint32)
        model = self.model(tensors, name="packed")
        self.analyze(model, "--out", self.tmp / "out", expect=3)
        run_dir = self.only_run(self.tmp / "out")
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 3)
        self.assertEqual(len(self.table(run_dir, "A_weight_global_summary", "tables")), 3)

    def test_a_home_folder_is_expanded(self):
        model = self.small_model()
        done = run("analyze", "~/" + model.name, "--out", "~/out",
                   env={"HOME": str(self.tmp)})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.is_complete(self.only_run(pathlib.Path(self.tmp) / "out"))
