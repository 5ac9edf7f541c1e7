"""`analyze MODEL`: the three commands in one call."""

import json
import os
import pathlib
import shutil
import subprocess

import numpy as np

from support import PROGRAM, AcceptanceTest, experts, files_of, run

DATA_TABLES = ["tensor_inventory", "matrix_stats", "quant_sim", "unmatched_tensors"]
SUMMARIES = ["A_weight_layer_summary", "A_weight_block4_summary", "A_weight_global_summary",
             "B_quant_layer_summary", "B_quant_block4_summary", "B_quant_global_summary",
             "B_quant_deltas", "C_weight_global_summary", "C_quant_global_summary"]
# name in the tables, mode, bits, group: what a new run of `analyze` simulates, in order
MLX_SCHEMES = [("affine_q3_g64", "affine", 3, 64), ("affine_q4_g64", "affine", 4, 64),
               ("affine_q5_g64", "affine", 5, 64), ("affine_q6_g64", "affine", 6, 64),
               ("affine_q8_g64", "affine", 8, 64), ("mxfp4_g32", "mxfp4", 4, 32),
               ("mxfp8_g32", "mxfp8", 8, 32), ("nvfp4_g16", "nvfp4", 4, 16),
               ("affine_q4_g32", "affine", 4, 32)]


class AnalyzeTest(AcceptanceTest):
    def small_model(self, name="Small-MoE"):
        return self.model({**experts(count=2, rows=64, cols=64, layers=2),
                           "model.embed_tokens.weight": np.ones((8, 64), np.float32)}, name=name)

    def analyze(self, *arguments, expect=0, cwd=None):
        done = run("analyze", *arguments, cwd=cwd)
        self.assertEqual(done.returncode, expect, done.stderr + done.stdout)
        return done

    def only_run(self, root):
        configs = list(root.rglob("analysis_config.json"))
        self.assertEqual(len(configs), 1, configs)
        return configs[0].parent

    def is_complete(self, run_dir):
        for name in DATA_TABLES:
            self.table(run_dir, name)
        for name in SUMMARIES:
            self.table(run_dir, name, folder="tables")
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 12)
        self.assertEqual(len(self.table(run_dir, "quant_sim")), 12 * len(MLX_SCHEMES))
        for name in ("manifest.json", "analysis_config.json", "logs/run_context.json",
                     "logs/run_health.json", "logs/write_manifest.json",
                     "logs/tables_write_manifest.json"):
            self.assertTrue((run_dir / name).is_file(), name)


class Analyze(AnalyzeTest):
    def test_the_flags_name_the_run_directory(self):
        self.analyze(self.small_model(), "--out", self.tmp / "out", "--model-id", "org/small",
                     "--run-name", "first")
        run_dir = self.tmp / "out" / "org" / "small" / "first"
        self.is_complete(run_dir)
        manifest = json.loads((run_dir / "manifest.json").read_text())
        self.assertEqual((manifest["model_id"], manifest["run_name"]), ("org/small", "first"))

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
        self.analyze(model, "--out", self.tmp / "out", "--model-id", "m", "--run-name", "run",
                     "--schemes", "template")
        one = self.tmp / "out" / "m" / "run"  # the names stand in the files' metadata
        three = self.run_dir(model, lambda c: c["scan"].update(min_expert_coverage=1.0))
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


class Schemes(AnalyzeTest):
    def rows(self, run_dir):
        """The schemes of quant_sim: (scheme, mode, bits, group), in order of appearance."""
        quant = self.table(run_dir, "quant_sim")
        self.assertTrue(quant.error.isna().all())
        columns = quant[["scheme", "mode", "bits", "group_size"]].drop_duplicates()
        return list(columns.itertuples(index=False, name=None))

    def deltas(self, run_dir):
        return set(self.table(run_dir, "B_quant_deltas", "tables").delta_name)

    def test_a_new_run_has_what_mlx_users_choose_from_with_pairs(self):
        self.analyze(self.small_model(), "--out", self.tmp / "out")
        run_dir = self.only_run(self.tmp / "out")
        self.assertEqual(self.rows(run_dir), MLX_SCHEMES)
        self.assertEqual(self.deltas(run_dir), {
            "q4_minus_q3", "q5_minus_q4", "q6_minus_q5", "q8_minus_q6", "q4g32_minus_q4",
            "mxfp4_minus_q4", "nvfp4_minus_q4", "mxfp8_minus_q8"})
        checked = run("config", "check", run_dir / "analysis_config.json")
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))

    def test_by_default_groups_that_fit_no_matrix_give_way_and_asked_for_they_end_with_3(self):
        model = self.model(experts(count=1, rows=32, cols=96))
        self.analyze(model, "--out", self.tmp / "out")
        self.assertEqual([row[0] for row in self.rows(self.only_run(self.tmp / "out"))],
                         ["affine_q3_g32", "affine_q4_g32", "affine_q5_g32", "affine_q6_g32",
                          "affine_q8_g32", "mxfp4_g32", "mxfp8_g32", "nvfp4_g16"])
        done = self.analyze(model, "--out", self.tmp / "out", "--schemes", "q4", expect=3)
        self.assertIn("3 matrices", done.stderr)

    def test_the_flag_takes_every_spelling_and_keeps_the_order(self):
        self.analyze(self.small_model(), "--out", self.tmp / "out",
                     "--schemes", "Q6,affine_q4_g64,q4g32,mxfp4,q4")
        run_dir = self.only_run(self.tmp / "out")
        self.assertEqual([row[0] for row in self.rows(run_dir)],
                         ["affine_q6_g64", "affine_q4_g64", "affine_q4_g32", "mxfp4_g32"])
        self.assertEqual(self.deltas(run_dir), {"q6_minus_q4", "q4g32_minus_q4", "mxfp4_minus_q4"})

    def test_the_flag_may_be_given_twice(self):
        self.analyze(self.small_model(), "-o", self.tmp / "out", "--schemes", "q4,q3", "--schemes",
                     "q8")
        self.assertEqual([row[0] for row in self.rows(self.only_run(self.tmp / "out"))],
                         ["affine_q4_g64", "affine_q3_g64", "affine_q8_g64"])

    def test_sets_of_schemes(self):
        model = self.model(experts(count=1, rows=128, cols=128))
        for name, count in (("mlx", 9), ("template", 3), ("all", 24), ("template,q2", 4)):
            with self.subTest(name):
                self.analyze(model, "--out", self.tmp / name, "--schemes", name, "--no-report")
                self.assertEqual(len(self.rows(self.only_run(self.tmp / name))), count)

    def test_an_unknown_scheme_is_a_usage_error_with_the_closest_one_and_makes_nothing(self):
        for word, closest in (("mxpf4", "mxfp4"), ("tmplate", "template"), ("q44", "q4")):
            with self.subTest(word):
                done = self.analyze(self.small_model(), "--out", self.tmp / "out",
                                    "--schemes", "q4," + word, expect=2)
                self.assertIn(f"'{word}'; did you mean '{closest}'", done.stderr)
                self.assertFalse((self.tmp / "out").exists())

    def test_the_flag_changes_an_existing_runs_schemes_and_no_other_key(self):
        model = self.small_model()
        out = ("--out", self.tmp / "out")
        self.analyze(model, *out, "--schemes", "template")
        path = self.only_run(self.tmp / "out") / "analysis_config.json"
        config = json.loads(path.read_text())
        config["stats"]["percentiles_abs"] = [50.0, 95.0]
        config["own"] = {"note": 1}
        path.write_text(json.dumps(config))
        self.analyze(model, *out, "--schemes", "q8,q4", "--no-report")
        changed = json.loads(path.read_text())
        self.assertEqual([row[0] for row in self.rows(path.parent)],
                         ["affine_q8_g64", "affine_q4_g64"])
        self.assertIn("p95_abs", self.table(path.parent, "matrix_stats").columns)
        self.assertEqual(self.deltas(path.parent), {"q8_minus_q4"})
        for config in (config, changed):
            del config["quant_schemes"], config["delta_pairs"]
        self.assertEqual(list(changed.items()), list(config.items()))

    def test_the_users_pairs_stay_where_both_schemes_do_and_the_others_are_told(self):
        model = self.small_model()
        out = ("--out", self.tmp / "out", "--no-report")
        self.analyze(model, *out, "--schemes", "q3,q4,q8")
        path = self.only_run(self.tmp / "out") / "analysis_config.json"
        config = json.loads(path.read_text())
        config["delta_pairs"] += [
            {"name": "span", "a": "affine_q8_g64", "b": "affine_q3_g64"},
            {"name": "bits", "a": "affine_q8_g64", "b": "affine_q4_g64"}]
        path.write_text(json.dumps(config))
        done = self.analyze(model, *out, "--schemes", "q4,q6,q8")
        self.assertEqual(self.deltas(path.parent), {"q6_minus_q4", "q8_minus_q6", "bits"})
        told = [line for line in done.stderr.splitlines() if "delta pairs" in line]
        self.assertEqual(len(told), 1, done.stderr)
        self.assertIn("span", told[0])
        for other in ("bits", "q4_minus_q3"):
            self.assertNotIn(other, told[0])
        done = self.analyze(model, *out, "--schemes", "q4,q6,q8,mxfp4")
        self.assertNotIn("delta pairs", done.stderr)
        self.assertIn("bits", self.deltas(path.parent))

    def test_without_the_flag_an_existing_run_keeps_its_config(self):
        model = self.small_model()
        run_dir = self.run_dir(model)
        before = (run_dir / "analysis_config.json").read_bytes()
        for flags in ((), ("--schemes", "template")):
            with self.subTest(flags):
                done = self.analyze(model, "--out", self.tmp / "runs", "--model-id", "m",
                                    "--run-name", "run", *flags)
                self.assertIn("config: existing, 3 schemes", done.stderr)
                self.assertEqual((run_dir / "analysis_config.json").read_bytes(), before)
                self.assertEqual(len(self.rows(run_dir)), 3)


class ExistingRun(AnalyzeTest):
    def setUp(self):
        super().setUp()
        self.first = self.small_model("First")
        self.other = self.model(experts(count=1, rows=64, cols=64), name="Other")
        self.flags = ("--out", self.tmp / "out", "--model-id", "m", "--no-report")
        self.analyze(self.first, *self.flags, "--schemes", "q4")
        self.run_dir_path = self.only_run(self.tmp / "out")

    def config(self):
        return json.loads((self.run_dir_path / "analysis_config.json").read_text())

    def test_another_model_is_refused_in_one_line_and_touches_nothing(self):
        before = files_of(self.tmp / "out")
        for flag in ((), ("--fresh",), ("--schemes", "q6")):
            with self.subTest(flag):
                done = self.analyze(self.other, *self.flags, *flag, expect=2)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                for part in (str(self.first), "--force", "--run-name"):
                    self.assertIn(part, done.stderr)
                self.assertEqual(files_of(self.tmp / "out"), before)

    def test_with_force_the_run_is_the_other_models(self):
        self.analyze(self.other, *self.flags, "--force")
        self.assertEqual(self.config()["model_path"], str(self.other.resolve()))
        self.assertEqual(len(self.table(self.run_dir_path, "quant_sim")), 3)
        self.analyze(self.other, *self.flags)
        self.analyze(self.first, *self.flags, expect=2)

    def test_the_same_model_by_another_spelling_is_the_same(self):
        link = self.tmp / "link"
        link.symlink_to(self.first)
        for spelling in (link, str(self.first) + "/", str(self.first / ".." / "First")):
            with self.subTest(spelling):
                self.analyze(spelling, *self.flags)

    def test_a_model_of_the_hub_is_the_same_by_its_name_and_by_its_folder(self):
        cache = self.tmp / "hub" / "hub" / "models--org--name"
        for revision in ("aaa", "bbb"):
            shutil.copytree(self.first, cache / "snapshots" / revision)
        (cache / "refs").mkdir()
        (cache / "refs" / "main").write_text("aaa")
        env = {"HF_HOME": str(self.tmp / "hub"), "HOME": str(self.tmp / "home")}
        made = run("init-run", "--root", self.tmp / "out", "--model-id", "org/name", "--run-name",
                   "analysis", "--model-path", "org/name", env={"HOME": str(self.tmp / "home")})
        self.assertEqual(made.returncode, 0, made.stderr)
        path = self.tmp / "out/org/name/analysis/analysis_config.json"
        self.assertEqual(json.loads(path.read_text())["model_path"], "org/name")
        for model in ("org/name", cache, cache / "snapshots/aaa"):
            done = run("analyze", model, "--out", self.tmp / "out", "--no-report", env=env)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("config: existing, 3 schemes", done.stderr)
        self.assertEqual(json.loads(path.read_text())["model_path"], "org/name")
        other = run("analyze", cache / "snapshots/bbb", "--out", self.tmp / "out", env=env)
        self.assertEqual(other.returncode, 2, other.stderr)
        self.assertIn("--force", other.stderr)

    def test_fresh_starts_the_config_over(self):
        config = self.config()
        config["stats"]["percentiles_abs"] = [50.0, 95.0]
        (self.run_dir_path / "analysis_config.json").write_text(json.dumps(config))
        done = self.analyze(self.first, *self.flags, "--fresh")
        self.assertNotIn("existing", done.stderr)
        self.is_complete(self.run_dir_path)
        self.assertNotIn("p95_abs", self.table(self.run_dir_path, "matrix_stats").columns)
        self.analyze(self.first, *self.flags, "--fresh", "--schemes", "q8")
        self.assertEqual(set(self.table(self.run_dir_path, "quant_sim").scheme), {"affine_q8_g64"})

    def test_a_run_that_fails_leaves_the_config_of_its_tables(self):
        path = self.run_dir_path / "analysis_config.json"
        before = path.read_bytes()
        weights = next(self.first.glob("*.safetensors"))
        whole = weights.read_bytes()
        weights.write_bytes(whole[:len(whole) // 2])
        for flags in (("--schemes", "q6"), ("--fresh",)):
            with self.subTest(flags):
                self.analyze(self.first, *self.flags, *flags, expect=1)
                self.assertEqual(path.read_bytes(), before)
        weights.write_bytes(whole)
        self.analyze(self.first, *self.flags, "--fresh")
        self.assertEqual((self.run_dir_path / "analysis_config.json.old").read_bytes(), before)
        self.assertNotEqual(path.read_bytes(), before)

    def test_a_config_that_can_not_be_used_is_told_and_fresh_replaces_it(self):
        (self.run_dir_path / "analysis_config.json").write_text("{")
        self.analyze(self.first, *self.flags, expect=2)
        self.analyze(self.first, *self.flags, "--fresh")
        self.is_complete(self.run_dir_path)

    def test_a_path_that_is_not_utf8_is_the_same_model_the_second_time(self):
        odd = self.tmp / os.fsdecode(b"odd-\xff")
        shutil.copytree(self.first, odd)
        for _ in range(2):
            done = subprocess.run([PROGRAM, "analyze", odd, "--out", self.tmp / "odd", "--model-id",
                                   "m", "--no-report", "--schemes", "q4"], capture_output=True)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"config: existing, 1 scheme", done.stderr)


class Reuse(AnalyzeTest):
    """What was measured and did not change is not measured again."""

    def setUp(self):
        super().setUp()
        self.source = self.model({
            **experts(count=3, rows=64, cols=96, layers=2),
            "model.layers.1.mlp.experts.2.up_proj.weight": np.full((64, 96), np.nan, np.float32)})

    def run_of(self, *flags, expect=0, out="out"):
        self.done = self.analyze(self.source, "--out", self.tmp / out, "--model-id", "m",
                                 "--no-report", "-v", *flags, expect=expect)
        return self.tmp / out / "m" / "analysis"

    def data(self, run_dir):
        return {name: content for name, content in files_of(run_dir).items()
                if name.startswith(("data/", "tables/", "logs/warnings"))}

    def fresh(self, schemes, **more):
        """The tables that a new run with these schemes writes."""
        return self.data(self.run_of("--schemes", schemes, out="fresh-" + schemes, **more))

    def spoil(self):
        """Other weights in a file that looks as it did: size and time are the same."""
        path = self.source / "model.safetensors"
        stat = path.stat()
        data = bytearray(path.read_bytes())
        data[-64 * 96 * 4:] = np.ones((64, 96), np.float32).tobytes()
        path.write_bytes(data)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def test_changed_schemes_give_the_bytes_of_a_run_that_had_them_from_the_start(self):
        run_dir = self.run_of("--schemes", "q4g32,mxfp4")
        for schemes, known in (("nvfp4,q4g32,mxfp8,mxfp4", 2), ("mxfp8,q4g32", 2), ("q8g32", 0),
                               ("q8g32", 1)):
            with self.subTest(schemes, known=known):
                self.run_of("--schemes", schemes)
                self.assertIn(f"measured before: {known} of {len(schemes.split(','))} schemes",
                              self.done.stdout)
                got, want = self.data(run_dir), self.fresh(schemes)
                self.assertEqual(got.keys(), want.keys())
                self.assertEqual([name for name in got if got[name] != want[name]], [])

    def test_tables_in_csv_are_taken_over_too(self):
        run_dir = self.run_of("--schemes", "q4g32,mxfp4")
        path = run_dir / "analysis_config.json"
        path.write_text(path.read_text().replace('"parquet"', '"csv"'))
        for known in (1, 2):
            self.run_of("--schemes", "nvfp4,q4g32")
            self.assertIn(f"measured before: {known} of 2", self.done.stdout)
        path.write_text(path.read_text().replace('"csv"', '"parquet"'))
        self.run_of()
        self.assertIn("measured before: 2 of 2", self.done.stdout)
        self.assertEqual(self.data(run_dir), self.fresh("nvfp4,q4g32"))

    def test_what_did_not_change_is_not_read_again(self):
        run_dir = self.run_of("--schemes", "q4g32,mxfp4")
        before = self.table(run_dir, "quant_sim"), self.table(run_dir, "matrix_stats")
        self.spoil()
        self.run_of("--schemes", "mxfp4,q4g32")
        quant = self.table(run_dir, "quant_sim")
        for scheme, rows in before[0].groupby("scheme"):
            same = quant[quant.scheme == scheme].reset_index(drop=True)
            self.assertTrue(same.equals(rows.reset_index(drop=True)), scheme)
        self.assertTrue(self.table(run_dir, "matrix_stats").equals(before[1]))
        self.assertEqual(before[1].nonfinite_count.sum(), 64 * 96, "which the file has no more")

    def test_a_scheme_that_is_added_is_all_that_is_measured(self):
        run_dir = self.run_of("--schemes", "q4g32,mxfp4")
        before = self.table(run_dir, "quant_sim"), self.table(run_dir, "matrix_stats")
        self.spoil()
        self.run_of("--schemes", "q4g32,mxfp4,mxfp8")
        self.assertIn("measured before: 2 of 3 schemes, and all statistics", self.done.stdout)
        self.assertTrue(self.table(run_dir, "matrix_stats").equals(before[1]))
        self.assertEqual(before[1].nonfinite_count.sum(), 64 * 96)
        failed = self.table(run_dir, "quant_sim").groupby("scheme").error.count()
        self.assertEqual(failed.to_dict(), {"affine_q4_g32": 1, "mxfp4_g32": 1, "mxfp8_g32": 0})

    def test_a_change_of_anything_else_measures_all_again(self):
        def touch(run_dir):
            os.utime(self.source / "model.safetensors")

        def settings(run_dir):
            path = run_dir / "analysis_config.json"
            config = json.loads(path.read_text())
            config["stats"]["eps"] = 1e-9
            path.write_text(json.dumps(config))

        def table(run_dir):
            path = run_dir / "data/matrix_stats.parquet"
            path.write_bytes(path.read_bytes())

        def note(run_dir):
            (run_dir / "cache/measured.json").write_text("{")

        def gone(run_dir):
            (run_dir / "data/quant_sim.parquet").unlink()

        for change in (touch, settings, table, note, gone):
            with self.subTest(change.__name__):
                run_dir = self.run_of("--schemes", "mxfp4")
                self.run_of()
                self.assertIn("measured before: 1 of 1", self.done.stdout)
                change(run_dir)
                self.run_of()
                self.assertNotIn("measured before", self.done.stdout)

    def test_fresh_and_collect_data_measure_all_again(self):
        whole = (self.source / "model.safetensors").read_bytes()
        for again in (lambda _: self.run_of("--schemes", "mxfp4", "--fresh"), self.collect):
            (self.source / "model.safetensors").write_bytes(whole)
            run_dir = self.run_of("--schemes", "mxfp4", "--fresh")
            self.spoil()
            again(run_dir)
            self.assertEqual(self.table(run_dir, "matrix_stats").nonfinite_count.sum(), 0)
            self.assertTrue(self.table(run_dir, "quant_sim").error.isna().all())

    def test_sampled_percentiles_are_always_measured(self):
        run_dir = self.run_of("--schemes", "mxfp4")
        path = run_dir / "analysis_config.json"
        config = json.loads(path.read_text())
        config["stats"]["percentile_method"] = "sample"
        path.write_text(json.dumps(config))
        for _ in range(2):
            self.run_of()
            self.assertNotIn("measured before", self.done.stdout)
        self.assertFalse((run_dir / "cache/measured.json").exists())
