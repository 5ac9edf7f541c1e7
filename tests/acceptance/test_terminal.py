"""What a person types and sees: which run is meant, short flags, help."""

import json
import os
import shutil

from support import AcceptanceTest, bank, files_of, run


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
