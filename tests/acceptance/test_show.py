"""`moescope show`: the tables of a run in the terminal."""

import csv
import fcntl
import io
import json
import math
import os
import pathlib
import pty
import shutil
import struct
import subprocess
import tempfile
import termios
import unittest

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from support import PROGRAM, AcceptanceTest, experts, run

UTF8 = {"LC_ALL": "C.UTF-8"}
HOSTILE = "<script>alert(1)</script>|`x`\x1b[31m\u009b2J\u202e\n\"quoted\", 'comma' \u5927"


def show(run_dir, *arguments, env=UTF8, expect=0):
    done = run("show", "--run-dir", run_dir, *arguments, env=env)
    assert done.returncode == expect, (done.returncode, done.stderr, done.stdout[-500:])
    return done


def rows_of(text):
    """An aligned table's lines as lists of cells (no cell of these tests holds a blank)."""
    return [line.split() for line in text.splitlines()]


def in_terminal(columns, *arguments, env=UTF8):
    """Runs `moescope show` with a terminal of so many columns as stdout; returns its lines."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    child = subprocess.Popen([PROGRAM, "show", *map(str, arguments)], stdout=follower,
                             stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                             env={**os.environ, **env})
    os.close(follower)
    text = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not piece:
            break
        text += piece
    os.close(leader)
    errors = child.communicate()[1].decode()
    assert child.returncode == 0, errors
    return text.decode().replace("\r\n", "\n").splitlines(), errors


class OneRun(unittest.TestCase):
    """A run of 2 layers x 3 experts x 3 projections under the template's three schemes, in both
    formats; the tests read it only."""

    @classmethod
    def setUpClass(cls):
        cls.tmp = pathlib.Path(tempfile.mkdtemp(prefix="moescope-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.tmp, ignore_errors=True)
        maker = AcceptanceTest()
        maker.tmp = cls.tmp
        model = maker.model(experts(count=3, layers=2))
        for name in ("parquet", "csv"):
            folder = maker.run_dir(model, lambda config: config["output"].update(format=name), name)
            maker.collect(folder)
            done = run("build-tables", "--run-dir", folder)
            assert done.returncode == 0, done.stderr
            setattr(cls, name, folder)
        cls.quant = pq.read_table(cls.parquet / "data" / "quant_sim.parquet").to_pylist()

    def both(self):
        return self.parquet, self.csv


class Queries(OneRun):
    def test_the_worst_matrices_are_those_of_the_table(self):
        expected = sorted((row for row in self.quant
                           if row["proj"] == "down_proj" and row["layer"] >= 1),
                          key=lambda row: -row["w_rel_fro"])[:4]
        for run_dir in self.both():
            done = show(run_dir, "--table", "quant_sim", "--sort", "w_rel_fro", "--top", "4",
                        "--where", "proj=down_proj,layer>=1", "--format", "json")
            self.assertEqual(json.loads(done.stdout), expected)

    def test_json_and_csv_hold_every_table_exactly(self):
        """Each table of the Parquet run, read with pyarrow, against what show gives of both."""
        tables = [*self.parquet.glob("data/*.parquet"), *self.parquet.glob("tables/*.parquet")]
        self.assertEqual(len(tables), 17)
        for path in tables:
            expected = pq.read_table(path).to_pylist()
            for row in expected:
                for name, value in row.items():
                    if isinstance(value, list):
                        row[name] = str(tuple(value))
            for run_dir in self.both():
                of_json = show(run_dir, "--table", path.stem, "--format", "json").stdout
                self.assertEqual(json.loads(of_json), expected)
                of_csv = show(run_dir, "--table", path.stem, "--format", "csv").stdout
                written = (self.csv / path.parent.name / (path.stem + ".csv")).read_text()
                self.assertEqual(of_csv, written)

    def test_aligned_numbers_have_five_digits_and_null_is_a_dash(self):
        worst = sorted(self.quant, key=lambda row: -row["w_rel_fro"])
        for run_dir in self.both():
            text = show(run_dir, "--sort", "w_rel_fro", "--columns",
                        "w_rel_fro,expert_id,bias_mean,requantized,scheme").stdout
            header, *lines = rows_of(text)
            self.assertEqual(header,
                             ["w_rel_fro", "expert_id", "bias_mean", "requantized", "scheme"])
            self.assertEqual(len(lines), 20)
            for line, row in zip(lines, worst):
                bias = "-" if row["bias_mean"] is None else f"{row['bias_mean']:.5g}"
                self.assertEqual([line[0], *line[2:]],
                                 [f"{row['w_rel_fro']:.5g}", str(row["expert_id"]), bias, "False",
                                  row["scheme"]])

    def test_columns_are_aligned(self):
        lines = show(self.parquet, "--columns", "proj,expert_id,scheme").stdout.splitlines()
        scheme = lines[0].index("scheme")
        expert_end = lines[0].index("expert_id") + len("expert_id")
        for line, row in zip(lines[1:], self.quant):
            self.assertTrue(line.startswith(row["proj"] + "  "))
            self.assertEqual(line[expert_end - 1], str(row["expert_id"]))
            self.assertEqual(line[scheme:], row["scheme"])

    def test_how_many_rows_more_there_are_is_told_on_stderr(self):
        self.assertIn(f"{len(self.quant) - 20} rows more",
                      show(self.csv, "--columns", "layer").stderr)
        everything = show(self.csv, "--columns", "layer", "--top", "0")
        self.assertEqual(len(everything.stdout.splitlines()), 1 + len(self.quant))
        self.assertEqual(everything.stderr, "")
        self.assertEqual(len(json.loads(show(self.csv, "--columns", "layer", "--format", "json",
                                             "--top", "7").stdout)), 7)

    def test_where_may_be_given_twice(self):
        done = show(self.parquet, "--where", "layer=1", "--where", "expert_id=2", "--format",
                    "json", "--columns", "layer,expert_id")
        self.assertEqual(json.loads(done.stdout), [{"layer": 1, "expert_id": 2}] * 9)

    def test_a_scheme_may_be_spelled_short(self):
        for run_dir in self.both():
            for text in ("affine_q4_g32", "q4g32", "Q4_G32"):
                shown = show(run_dir, "--where", f"scheme={text}", "--format", "json", "--top", "0")
                rows = json.loads(shown.stdout)
                self.assertEqual({row["scheme"] for row in rows}, {"affine_q4_g32"}, text)
                self.assertEqual(len(rows),
                                 sum(row["scheme"] == "affine_q4_g32" for row in self.quant))
        show(self.parquet, "--where", "scheme=q8", expect=2)  # of groups of 64, which it has not

    def test_no_row(self):
        for run_dir in self.both():
            self.assertEqual(show(run_dir, "--where", "layer=99", "--format", "json").stdout,
                             "[]\n")
            done = show(run_dir, "--where", "layer=99", "--columns", "layer,proj")
            self.assertEqual((done.stdout, done.stderr),
                             ("layer  proj\n", "no row matches; layer is 0 to 1\n"))

    def test_where_nothing_matches_the_range_of_each_number_is_told(self):
        largest = max(row["w_rel_fro"] for row in self.quant)
        least = min(row["w_rel_fro"] for row in self.quant)
        for run_dir in self.both():
            for where, told in (("layer>5,layer<7", "layer is 0 to 1"),
                                ("bits=3", f"bits is {self.bits()}"),
                                ("proj=down_proj,expert_id=99,w_rel_fro>9",
                                 f"expert_id is 0 to {max(r['expert_id'] for r in self.quant)}, "
                                 f"w_rel_fro is {least:.5g} to {largest:.5g}"),
                                ("bias_mean=7,scheme=mxfp4_g32", "bias_mean is"),
                                ("proj=", "no row matches\n")):
                with self.subTest(where):
                    done = show(run_dir, "--where", where)
                    self.assertIn(told, done.stderr)

    def bits(self):
        bits = sorted({row["bits"] for row in self.quant})
        return f"{bits[0]} to {bits[-1]}"

    def test_markdown_is_a_table(self):
        done = show(self.parquet, "--format", "markdown", "--top", "2", "--sort", "w_rel_fro:asc",
                    "--columns", "proj,w_rel_fro,error")
        best = sorted(self.quant, key=lambda row: row["w_rel_fro"])[:2]
        self.assertEqual(done.stdout.splitlines(),
                         ["| proj | w_rel_fro | error |", "| --- | ---: | --- |",
                          *(f"| {row['proj']} | {row['w_rel_fro']:.5g} | - |" for row in best)])


class Overview(OneRun):
    def test_it_gives_each_scheme_and_the_worst_matrices(self):
        summary = pq.read_table(self.parquet / "tables/B_quant_global_summary.parquet").to_pylist()
        schemes = sorted({row["scheme"] for row in self.quant})
        worst = [row for scheme in schemes for row in
                 sorted((row for row in self.quant if row["scheme"] == scheme),
                        key=lambda row: -row["w_rel_fro"])[:3]]
        for run_dir in self.both():
            parts = json.loads(show(run_dir, "--format", "json").stdout)
            self.assertEqual(parts["run"]["run_name"], run_dir.name)
            for of_table, expected in (("B_quant_global_summary", summary), ("quant_sim", worst)):
                columns = list(parts[of_table][0])
                self.assertGreaterEqual(len(columns), 8)
                self.assertEqual(parts[of_table],
                                 [{name: row[name] for name in columns} for row in expected])
            self.assertEqual(len(json.loads(show(run_dir, "--format", "json", "--top", "2").stdout)
                                 ["quant_sim"]), 6)
            text = show(run_dir).stdout
            cells = [line.split() for line in text.splitlines()]
            for row in worst:
                place = [row["scheme"], str(row["layer"]), row["proj"], str(row["expert_id"])]
                line = next(line for line in cells if line[:4] == place)
                self.assertIn(f"{row['w_rel_fro']:.5g}", line)
            self.assertIn("A_weight_layer_summary", text)

    def test_before_build_tables_it_says_what_is_missing(self):
        copy = self.tmp / "untabled"
        shutil.copytree(self.parquet, copy)
        shutil.rmtree(copy / "tables")
        done = show(copy, "--format", "json")
        self.assertEqual(len(json.loads(done.stdout)["quant_sim"]), 9)
        self.assertIn("build-tables", done.stderr)

    def test_without_simulation_it_shows_the_weights(self):
        copy = self.tmp / "unsimulated"
        shutil.copytree(self.parquet, copy)
        for table in ("data/quant_sim", "tables/B_quant_global_summary"):
            path = copy / (table + ".parquet")
            pq.write_table(pq.read_table(path).slice(0, 0), path)
        parts = json.loads(show(copy, "--format", "json").stdout)
        self.assertEqual(list(parts),
                         ["run", "A_weight_global_summary", "matrix_stats", "findings"])
        stats = pq.read_table(copy / "data/matrix_stats.parquet").to_pylist()
        worst = max(stats, key=lambda row: row["outlier_max_over_mean"])
        self.assertIn({name: worst[name] for name in parts["matrix_stats"][0]},
                      parts["matrix_stats"])
        self.assertEqual(len(parts["matrix_stats"]), 9)


class Oddities(AcceptanceTest):
    def test_the_overview_tells_what_is_odd(self):
        tensors = experts(count=3, layers=2)
        tensors["model.layers.1.mlp.experts.2.up_proj.weight"][:] = 0
        run_dir = self.collected(tensors)
        self.assertEqual(run("build-tables", "--run-dir", run_dir).returncode, 0)
        odd = json.loads(show(run_dir, "--format", "json").stdout)["findings"]
        self.assertEqual(odd, [{"kind": "dead",
                                "text": "Layer 1, expert 2: all weights of up_proj are zero."}])
        self.assertIn("- " + odd[0]["text"], show(run_dir).stdout.splitlines())

    def test_matrices_that_a_few_huge_weights_flatter_are_marked(self):
        tensors = experts(count=8)
        for name, weights in tensors.items():
            if ".experts.3." in name:
                weights.flat[::3000] = 40
        run_dir = self.collected(tensors)
        rows = json.loads(show(run_dir, "--format", "json", "--top", "0").stdout)["quant_sim"]
        self.assertEqual(len(rows), 3 * 24)
        self.assertEqual({row["expert_id"] for row in rows if row["note"] == "few huge weights"}, {3})
        self.assertEqual({row["expert_id"] for row in rows if row["note"] is None},
                         {0, 1, 2, 4, 5, 6, 7})
        for flags in (("--table", "quant_sim"), ("--table", "matrix_stats"),
                      ("--sort", "w_rel_fro", "--columns", "expert_id,w_rel_fro,scheme"),
                      ("--table", "matrix_stats", "--sort", "rms", "--columns", "expert_id,rms")):
            with self.subTest(flags):
                head, _, *lines = show(run_dir, *flags, "--top", "0", "--format",
                                       "markdown").stdout.splitlines()
                names = [cell.strip() for cell in head.split("|")]
                noted = {(cells[names.index("expert_id")].strip(), cells[names.index("note")].strip())
                         for cells in (line.split("|") for line in lines)}
                self.assertEqual(noted, {("3", "few huge weights"),
                                         *((str(e), "-") for e in (0, 1, 2, 4, 5, 6, 7))})
        worst = self.collect(run_dir, "-v").stdout.splitlines()
        marked = [line.split()[2] for line in worst if line.endswith("few huge weights")]
        self.assertTrue(marked and set(marked) == {"3"}, worst)
        narrow = show(run_dir, "--sort", "rms", "--table", "matrix_stats").stdout.splitlines()
        self.assertIn("few huge weights", narrow[1])
        self.assertNotIn("note", show(run_dir, "--where", "expert_id=1").stdout.splitlines()[0])
        self.assertNotIn("note", show(run_dir, "--format", "csv", "--sort", "rms", "--table",
                                      "matrix_stats").stdout.splitlines()[0])


class State(AcceptanceTest):
    def head(self, run_dir):
        return json.loads(show(run_dir, "--format", "json").stdout)["run"]

    def test_an_incomplete_run_and_a_failed_one_after_it_are_told(self):
        tensors = experts(count=2)
        del tensors["model.layers.0.mlp.experts.1.up_proj.weight"]
        model = self.model(tensors)
        run_dir = self.run_dir(model, lambda config: config["scan"].update(min_expert_coverage=1.0))
        self.collect(run_dir, expect=3)
        head = self.head(run_dir)
        self.assertEqual((head["incomplete"], head["last_failure"]), (True, None))
        self.assertAlmostEqual(head["coverage"], 5 / 6)
        self.assertIn("83.33 %", show(run_dir).stdout)
        (model / "model.safetensors").write_bytes(b"x")
        self.collect(run_dir, expect=1)
        self.assertIn("model.safetensors", self.head(run_dir)["last_failure"])
        self.assertIn("failed", show(run_dir).stdout.splitlines()[2])

    def test_tables_older_than_the_collection_are_told(self):
        run_dir = self.collected(experts(count=1))
        self.assertEqual(run("build-tables", run_dir).returncode, 0)
        table = ("--table", "A_weight_layer_summary")
        for words in ((), table):
            self.assertNotIn("earlier collection", show(run_dir, *words).stderr)
        manifest = run_dir / "logs/tables_write_manifest.json"
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()),
                                        "generated_at": "2020-01-01T00:00:00Z"}))
        for words in ((), table):
            self.assertIn("earlier collection", show(run_dir, *words).stderr)
        self.assertNotIn("earlier", show(run_dir, "--table", "matrix_stats").stderr)

    def test_a_run_that_did_not_come_about_is_no_run_to_show(self):
        (self.tmp / "dense").mkdir()
        good = self.model(experts(count=1), name="good")
        for model, expect in ((good, 0), (self.tmp / "dense", 1)):
            done = run("analyze", model, "--no-report", cwd=self.tmp)
            self.assertEqual(done.returncode, expect, done.stderr)
        for arguments in ((), ("moescope-runs",)):
            done = run("show", *arguments, "--format", "json", cwd=self.tmp)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(done.stdout)["run"]["model_id"], "good")


class Explained(AcceptanceTest):
    def test_a_column_is_explained_without_a_run(self):
        text = run("show", "--explain", "w_rel_fro", cwd=self.tmp)
        self.assertEqual((text.returncode, text.stderr), (0, ""))
        for part in ("quant_sim", "ratio", "sqrt(sum d^2)", "a tenth of the size"):
            self.assertIn(part, text.stdout)
        told = json.loads(run("show", "--explain", "rms__p99", "--json").stdout)
        self.assertEqual((told["column"], told["unit"]), ("rms__p99", "weights"))
        self.assertIn("sqrt(sum w^2 / N)", told["meaning"])
        refused = run("show", "--explain", "w_rel_frob")
        self.assertEqual((refused.returncode, refused.stdout), (2, ""))
        self.assertIn("did you mean 'w_rel_fro'?", refused.stderr)

    def test_every_column_that_a_run_has_is_explained(self):
        run_dir = self.collected(experts(count=2))
        self.assertEqual(run("build-tables", run_dir).returncode, 0)
        names = {name for path in (*run_dir.glob("data/*.parquet"),
                                   run_dir / "tables/B_quant_layer_summary.parquet")
                 for name in pq.read_schema(path).names[:40]}
        self.assertGreater(len(names), 80)
        for name in sorted(names - {"n"}):
            self.assertEqual(run("show", "--explain", name).returncode, 0, name)


class Bars(OneRun):
    def bars(self, *arguments, env=UTF8):
        lines = rows_of(show(self.parquet, "--columns", "w_rel_fro", *arguments, env=env).stdout)
        return [(float(line[0]), line[1] if len(line) > 1 else "") for line in lines[1:]]

    def test_their_lengths_are_the_values(self):
        worst = max(row["w_rel_fro"] for row in self.quant)
        rows = self.bars("--sort", "w_rel_fro", "--top", "0")
        self.assertEqual(len(rows), len(self.quant))
        for value, bar in rows:
            eighths = sum(8 if c == "█" else " ▏▎▍▌▋▊▉".index(c) for c in bar)
            self.assertAlmostEqual(eighths / 160, value / worst, delta=1 / 160)

    def test_without_utf8_they_are_plain(self):
        for env in ({"LC_ALL": "C"},
                    {"LC_ALL": "", "LC_CTYPE": "de_DE.ISO-8859-1", "LANG": "x.UTF-8"}):
            rows = self.bars("--sort", "w_rel_fro", "--top", "3", env=env)
            self.assertEqual(rows[0][1], "#" * 20)
        rows = self.bars("--sort", "w_rel_fro", "--top", "1", env={"LC_ALL": "", "LC_CTYPE": "",
                                                                  "LANG": "de_DE.utf8"})
        self.assertEqual(rows[0][1], "█" * 20)

    def test_only_a_sorted_number_has_one(self):
        self.assertTrue(all(bar == "" for _, bar in self.bars()))
        text = show(self.parquet, "--sort", "proj", "--columns", "proj,w_rel_fro").stdout
        self.assertNotIn("█", text)
        for form in ("csv", "json", "markdown"):
            text = show(self.parquet, "--sort", "w_rel_fro", "--format", form).stdout
            self.assertNotIn("█", text)


class Terminal(OneRun):
    def test_lines_fit_and_the_sorted_column_is_there(self):
        worst = max(row["w_rel_fro"] for row in self.quant)
        for columns in (20, 40, 80, 132):
            with self.subTest(columns):
                lines, errors = in_terminal(columns, "--run-dir", self.parquet, "--sort",
                                            "w_rel_fro")
                self.assertEqual(len(lines), 21)
                self.assertLessEqual(max(map(len, lines)), columns)
                self.assertIn("w_rel_fro", lines[0].split())
                self.assertIn(f"{worst:.5g}", lines[1].split())
                self.assertIn("█", lines[1])
                self.assertIn(f"{33 - len(lines[0].split())} columns more", errors)

    def test_what_a_row_is_about_stays_though_it_does_not_vary(self):
        keys = ("layer", "proj", "expert_id", "scheme")
        where = ",".join(f"{key}={self.quant[0][key]}" for key in keys)
        lines, _ = in_terminal(90, "--run-dir", self.parquet, "--sort", "w_rel_fro", "--where",
                               where)
        self.assertEqual(len(lines), 2)
        self.assertLessEqual({*keys, "w_rel_fro"}, set(lines[0].split()))

    def test_a_pipe_gets_the_same_columns_with_their_text_whole(self):
        for table in ("quant_sim", "matrix_stats", "tensor_inventory"):
            lines, _ = in_terminal(80, "--run-dir", self.parquet, "--table", table)
            piped = show(self.parquet, "--table", table)
            self.assertEqual(piped.stdout.splitlines()[0].split(), lines[0].split())
            self.assertIn("columns more", piped.stderr)
            self.assertNotIn("…", piped.stdout)
        everything = show(self.parquet, "--table", "quant_sim", "-v")
        self.assertEqual(everything.stdout.splitlines()[0].split(), list(self.quant[0]))
        name = self.quant[0]["derived_tensor"]
        self.assertIn(name, show(self.parquet, "--columns", "scheme,derived_tensor").stdout)

    def test_a_wide_terminal_shows_all(self):
        lines, errors = in_terminal(1000, "--run-dir", self.parquet, "--table", "quant_sim")
        self.assertEqual(lines[0].split(), list(self.quant[0]))
        self.assertNotIn("columns", errors)

    def test_columns_that_were_asked_for_stay(self):
        lines, _ = in_terminal(30, "--run-dir", self.parquet, "--columns", "scheme,derived_tensor",
                               "--top", "1")
        name = self.quant[0]["derived_tensor"]
        self.assertEqual(lines[0].split(), ["scheme", "derived_tensor"])
        head, tail = lines[1].split()[1].split("…")
        self.assertTrue(name.startswith(head) and name.endswith(tail))
        self.assertEqual(len(head) + len(tail), 27)

    def test_no_escape_sequence_is_sent(self):
        lines, _ = in_terminal(80, "--run-dir", self.parquet, env={**UTF8, "NO_COLOR": "1"})
        self.assertNotIn("\x1b", "".join(lines))


class HostileText(AcceptanceTest):
    def setUp(self):
        super().setUp()
        (self.tmp / "run" / "data").mkdir(parents=True)
        self.names = [HOSTILE, "x" * 10_000, "plain"]
        pq.write_table(pa.table({"tensor_name": self.names, HOSTILE: [1, 2, 3]}),
                       self.tmp / "run" / "data" / "tensor_inventory.parquet")
        self.arguments = ["--table", "tensor_inventory"]

    def shown(self, form):
        return show(self.tmp / "run", *self.arguments, "--format", form).stdout

    def test_it_stays_one_printable_line_in_a_table(self):
        for form in ("table", "markdown"):
            text = self.shown(form)
            with self.subTest(form):
                self.assertEqual(len(text.split("\n")) - 1, 4 if form == "table" else 5)
                self.assertTrue(all(c.isprintable() or c == "\n" for c in text))
                self.assertLess(max(map(len, text.splitlines())), 800)
                self.assertIn("\u5927", text)
        self.assertNotIn("<script>", self.shown("markdown"))
        row = self.shown("markdown").splitlines()[2]
        self.assertEqual(row.replace("\\|", "").count("|"), 3)

    def test_json_holds_it_and_is_ascii(self):
        text = self.shown("json")
        self.assertTrue(text.isascii())
        self.assertTrue(all(c.isprintable() or c == "\n" for c in text))
        self.assertEqual([row["tensor_name"] for row in json.loads(text)], self.names)
        self.assertEqual([row[HOSTILE] for row in json.loads(text)], [1, 2, 3])

    def test_csv_holds_it_in_a_pipe_and_not_on_a_terminal(self):
        header, *rows = csv.reader(io.StringIO(self.shown("csv"), newline=""))
        self.assertEqual(header, ["tensor_name", HOSTILE])
        self.assertEqual([row[0] for row in rows], self.names)
        lines, _ = in_terminal(80, "--run-dir", self.tmp / "run", *self.arguments, "--format",
                               "csv")
        self.assertEqual(len(lines), 4)
        self.assertTrue(all(c.isprintable() for line in lines for c in line))

    def test_a_shown_csv_is_a_table_that_is_shown_the_same(self):
        again = self.tmp / "again" / "data"
        again.mkdir(parents=True)
        (again / "tensor_inventory.csv").write_text(self.shown("csv"), newline="")
        for form in ("csv", "json"):
            self.assertEqual(show(self.tmp / "again", *self.arguments, "--format", form).stdout,
                             self.shown(form))


class OtherNumbers(AcceptanceTest):
    def test_infinite_and_null_values_are_kept_apart(self):
        """As pandas writes them: NaN for null, float32, an index column, a category."""
        (self.tmp / "run" / "tables").mkdir(parents=True)
        values = [1.5, math.inf, None, -math.inf, 0.1, -3.0]
        table = pa.table({"x": pa.array([math.nan if v is None else v for v in values]),
                          "f": pa.array(np.float32([0.1] * 6)),
                          "u": pa.array([2 ** 63 - 1] * 6, pa.int64()),
                          "k": pa.array(["b", "a", None] * 2).dictionary_encode()})
        pq.write_table(table, self.tmp / "run" / "tables" / "odd.parquet")
        text = show(self.tmp / "run", "--table", "odd", "--format", "json").stdout
        rows = json.loads(text)
        self.assertEqual([row["x"] for row in rows], values)
        self.assertNotIn("Infinity", text)
        self.assertEqual({row["f"] for row in rows}, {float(np.float32(0.1))})
        self.assertEqual({row["u"] for row in rows}, {2 ** 63 - 1})
        self.assertEqual([row["k"] for row in rows], ["b", "a", None] * 2)
        lines = rows_of(show(self.tmp / "run", "--table", "odd", "--sort", "x", "--columns",
                             "x").stdout)
        self.assertEqual(lines, [["x"], ["inf", "█" * 20], ["1.5", "█" * 10], ["0.1", "▋"],
                                 ["-3", "▒" * 20], ["-inf", "▒" * 20], ["-"]])


class Refusals(OneRun):
    def refused(self, *arguments, code=2):
        done = run("show", *arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        return done.stderr

    def test_wrong_words_are_answered_in_one_line(self):
        cases = [(["--table", "quant_sm"], ["'quant_sm'", "did you mean 'quant_sim'?",
                                            "A_weight_layer_summary"]),
                 (["--table", "zzzzzzzzzz"], ["tables: ", "matrix_stats"]),
                 (["--where", "layr>=1"], ["'layr'", "did you mean 'layer'?"]),
                 (["--where", "layer>=x"], ["'x'", "'layer'", "a whole number"]),
                 (["--where", "layer"], ["COLUMN=VALUE"]),
                 (["--where", "proj=dwon_proj"],
                  ["there is no proj 'dwon_proj'", "did you mean 'down_proj'?",
                   "values: down_proj, gate_proj, up_proj"]),
                 (["--where", "layer=0,scheme!=q4"], ["no scheme 'q4'", "affine_q4_g32, "]),
                 (["--where", "error=none"], ["no error 'none'", "the column is empty"]),
                 (["--table", "matrix_stats", "--where", "derived_tensor=x"],
                  ["model.layers.0", "more"]),
                 (["--where", "a\x1b[31m=1"], ["\\x1b"]),
                 (["--where", "a\u009b31m=1"], ["\\xc2\\x9b"]),
                 (["--sort", "w_rel_frob"], ["did you mean 'w_rel_fro'?"]),
                 (["--columns", "layer,prj"], ["did you mean 'proj'?"]),
                 (["--format", "yaml"], ["yaml"]),
                 (["--format", "csv"], ["--table"]),
                 (["--top", "-1"], ["--top"]),
                 (["--top", "many"], ["--top"]),
                 (["--tabel", "quant_sim"], ["did you mean '--table'?"])]
        for run_dir in self.both():
            for arguments, parts in cases:
                with self.subTest((run_dir.name, arguments)):
                    line = self.refused("--run-dir", run_dir, *arguments)
                    for part in parts:
                        self.assertIn(part, line)
        self.refused()

    def test_a_run_without_tables_or_a_broken_table_is_a_failure(self):
        self.refused("--run-dir", self.tmp / "nowhere", code=1)
        empty = self.tmp / "empty"
        empty.mkdir()
        self.assertIn("collect-data", self.refused("--run-dir", empty, code=1))
        broken = self.tmp / "broken"
        shutil.copytree(self.parquet, broken)
        path = broken / "data" / "quant_sim.parquet"
        path.write_bytes(path.read_bytes()[:-100])
        self.assertIn("quant_sim.parquet",
                      self.refused("--run-dir", broken, "--table", "quant_sim", code=1))

    def test_a_full_disk_is_told_and_a_closed_pipe_is_not(self):
        def exit_of(stdout, arguments):
            done = subprocess.run([PROGRAM, "show", "--run-dir", self.parquet, *arguments],
                                  stdout=stdout, stderr=subprocess.PIPE, text=True)
            return done.returncode, done.stderr

        for arguments in ([], ["--table", "quant_sim", "--format", "csv"]):
            if os.path.exists("/dev/full"):
                with open("/dev/full", "w") as full:
                    code, errors = exit_of(full, arguments)
                self.assertEqual(code, 1)
                self.assertIn("standard output", errors)
                self.assertEqual(len(errors.splitlines()), 1)
            read, write = os.pipe()
            os.close(read)
            self.assertEqual(exit_of(write, arguments), (0, ""))
            os.close(write)
