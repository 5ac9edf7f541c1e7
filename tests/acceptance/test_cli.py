"""The command line: help, spellings, launchers, exit codes, streams, Ctrl-C (contract 1, D18, D27)."""

import json
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import sys
import time

from support import PROGRAM, AcceptanceTest, bank, files_of, reference_config, run

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"

# Command -> phrases its --help must hold, whitespace-normalised.
HELP = {
    "init-run": ["Create a new analysis run directory",
                 "Root directory where run directories are created",
                 "Stable model identifier used under the run root",
                 "Human-readable run name within the model directory",
                 "--root", "--model-id", "--run-name", "--model-path"],
    "collect-data": ["Scan model files, extract expert matrices, compute stats, and optionally run "
                     "MLX quantization simulation",
                     "Run directory created by init_run",
                     "Override the model_path from analysis_config.json",
                     "--run-dir", "--model-path", "--threads", "--keep-going"],
    "build-tables": ["Aggregate matrix_stats and quant_sim into summary tables",
                     "Run directory containing data/ artifacts from collect_data", "--run-dir"],
    "analyze": ["--out", "--model-id", "--run-name"],
    "recipe": ["--bits", "--size", "--max-error", "--as-good-as", "--candidates", "--pin",
               "--floor", "--keep", "--unit", "--objective", "--front", "-o"],
    "export": ["--to", "mlx-lm, a Python file that runs mlx_lm.convert", "mlx-config", "-o", "--out"],
    "quantize": ["--out", "--recipe", "--scheme", "--encoder", "--dry-run", "--resume", "byte for byte as mlx_lm.convert"],
    "doctor": ["FOLDER", "mlx.profile"],
    "config": ["schema", "check"],
}

REQUIRED = {"init-run": ["--root", "--model-id", "--run-name"], "collect-data": ["--run-dir"],
            "build-tables": ["--run-dir"]}

LAUNCHERS = {"init_run.py": "init-run", "collect_data.py": "collect-data",
             "build_tables.py": "build-tables"}


def normalised(text):
    return " ".join(text.split())


class Help(AcceptanceTest):
    def test_every_command_explains_itself(self):
        for command, phrases in HELP.items():
            done = run(command, "--help")
            with self.subTest(command):
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                text = normalised(done.stdout)
                self.assertIn(f"usage: moescope {command}", text)
                for phrase in phrases:
                    self.assertIn(phrase, text)

    def test_what_options_mean_fits_80_columns(self):
        for command in (*HELP, "report", "show", "build-plots", "inspect"):
            options = run(command, "--help").stdout.split("Options:")[1].split("Example")[0]
            for line in options.splitlines():
                if line.startswith(" " * 30):
                    self.assertLessEqual(len(line), 80, command)

    def test_program_help_lists_the_commands(self):
        done = run("--help")
        self.assertEqual(done.returncode, 0)
        for command in HELP:
            self.assertIn(command, done.stdout)

    def test_underscore_spellings_are_the_same_commands(self):
        for command in REQUIRED:
            with self.subTest(command):
                done = run(command.replace("-", "_"), "--help")
                self.assertEqual(done.returncode, 0, done.stderr)
                for phrase in HELP[command]:
                    self.assertIn(phrase, normalised(done.stdout))

    def test_version_names_what_it_runs_on(self):
        done = run("--version")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"moescope \d+\.\d+")
        for word in ("Arrow", "MLX", "SIMD"):
            self.assertIn(word.lower(), done.stdout.lower())


class Usage(AcceptanceTest):
    def refused(self, *arguments):
        done = run(*arguments, cwd=self.tmp)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertEqual(files_of(self.tmp), {})
        return done.stderr

    def test_wrong_command_lines_exit_2_with_one_line(self):
        good = {"init-run": ["--root", "r", "--model-id", "m", "--run-name", "n"],
                "collect-data": ["--run-dir", "r"], "build-tables": ["--run-dir", "r"]}
        cases = [("no-such-command",), ("--no-such-flag",), ("config", "no-such"),
                 ("config", "check"), ("analyze",), ("collect-data", "--run-dir"),
                 ("collect-data", "--run-dir", "r", "extra"),
                 ("collect-data", "--run-dir", "r", "--threads", "x"),
                 ("collect-data", "--run-dir", "r", "--threads", "-1")]
        cases += [(command, *flags, "--no-such-flag") for command, flags in good.items()]
        for command, names in REQUIRED.items():
            for name in names:
                flags = list(good[command])
                at = flags.index(name)
                cases.append((command, *flags[:at], *flags[at + 2:]))
        for arguments in cases:
            with self.subTest(arguments):
                self.refused(*arguments)

    def test_a_typo_is_answered_with_the_closest_name(self):
        self.assertIn("collect-data", self.refused("colect-data", "--run-dir", "r"))
        self.assertIn("--run-dir", self.refused("build-tables", "--run-dri", "r"))

    def test_missing_required_argument_is_named(self):
        self.assertIn("--model-id", self.refused("init-run", "--root", "r", "--run-name", "n"))

    def test_flags_may_be_joined_with_an_equals_sign(self):
        done = run("init-run", f"--root={self.tmp}", "--model-id=m", "--run-name=r")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.tmp / "m/r/manifest.json").is_file())


class Launchers(AcceptanceTest):
    def launch(self, script, *arguments, **kw):
        return subprocess.run([sys.executable, "-B", SCRIPTS / script, *map(str, arguments)],
                              text=True, capture_output=True, timeout=300,
                              env={**os.environ, "MOESCOPE": PROGRAM}, **kw)

    def test_help_is_the_commands(self):
        for script, command in LAUNCHERS.items():
            with self.subTest(script):
                done = self.launch(script, "--help")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stdout, run(command, "--help").stdout)

    def test_yesterdays_commands_make_a_run(self):
        model = self.model(bank(count=2))
        flags = ["--root", self.tmp / "runs", "--model-id", "a/b", "--run-name", "r"]
        done = self.launch("init_run.py", *flags, "--model-path", model)
        self.assertEqual(done.returncode, 0, done.stderr)
        run_dir = self.tmp / "runs/a/b/r"
        done = self.launch("collect_data.py", "--run-dir", run_dir)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("matrix_stats rows", done.stdout)
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 2)
        done = self.launch("build_tables.py", "--run-dir", run_dir)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(self.table(run_dir, "A_weight_global_summary", "tables")), 1)

    def test_wrong_flags_exit_2(self):
        for script in LAUNCHERS:
            with self.subTest(script):
                self.assertEqual(self.launch(script, "--no-such").returncode, 2)


class Paths(AcceptanceTest):
    def test_tilde_is_the_home_folder(self):
        self.model(bank(), name="home/model")
        env = {"HOME": str(self.tmp / "home")}
        done = run("init-run", "--root", "~/runs", "--model-id", "m", "--run-name", "r",
                   "--model-path", "~/model", env=env, cwd=self.tmp)
        self.assertEqual(done.returncode, 0, done.stderr)
        run_dir = self.tmp / "home/runs/m/r"
        config = json.loads((run_dir / "analysis_config.json").read_text())
        self.assertEqual(config["model_path"], str((self.tmp / "home/model").resolve()))
        self.assertFalse((self.tmp / "~").exists())
        for arguments in (("collect-data", "--run-dir", "~/runs/m/r", "--model-path", "~/model"),
                          ("build-tables", "--run-dir", "~/runs/m/r"),
                          ("config", "check", "~/runs/m/r/analysis_config.json")):
            done = run(*arguments, env=env, cwd=self.tmp)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 1)

    def test_tilde_in_the_configs_model_path_is_the_home_folder(self):
        self.model(bank(), name="home/model")
        run_dir = self.run_dir(self.tmp, lambda c: c.update(model_path="~/model"))
        self.collect(run_dir, env={"HOME": str(self.tmp / "home")})
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 1)

    def test_relative_paths_are_the_callers(self):
        self.model(bank(), name="work/model")
        (self.tmp / "elsewhere").mkdir()
        cwd = self.tmp / "elsewhere"
        done = run("init-run", "--root", "../runs", "--model-id", "m", "--run-name", "r",
                   "--model-path", "../work/model", cwd=cwd)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run("collect-data", "--run-dir", "m/r", cwd=self.tmp / "runs")
        self.assertEqual(done.returncode, 0, done.stderr)
        files = self.table(self.tmp / "runs/m/r", "matrix_stats").file.tolist()
        self.assertEqual(files, [str((self.tmp / "work/model/model.safetensors").resolve())])

    def test_run_dir_and_model_may_be_reached_through_links(self):
        self.model(bank(), name="real")
        (self.tmp / "link").symlink_to("real")
        run_dir = self.run_dir(self.tmp / "link")
        (self.tmp / "run-link").symlink_to(run_dir)
        self.collect(self.tmp / "run-link", "--model-path", self.tmp / "link")
        files = self.table(run_dir, "matrix_stats").file.tolist()
        self.assertEqual(files, [str((self.tmp / "real/model.safetensors").resolve())])

    def test_model_path_flag_overrides_the_config_for_this_call_only(self):
        first = self.model(bank(count=1), name="first")
        second = self.model(bank(count=3), name="second")
        run_dir = self.run_dir(first)
        config = (run_dir / "analysis_config.json").read_bytes()
        self.collect(run_dir, "--model-path", second)
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 3)
        self.assertEqual((run_dir / "analysis_config.json").read_bytes(), config)
        self.collect(run_dir)
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 1)

    def test_a_run_directory_with_only_a_config_is_enough(self):
        run_dir = self.tmp / "hand made"
        run_dir.mkdir()
        (run_dir / "analysis_config.json").write_text(
            json.dumps(reference_config(self.model(bank()))))
        self.collect(run_dir)
        done = run("build-tables", "--run-dir", run_dir)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(self.table(run_dir, "B_quant_global_summary", "tables")), 3)


class Failures(AcceptanceTest):
    def test_missing_config_exits_1_and_says_so(self):
        (self.tmp / "empty").mkdir()
        for folder in ("empty", "not-there"):
            with self.subTest(folder):
                done = run("collect-data", "--run-dir", self.tmp / folder)
                self.assertEqual(done.returncode, 1)
                self.assertIn("Missing config:", done.stderr)
                self.assertIn(str(self.tmp / folder / "analysis_config.json"), done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1)
                self.assertEqual(done.stdout, "")
        self.assertFalse((self.tmp / "not-there").exists(), "a mistyped run dir is not created")

    def test_missing_model_exits_1_and_names_it(self):
        run_dir = self.run_dir(self.tmp / "no such model")
        done = self.collect(run_dir, expect=1)
        self.assertIn(str(self.tmp / "no such model"), done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(files_of(run_dir / "data"), {})

    def test_missing_tables_input_exits_1_and_names_it(self):
        run_dir = self.run_dir(self.model(bank()))
        done = run("build-tables", "--run-dir", run_dir)
        self.assertEqual(done.returncode, 1)
        self.assertIn("matrix_stats", done.stderr)


class Analyze(AcceptanceTest):
    def test_does_all_three_steps(self):
        done = run("analyze", self.model(bank(count=2)), "--out", self.tmp / "out", "--model-id",
                   "a/b", "--run-name", "r", "--schemes", "template")
        self.assertEqual(done.returncode, 0, done.stderr)
        run_dir = self.tmp / "out/a/b/r"
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 2)
        self.assertEqual(len(self.table(run_dir, "quant_sim")), 6)
        self.assertEqual(len(self.table(run_dir, "A_weight_global_summary", "tables")), 1)

    def test_derives_ids_from_the_path(self):
        done = run("analyze", self.model(bank(), name="My-Model"), "--out", self.tmp / "out")
        self.assertEqual(done.returncode, 0, done.stderr)
        manifests = list((self.tmp / "out").rglob("manifest.json"))
        self.assertEqual(len(manifests), 1)
        self.assertIn("My-Model", json.loads(manifests[0].read_text())["model_id"])

    def test_missing_model_exits_1_and_creates_nothing(self):
        done = run("analyze", self.tmp / "nothing", "--out", self.tmp / "out")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertFalse((self.tmp / "out").exists())


class Config(AcceptanceTest):
    def check(self, text):
        path = self.tmp / "c.json"
        path.write_text(text)
        return run("config", "check", path)

    def test_schema_is_json_schema_text(self):
        done = run("config", "schema")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        schema = json.loads(done.stdout)
        self.assertIn("json-schema.org", schema["$schema"])
        self.assertEqual(schema["type"], "object")
        template = reference_config("m")
        self.assertLessEqual(set(template), set(schema["properties"]))
        for section in ("scan", "parsing", "mlx", "stats", "output", "debug"):
            known = schema["properties"][section]["properties"]
            self.assertLessEqual(set(template[section]), set(known))

    def test_check_accepts_the_references_config(self):
        done = self.check(json.dumps(reference_config("/m")))
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_check_refuses_with_the_json_pointer(self):
        config = reference_config("/m")
        config["stats"]["eps"] = "small"
        done = self.check(json.dumps(config))
        self.assertEqual(done.returncode, 2)
        self.assertIn("/stats/eps", done.stderr)

    def test_check_refuses_what_is_no_json(self):
        for text in ("", "{", "[1]", '{"model_path": "m",}'):
            with self.subTest(text):
                done = self.check(text)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1)
                self.assertIn("c.json", done.stderr)

    def test_check_warns_about_an_unknown_key_with_the_closest_one(self):
        config = reference_config("/m")
        config["stats"]["sample_per_matrx"] = 5
        done = self.check(json.dumps(config))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("sample_per_matrx", done.stderr)
        self.assertIn("sample_per_matrix", done.stderr.replace("sample_per_matrx", ""))

    def test_check_refuses_a_scheme_that_can_not_work(self):
        cases = [({"mode": "mxpf4"}, "/quant_schemes/3/mode", 'did you mean "mxfp4"'),
                 ({"mode": "affine", "bits": 7}, "/quant_schemes/3/bits", "1, 2, 3, 4, 5, 6, 8"),
                 ({"mode": "affine", "group_size": 16}, "/quant_schemes/3/group_size", "128"),
                 ({"mode": "nvfp4", "group_size": 32}, "/quant_schemes/3/group_size", "must be 16"),
                 ({"mode": "mxfp8", "bits": 4}, "/quant_schemes/3/bits", "must be 8")]
        for entry, pointer, part in cases:
            with self.subTest(entry):
                config = reference_config("/m")
                config["quant_schemes"].append({"name": "mine", **entry})
                done = self.check(json.dumps(config))
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertEqual(len(done.stderr.splitlines()), 1)
                self.assertIn(pointer, done.stderr)
                self.assertIn(part, done.stderr)
                config["quant_schemes"][-1]["enabled"] = False
                self.assertEqual(self.check(json.dumps(config)).returncode, 0)

    def test_check_warns_of_a_pair_whose_scheme_is_absent(self):
        config = reference_config("/m")
        config["delta_pairs"].append({"name": "p", "a": "mxfp4_g32", "b": "gone"})
        done = self.check(json.dumps(config))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertIn("/delta_pairs/2/b", done.stderr)
        self.assertIn("gone", done.stderr)

    def test_the_schema_allows_what_each_mode_takes(self):
        entry = json.loads(run("config", "schema").stdout)["properties"]["quant_schemes"]["items"]
        self.assertEqual(entry["properties"]["mode"]["enum"], ["affine", "mxfp4", "mxfp8", "nvfp4"])
        takes = {rule["if"]["properties"]["mode"]["const"]:
                 tuple(rule["then"]["properties"][key]["enum"] for key in ("bits", "group_size"))
                 for rule in entry["allOf"]}
        self.assertEqual(takes, {"affine": ([1, 2, 3, 4, 5, 6, 8], [32, 64, 128]),
                                 "mxfp4": ([4], [32]), "mxfp8": ([8], [32]),
                                 "nvfp4": ([4], [16])})

    def test_check_of_a_run_directory_means_its_config(self):
        run_dir = self.run_dir("/m")
        for place in (run_dir, run_dir.parent, run_dir / "logs"):
            with self.subTest(place):
                done = run("config", "check", place)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn(str(run_dir / "analysis_config.json"), done.stdout)
        (run_dir / "analysis_config.json").write_text("{")
        self.assertEqual(run("config", "check", run_dir).returncode, 2)

    def test_check_of_a_file_that_is_not_there_exits_1(self):
        done = run("config", "check", self.tmp / "none.json")
        self.assertEqual(done.returncode, 1)
        self.assertIn("none.json", done.stderr)


class Streams(AcceptanceTest):
    def closed_pipe(self, *arguments, stderr=subprocess.PIPE):
        """Runs the program with a stdout that nobody reads; SIGPIPE as a shell leaves it."""
        read_end, write_end = os.pipe()
        os.close(read_end)
        try:
            return subprocess.run([PROGRAM, *map(str, arguments)], stdout=write_end,
                                  stderr=stderr, text=True, timeout=300)
        finally:
            os.close(write_end)

    def test_a_closed_pipe_is_no_error(self):
        run_dir = self.run_dir(self.model(bank()))
        for arguments in (("--help",), ("--version",), ("config", "schema"),
                          ("collect-data", "--run-dir", run_dir),
                          ("build-tables", "--run-dir", run_dir)):
            with self.subTest(arguments[0]):
                done = self.closed_pipe(*arguments)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertNotIn("error", done.stderr.lower())
                self.assertNotIn("pipe", done.stderr.lower())
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 1)

    def test_a_closed_pipe_for_both_streams_is_no_error(self):
        run_dir = self.run_dir(self.model(bank()))
        for arguments, code in ((("collect-data", "--run-dir", run_dir), 0),
                                (("build-tables", "--run-dir", run_dir), 0),
                                (("collect-data", "--run-dir", self.tmp / "none"), 1),
                                (("no-such-command",), 2)):
            with self.subTest(arguments[0], code=code):
                self.assertEqual(self.closed_pipe(*arguments, stderr=subprocess.STDOUT).returncode,
                                 code)
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 1)

    def test_progress_goes_to_stderr_and_results_to_stdout(self):
        model = self.model(bank())
        done = self.collect(self.run_dir(model))
        self.assertIn("matrix_stats rows", done.stdout)
        self.assertNotIn("scanning", done.stdout)
        self.assertNotIn("(1/1)", done.stdout)
        self.assertIn("(1/1)", done.stderr)

    def test_a_pipe_gets_no_escapes(self):
        done = self.collect(self.run_dir(self.model(bank())))
        self.assertNotIn("\x1b", done.stdout + done.stderr)
        self.assertNotIn("\r", done.stdout + done.stderr)

    def on_terminal(self, *arguments, env=None):
        """What the program prints on a terminal, and its exit code."""
        main, terminal = pty.openpty()
        env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | (env or {})
        child = subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=terminal, stdout=terminal,
                                 stderr=terminal, env=env)
        os.close(terminal)
        text = b""
        while True:
            try:
                piece = os.read(main, 4096)
            except OSError:  # Linux: the last writer closed its end
                break
            if not piece:
                break
            text += piece
        os.close(main)
        return text.decode(), child.wait(timeout=60)

    def test_errors_are_coloured_on_a_terminal_unless_no_color_is_set(self):
        arguments = ("collect-data", "--run-dir", self.tmp / "nothing")
        text, code = self.on_terminal(*arguments)
        self.assertEqual(code, 1)
        self.assertIn("\x1b[31m", text)
        text, code = self.on_terminal(*arguments, env={"NO_COLOR": "1"})
        self.assertEqual(code, 1)
        self.assertNotRegex(text, "\x1b\\[[0-9;]*m")
        self.assertIn("Missing config:", text)


class Interrupt(AcceptanceTest):
    def big_model(self):
        """1 GiB of float16 zeros that take no room on disk: many seconds of work."""
        folder = self.tmp / "big"
        folder.mkdir()
        nbytes = 128 * 1024 * 4096 * 2
        header = json.dumps({"model.layers.0.mlp.experts.gate_proj.weight": {
            "dtype": "F16", "shape": [128, 1024, 4096], "data_offsets": [0, nbytes]}}).encode()
        with open(folder / "model.safetensors", "wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            file.truncate(8 + len(header) + nbytes)
        return folder

    def test_ctrl_c_exits_130_at_once_and_leaves_old_outputs_alone(self):
        run_dir = self.run_dir(self.model(bank(count=2)),
                               lambda c: c["stats"].update(percentile_method="sample"))
        self.collect(run_dir)
        shutil.rmtree(run_dir / "cache")  # the index cache may grow: it is no output
        (run_dir / "cache/sampled_indices").mkdir(parents=True)
        before = files_of(run_dir)
        child = subprocess.Popen([PROGRAM, "collect-data", "--run-dir", run_dir, "--model-path",
                                  self.big_model(), "--threads", "1"], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        time.sleep(1.0)  # well inside the work
        self.assertIsNone(child.poll(), "the model is too small for this test")
        interrupted = time.monotonic()
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=60)
        waited = time.monotonic() - interrupted
        self.assertEqual(child.returncode, 130, stderr)
        self.assertIn("untouched", stderr)
        self.assertLess(waited, 5)  # about a second, on a machine that does other things too
        after = {k: v for k, v in files_of(run_dir).items()
                 if not k.startswith("cache/") and k != "logs/run_failure.json"}
        self.assertEqual(after.keys(), before.keys(), "no temporary files stay")
        self.assertEqual(after, before)
