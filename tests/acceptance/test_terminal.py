"""What a person types and sees: which run is meant, short flags, help."""

import json
import os
import shutil
import subprocess

from support import PROGRAM, AcceptanceTest, bank, experts, files_of, run


class WhichRun(AcceptanceTest):
    def setUp(self):
        super().setUp()
        self.run_path = self.collected(bank(count=2))  # runs/m/run

    def test_every_command_takes_the_run_as_an_argument(self):
        for folder in (self.run_path, self.tmp / "runs" / "m", self.tmp / "runs"):
            for command in ("collect-data", "build-tables", "report", "build-plots", "show"):
                with self.subTest((command, folder)):
                    done = run(command, folder)
                    self.assertEqual(done.returncode, 0, done.stderr)
        for written in ("tables/A_weight_global_summary.parquet", "report.html",
                        "logs/plots_write_manifest.json"):
            self.assertTrue((self.run_path / written).is_file(), written)
        self.assertEqual(len(list(self.tmp.rglob("report.html"))), 1)

    def test_an_argument_and_the_flag_mean_the_same(self):
        run("build-tables", self.run_path)
        self.assertEqual(run("show", self.run_path, "--format", "json").stdout,
                         run("show", "--run-dir", self.run_path, "--format", "json").stdout)
        self.assertEqual(run("show", self.run_path, "--run-dir", self.run_path).returncode, 2)

    def test_several_runs_are_listed_and_nothing_is_done(self):
        shutil.copytree(self.run_path, self.tmp / "runs" / "other" / "run")
        before = files_of(self.tmp)
        for command in ("collect-data", "build-tables", "report", "build-plots", "show"):
            with self.subTest(command):
                done = run(command, self.tmp / "runs")
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                for name in ("m", "other"):
                    self.assertIn(str(self.tmp / "runs" / name / "run"), done.stderr)
        self.assertEqual(files_of(self.tmp), before)

    def test_without_one_it_is_the_newest_below_the_callers_folder(self):
        self.assertEqual(run("show", cwd=self.tmp).returncode, 2)
        (self.tmp / "runs").rename(self.tmp / "moescope-runs")
        old = self.tmp / "moescope-runs" / "m" / "old"
        shutil.copytree(self.tmp / "moescope-runs" / "m" / "run", old)
        for path in old.rglob("*.json"):
            os.utime(path, (1e9, 1e9))
        done = run("show", "--format", "json", cwd=self.tmp)
        shown = json.loads(done.stdout)["run"]["run_dir"]
        self.assertEqual(shown, str(self.tmp / "moescope-runs" / "m" / "run"))
        self.assertIn(shown, done.stderr)


class Words(AcceptanceTest):
    def test_help_in_each_spelling(self):
        program = run("--help").stdout
        for arguments in ((), ("help",), ("-h",)):
            done = run(*arguments)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, program, ""))
        for words in (("show",), ("collect_data",), ("config", "check")):
            done = run("help", *words)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(done.stdout, run(*words, "--help").stdout)
            self.assertNotEqual(done.stdout, program)

    def test_an_unknown_command_has_no_help(self):
        for arguments in (("help", "nothing"), ("nothing", "--help"), ("nothing",)):
            done = run(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            for part in ("'nothing'", "collect-data", "show"):
                self.assertIn(part, done.stderr)

    def test_short_flags(self):
        done = run("analyze", self.model(bank()), "-o", self.tmp / "out", "-j", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(list((self.tmp / "out").rglob("matrix_stats.parquet"))), 1)


class HowMuch(AcceptanceTest):
    """-q, -v and --json."""

    def setUp(self):
        super().setUp()
        self.folder = self.model(experts(count=1, rows=32, cols=64),
                                 config={"hidden_size": 64})
        self.run_path = self.run_dir(self.folder)
        self.commands = [
            ("init-run", "--root", self.tmp / "runs", "--model-id", "m", "--run-name", "run"),
            ("collect-data", self.run_path), ("build-tables", self.run_path),
            ("report", self.run_path), ("build-plots", self.run_path),
            ("config", "check", self.run_path / "analysis_config.json"),
            ("analyze", self.folder, "--out", self.tmp / "out")]

    def test_quiet_commands_do_the_same_and_say_nothing(self):
        for command in self.commands:
            for flag in ("-q", "--quiet"):
                with self.subTest((command[0], flag)):
                    done = run(*command, flag)
                    self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        for path in (self.run_path / "data/matrix_stats.parquet", self.run_path / "report.html"):
            self.assertTrue(path.is_file(), path)
        failed = run("collect-data", self.tmp / "none", "-q")
        self.assertEqual(failed.returncode, 1)
        self.assertIn("Missing config:", failed.stderr)

    def test_quiet_commands_that_show_something_show_it(self):
        self.collect(self.run_path)
        for command in (("inspect", self.folder), ("show", self.run_path, "--where", "layer=0"),
                        ("config", "schema")):
            with self.subTest(command[0]):
                done = run(*command, "-q")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertEqual(done.stdout, run(*command).stdout)

    def test_every_command_gives_one_object(self):
        objects = {}
        for command in self.commands:
            done = run(*command, "--json")
            with self.subTest(command[0]):
                self.assertEqual(done.returncode, 0, done.stderr)
                objects[command[0]] = told = json.loads(done.stdout)
                self.assertEqual((told["warnings"], told["errors"], told["exit_code"],
                                  told["exit_meaning"]), ([], [], 0, "done"))
                if command[0] not in ("analyze", "config"):
                    self.assertEqual(told["run"], str(self.run_path))
        self.assertEqual(objects["config"]["command"], "config check")
        self.assertIs(objects["config"]["valid"], True)
        self.assertEqual(objects["collect-data"]["tables"]["matrix_stats"], 3)
        self.assertEqual(objects["collect-data"]["coverage"], 1.0)
        self.assertEqual(objects["build-tables"]["tables"]["A_weight_global_summary"], 3)
        self.assertEqual(objects["report"]["report"], str(self.run_path / "report.html"))
        for path in objects["build-plots"]["plots"].values():
            self.assertTrue((self.run_path / path).is_file(), path)
        rows = json.loads(run("show", self.run_path, "--table", "matrix_stats", "--json").stdout)
        self.assertEqual(len(rows), 3)
        self.assertEqual(json.loads(run("inspect", self.folder, "--json").stdout)["family"],
                         json.loads(run("collect-data", self.run_path, "--json").stdout)["family"])

    def test_a_failure_is_an_object_and_a_line(self):
        for command, code, meaning in ((("collect-data", self.tmp / "none"), 1, "failed"),
                                       (("inspect", self.tmp / "none"), 1, "failed"),
                                       (("analyze",), 2, "bad command line or config")):
            with self.subTest(command[0]):
                done = run(*command, "--json")
                told = json.loads(done.stdout)
                self.assertEqual((done.returncode, told["exit_code"], told["exit_meaning"]),
                                 (code, code, meaning))
                self.assertEqual(len(told["errors"]), 1)
                self.assertIn(told["errors"][0], done.stderr)

    def test_a_few_warnings_are_told_and_all_if_asked_for(self):
        tensors = experts(count=1, rows=32, cols=64)
        for i in range(1, 9):
            tensors[f"model.layers.0.mlp.experts.{i}.up_proj.weight"] = tensors[
                "model.layers.0.mlp.experts.0.up_proj.weight"].astype("uint32")
        run_dir = self.run_dir(self.model(tensors, name="broken"), name="broken")
        few, all_of_them, told = (
            self.collect(run_dir, *flags, expect=3) for flags in ((), ("-v",), ("--json",)))
        count = len(self.table(run_dir, "warnings", "logs"))
        self.assertGreater(count, 8)
        self.assertEqual(few.stderr.count("warning: "), 5)
        self.assertIn(f"{count - 5} more in logs/warnings", few.stderr)
        self.assertEqual(all_of_them.stderr.count("warning: "), count)
        self.assertEqual(len(json.loads(told.stdout)["warnings"]), count)

    def test_both_streams_in_one_file_keep_their_order(self):
        done = subprocess.run([PROGRAM, "collect-data", self.run_path], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        lines = done.stdout.splitlines()
        first, file, rows = (next(i for i, line in enumerate(lines) if line.startswith(part))
                             for part in ("[meta]", "[collect] (1/1)", "[collect] matrix_stats"))
        self.assertLess(first, file)
        self.assertLess(file, rows)
