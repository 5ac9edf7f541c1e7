"""What a person types and sees: which run is meant, short flags, help."""

import json
import os
import pathlib
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

    def test_a_path_inside_a_run_means_it(self):
        whole = run("show", self.run_path).stdout
        self.assertIn(str(self.run_path), whole)
        for inside in ("data", "data/quant_sim.parquet", "analysis_config.json", "logs"):
            done = run("show", self.run_path / inside)
            self.assertEqual((done.returncode, done.stdout), (0, whole), inside)

    def test_a_model_is_told_from_a_run_and_touched_by_nothing(self):
        folder = self.tmp / "model-run"
        (folder / "config.json").write_text("{}")
        hub = self.tmp / "hub" / "models--org--name"
        shutil.copytree(folder, hub / "snapshots" / "aaa")
        before = files_of(self.tmp)
        for command in ("collect-data", "build-tables", "report", "build-plots", "show"):
            for model in (folder, folder / "config.json", folder / "model.safetensors", hub,
                          "org/name"):
                with self.subTest((command, model)):
                    done = run(command, model, env={"HF_HUB_CACHE": str(self.tmp / "hub")})
                    self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
                    self.assertIn(f"{model}: is a model, not a run", done.stderr)
                    self.assertIn(f"analyze {model} ", done.stderr)
        self.assertEqual(files_of(self.tmp), before)

    def test_what_is_not_there_ends_with_1_and_what_does_not_say_which_with_2(self):
        (self.tmp / "empty").mkdir()
        for command in ("collect-data", "build-tables", "report", "build-plots", "show"):
            for arguments, code in (((self.tmp / "none",), 1), ((self.tmp / "empty",), 1),
                                    ((), 2)):
                with self.subTest((command, arguments)):
                    done = run(command, *arguments, cwd=self.tmp)
                    self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
                    self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

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

    def test_config_alone_and_help_of_help_are_help(self):
        for arguments, words in ((("config",), ("config", "--help")),
                                 (("config", "-q"), ("config", "--help")),
                                 (("-q", "help", "config"), ("config", "--help")),
                                 (("help", "help"), ("--help",))):
            done, meant = run(*arguments), run(*words)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, meant.stdout, ""))

    def test_an_unknown_command_has_no_help(self):
        for arguments in (("help", "nothing"), ("nothing", "--help"), ("nothing",)):
            done = run(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            for part in ("'nothing'", "collect-data", "show"):
                self.assertIn(part, done.stderr)

    def test_a_mistyped_command_is_told_with_the_closest_one(self):
        for arguments, meant in ((("shw",), "show"), (("-q", "shw", "RUN"), "show"),
                                 (("help", "shw"), "show"), (("config", "chek"), "check"),
                                 (("config", "chek", "x"), "check"),
                                 (("help", "config", "chek"), "check"),
                                 (("analyze", "m", "-o", "out", "--scheme", "q4"), "--schemes"),
                                 (("config", "check", "--jsn", "x"), "--json")):
            with self.subTest(arguments):
                done = run(*arguments)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn(f"did you mean '{meant}'?", done.stderr)

    def test_short_flags(self):
        done = run("analyze", self.model(bank()), "-o", self.tmp / "out", "-j", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(list((self.tmp / "out").rglob("matrix_stats.parquet"))), 1)


class HowMuch(AcceptanceTest):
    """-q, -v and --json."""

    def setUp(self):
        super().setUp()
        self.folder = self.model(experts(count=1, rows=64, cols=64),
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

    def test_flags_of_the_output_may_stand_before_the_command(self):
        self.collect(self.run_path)
        quiet = run("-q", "build-tables", self.run_path)
        self.assertEqual((quiet.returncode, quiet.stdout, quiet.stderr), (0, "", ""))
        for flag in ("-v", "--json"):
            for command in (("build-tables", self.run_path), ("config", "check",
                            self.run_path / "analysis_config.json")):
                with self.subTest((flag, command[0])):
                    done = run(flag, *command)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertEqual(done.stdout, run(*command, flag).stdout)

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
        for command in ("collect-data", "build-tables", "report", "build-plots", "analyze"):
            told, run_path = objects[command], pathlib.Path(objects[command]["run"])
            self.assertEqual((told["model"], told["coverage"]), (str(self.folder), 1.0))
            written = command not in ("collect-data", "build-tables")
            self.assertEqual(told["report"], str(run_path / "report.html") if written else None)
            self.assertEqual(len(told["schemes"]), 9 if command == "analyze" else 3)
        self.assertEqual(json.loads(run("inspect", self.folder, "--json").stdout)["family"],
                         objects["collect-data"]["family"])

    def test_what_shows_something_gives_one_object_too(self):
        run("analyze", self.folder, "-o", self.tmp / "out", "--schemes", "q4,q6")
        run_path = self.tmp / "out" / "model" / "analysis"

        def told(*arguments):
            done = run(*arguments, "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            one = json.loads(done.stdout, object_pairs_hook=self.once)
            self.assertEqual((one["exit_code"], one["errors"]), (0, []))
            return one

        for arguments, rows in (((), 6), (("--table", "matrix_stats"), 3),
                                (("--where", "layer=0", "--top", "2"), 2)):
            shown = told("show", run_path, *arguments)
            self.assertEqual([shown[key] for key in ("command", "report", "coverage", "model")],
                             ["show", str(run_path / "report.html"), 1.0, str(self.folder)])
            self.assertEqual([scheme["scheme"] for scheme in shown["schemes"]],
                             ["affine_q4_g64", "affine_q6_g64"])
            self.assertEqual(len(shown["rows"] if arguments else shown["quant_sim"]), rows)
        self.assertEqual((shown["table"], shown["matching_rows"]), ("quant_sim", 6))
        array = run("show", run_path, "--where", "layer=0", "--top", "2", "--format", "json")
        self.assertEqual(json.loads(array.stdout), shown["rows"])
        inspected = told("inspect", self.folder)
        self.assertEqual((inspected["command"], inspected["family"], inspected["tensors"]),
                         ("inspect", None, 3))
        tensors = told("inspect", self.folder, "--tensors", "up_proj")["rows"]
        self.assertEqual([row["name"] for row in tensors],
                         ["model.layers.0.mlp.experts.0.up_proj.weight"])
        schema = told("config", "schema")
        self.assertEqual(schema["schema"], json.loads(run("config", "schema").stdout))
        for words in (("help", "show"), ("--version",), ("config",)):
            self.assertEqual(told(*words)["text"] + "\n", run(*words).stdout)

    @staticmethod
    def once(pairs):
        """No name stands in an object twice."""
        assert len(dict(pairs)) == len(pairs), pairs
        return dict(pairs)

    def test_inspect_tells_its_warnings_in_the_object(self):
        tensors = experts(count=3, rows=64, cols=64)
        del tensors["model.layers.0.mlp.experts.1.up_proj.weight"]
        folder = self.model(tensors, name="hole", config={"hidden_size": 64, "num_experts": 3})
        done = run("inspect", folder, "--json")
        told = json.loads(done.stdout)
        self.assertEqual((done.returncode, told["exit_code"]), (3, 3))
        self.assertGreater(len(told["warnings"]), 0)
        for text in told["warnings"]:
            self.assertIn(text, done.stderr)

    def test_a_failure_is_an_object_and_a_line(self):
        for command, code, meaning in ((("collect-data", self.tmp / "none"), 1, "failed"),
                                       (("inspect", self.tmp / "none"), 1, "failed"),
                                       (("analyze",), 2, "bad command line or config"),
                                       (("nothing",), 2, "bad command line or config"),
                                       (("show", "--tabel", "x"), 2, "bad command line or config"),
                                       (("show", self.run_path, "--where", "x=1"), 1, "failed")):
            with self.subTest(command[0]):
                done = run(*command, "--json")
                told = json.loads(done.stdout)
                self.assertEqual((done.returncode, told["exit_code"], told["exit_meaning"]),
                                 (code, code, meaning))
                self.assertEqual(len(told["errors"]), 1)
                self.assertIn(told["errors"][0], done.stderr)

    def test_a_few_warnings_are_told_and_all_if_asked_for(self):
        tensors = experts(count=1, rows=64, cols=64)
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


class Answer(AcceptanceTest):
    """What analyze ends with."""

    def setUp(self):
        super().setUp()
        tensors = experts(count=3, rows=64, cols=64, layers=2)
        tensors["model.layers.1.mlp.experts.2.up_proj.weight"][:] = 0
        self.folder = self.model(tensors, config={"hidden_size": 64})
        self.run_path = self.tmp / "it's out" / "model" / "analysis"

    def analyze(self, *flags, expect=0):
        done = run("analyze", self.folder, "-o", self.tmp / "it's out", *flags)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done

    def expected_schemes(self):
        """Of each scheme: bits, bytes, median and worst error, and the worst matrix."""
        quant = self.table(self.run_path, "quant_sim")
        weights = (quant.rows * quant.cols)[quant.scheme == quant.scheme[0]].sum()
        schemes = {}
        for name, rows in quant.groupby("scheme"):
            bits = rows.bits_per_weight.unique().item()
            worst = rows.loc[rows.w_rel_fro.idxmax()]
            schemes[name] = [bits, int(weights * bits / 8), rows.w_rel_fro.median(),
                             worst.w_rel_fro, worst.derived_tensor]
        return dict(sorted(schemes.items(), key=lambda item: item[1][0]))

    def test_a_line_for_each_scheme_what_is_odd_and_where_to_look(self):
        done = self.analyze("--schemes", "template")
        lines = done.stdout.splitlines()
        self.assertLessEqual(len(lines), 14)
        self.assertNotIn("[collect]", done.stdout + done.stderr)
        expected = self.expected_schemes()
        shown = [line.split() for line in lines if line.split()[:1] and line.split()[0] in expected]
        self.assertEqual([line[0] for line in shown], list(expected))
        for line, (bits, size, median, worst, name) in zip(shown, expected.values()):
            self.assertEqual([line[1], *line[4:6]], [f"{x:.5g}" for x in (bits, median, worst)])
            self.assertEqual(line[2:4], [f"{size / 1000:.3g}", "kB"])
            layer, expert = name.split(".")[2], name.split(".")[5]
            self.assertEqual(line[6:], ["L" + layer, "E" + expert, name.split("::")[1]])
        self.assertIn("- Layer 1, expert 2: all weights of up_proj are zero.", lines)
        self.assertIn("report.html", lines[-2])

    def test_its_last_lines_can_be_pasted(self):
        *_, page, show = self.analyze().stdout.splitlines()
        pasted = subprocess.run(["bash", "-c", show + " --json"], capture_output=True, text=True)
        self.assertEqual(pasted.returncode, 0, pasted.stderr)
        self.assertEqual(json.loads(pasted.stdout)["run"]["run_dir"], str(self.run_path))
        self.assertRegex(page, "^ +(xdg-)?open ")
        printed = subprocess.run(["bash", "-c", "printf %s " + page.split("open ", 1)[1]],
                                 capture_output=True, text=True)
        self.assertEqual(printed.stdout, str(self.run_path / "report.html"))
        self.assertNotIn("report.html", self.analyze("--no-report").stdout)

    def test_a_scheme_that_fits_a_part_of_the_matrices_says_so_and_is_not_sized_as_if_it_fitted_all(self):
        # 64 divides the 64 columns of gate and up, not the 32 of down.
        self.folder = self.model(experts(count=2, rows=32, cols=64), name="odd")
        self.run_path = self.tmp / "it's out" / "odd" / "analysis"
        done = self.analyze("--schemes", "q4,q8,q4g32")
        warnings = [line for line in done.stderr.splitlines() if "[quant_sim]" in line]
        self.assertEqual(len(warnings), 1, done.stderr)
        for part in ("2 of 6 matrices", "affine_q4_g64, affine_q8_g64", "down_proj"):
            self.assertIn(part, warnings[0])
        logged = self.table(self.run_path, "warnings", "logs").warning
        self.assertEqual(logged.str.startswith("[quant_sim] scheme=").sum(), 4)
        told = {one["scheme"]: one for one in json.loads(self.analyze("--json").stdout)["schemes"]}
        shown = {line.split()[0]: line for line in done.stdout.splitlines() if line[:1] == "a"}
        weights = 32 * 64
        for name, fits, bits in (("affine_q4_g64", 4, 5), ("affine_q8_g64", 4, 9),
                                 ("affine_q4_g32", 6, 6)):
            with self.subTest(name):
                size = weights * (fits * bits + (6 - fits) * 32) / 8
                self.assertEqual((told[name]["expert_bytes"], told[name]["failed"],
                                  told[name]["matrices"]), (size, 6 - fits, 6))
                self.assertIn(f"{size / 1000:.3g} kB", shown[name])
                self.assertEqual(shown[name].split()[4], f"{fits}/6")
                self.assertIn("down_proj" if fits == 6 else "_proj", shown[name].split()[-1])

    def test_usual_schemes_that_fit_no_matrix_are_named(self):
        self.folder = self.model(experts(count=2, rows=48, cols=48), name="narrow")
        done = self.analyze()
        note, = (line for line in done.stderr.splitlines() if "not simulated" in line)
        self.assertIn("affine_q4_g64", note)
        self.assertNotIn("nvfp4", note)
        self.assertNotIn("not simulated", self.analyze("--schemes", "nvfp4").stderr)

    def test_the_steps_are_told_if_asked_for(self):
        done = self.analyze("-v")
        for part in ("[collect] matrix_stats rows: 18", "routed_expert", "[build_tables] ",
                     "[report] wrote", "Worst experts per scheme"):
            self.assertIn(part, done.stdout)
        self.assertIn("[collect] (1/1)", done.stderr)

    def test_one_object_for_programs(self):
        told = json.loads(self.analyze("--json", "--schemes", "template").stdout)
        self.assertEqual([told[key] for key in ("run", "report", "model", "coverage")],
                         [str(self.run_path), str(self.run_path / "report.html"),
                          str(self.folder), 1.0])
        self.assertEqual(told["tables"]["matrix_stats"], 18)
        expected = self.expected_schemes()
        self.assertEqual([scheme["scheme"] for scheme in told["schemes"]], list(expected))
        for scheme, (bits, size, median, worst, name) in zip(told["schemes"], expected.values()):
            self.assertEqual([scheme[key] for key in ("bits_per_weight", "expert_bytes",
                                                      "worst_error", "worst_matrix", "failed")],
                             [bits, size, worst, name, 0])
            self.assertAlmostEqual(scheme["median_error"], median, delta=1e-15)
        self.assertEqual([one["kind"] for one in told["findings"]], ["dead"])
        shown = json.loads(run("show", self.run_path, "--json").stdout)
        self.assertEqual((shown["schemes"], shown["findings"]),
                         (told["schemes"], told["findings"]))

    def test_an_incomplete_run_does_not_end_like_a_whole_one(self):
        tensors = experts(count=1, rows=64, cols=64)
        tensors["model.layers.0.mlp.experts.1.up_proj.weight"] = tensors[
            "model.layers.0.mlp.experts.0.up_proj.weight"].astype("uint32")
        self.folder = self.model(tensors, name="broken")
        self.run_path = self.tmp / "it's out" / "broken" / "analysis"
        done = self.analyze(expect=3)
        self.assertIn("refused or skipped", done.stdout.splitlines()[-1])
        self.assertTrue(done.stdout.startswith("50 % of the experts were read"), done.stdout)
        told = json.loads(self.analyze("--json", expect=3).stdout)
        self.assertEqual(told["exit_code"], 3)
        self.assertIn("refused or skipped", told["exit_meaning"])
        self.assertLess(told["coverage"], 1)
        self.assertTrue(told["warnings"])
