"""`moescope report`: what the page holds is what the tables say. How it looks in a browser is tested in
tests/report/page."""

import json
import math
import re

import numpy as np
import pandas as pd

from report_page import Page
from support import AcceptanceTest, experts, files_of, run

IDENTITY = {"layer", "block4", "expert_id", "rows", "cols", "bits", "group_size",
            "storage_bits_per_weight"}
HOSTILE = '<script>alert("1")</script>\'&amp;\n\u202e\u2028' + "x" * 10_000


def metrics_of(table):
    """Numeric columns that measure something."""
    return [name for name in table.columns
            if pd.api.types.is_numeric_dtype(table[name]) and table[name].dtype != bool
            and name not in IDENTITY]


class Report(AcceptanceTest):
    def page_of(self, run_dir):
        done = run("report", "--run-dir", run_dir)
        self.assertEqual(done.returncode, 0, done.stderr)
        return Page((run_dir / "report.html").read_text())

    def assert_same_numbers(self, page, values, expected, context, tolerance):
        self.assertEqual(len(values), len(expected), context)
        for ours, theirs in zip(values, expected):
            if ours is None or pd.isna(theirs):
                self.assertTrue(ours is None and pd.isna(theirs), (context, ours, theirs))
            else:
                self.assertTrue(math.isclose(ours, theirs, rel_tol=tolerance, abs_tol=0),
                                (context, ours, theirs))

    def assert_holds(self, page, run_dir):
        """Every number of both tables is in the page, to five digits (or derived, to four)."""
        stats, quant = (self.table(run_dir, name) for name in ("matrix_stats", "quant_sim"))
        names = page.column("name")
        self.assertEqual(sorted(names), sorted(stats["derived_tensor"]))
        stats = stats.set_index("derived_tensor").loc[names]
        derived = {m["name"] for m in page.run["metrics"] if m.get("derived")}
        for metric in metrics_of(stats):
            self.assert_same_numbers(page, page.metric(metric), stats[metric], metric,
                                     1e-4 if metric in derived else 5.1e-5)
        for number, scheme in enumerate(page.run["schemes"]):
            rows = quant[quant["scheme"] == scheme["name"]].set_index("derived_tensor").loc[names]
            for metric in metrics_of(quant):
                self.assert_same_numbers(page, page.metric(metric, number), rows[metric],
                                         (metric, scheme), 1e-4 if metric in derived else 5.1e-5)
        return derived

    def test_holds_every_number_of_the_tables_at_its_place(self):
        run_dir = self.collected(experts(count=3, layers=2))
        page = self.page_of(run_dir)
        derived = self.assert_holds(page, run_dir)
        self.assertEqual(derived, {"sqnr_db", "max_abs_err", "outlier_max_over_mean",
                                   "outlier_p99_over_median", "outlier_p999_over_median"})
        stats = self.table(run_dir, "matrix_stats").set_index("derived_tensor")
        for i, name in enumerate(page.column("name")):
            row = stats.loc[name]
            self.assertEqual(page.run["projs"][page.column("proj")[i]], row["proj"])
            self.assertEqual(page.run["layers"][page.column("layer")[i]]["layer"], row["layer"])
            self.assertEqual(page.run["slots"][page.column("slot")[i]]["expert"], row["expert_id"])
            self.assertEqual(page.run["shapes"][page.column("shape")[i]], [row["rows"], row["cols"]])
            self.assertEqual(page.run["files"][page.column("file")[i]], row["file"])
        self.assertEqual([s["name"] for s in page.run["schemes"]],
                         ["affine_q4_g32", "mxfp4_g32", "affine_q8_g32"])
        self.assertEqual(page.run["deltas"][1], {"name": "q8_minus_mxfp4", "a": 2, "b": 1})

    def test_csv_and_parquet_give_the_same_page(self):
        pages = []
        for kind in ("parquet", "csv"):
            run_dir = self.collected(experts(count=2), lambda c: c["output"].update(format=kind), kind)
            pages.append(self.page_of(run_dir))
        one, two = (page.run for page in pages)
        for key in ("metrics", "columns", "blocks", "schemes", "findings", "layers", "slots"):
            self.assertEqual(one[key], two[key], key)
        self.assertEqual(pages[0].metric("w_rel_fro", 1), pages[1].metric("w_rel_fro", 1))

    def test_what_formulas_do_not_give_is_stored(self):
        # With a floor w_rel_fro is no longer sqrt(sum d^2) / sqrt(sum x^2), and max_abs_err other too.
        run_dir = self.collected(experts(count=2),
                                 lambda c: c["stats"].update(quant_rel_den_floor=100.0))
        page = self.page_of(run_dir)
        derived = self.assert_holds(page, run_dir)
        self.assertNotIn("sqnr_db", derived)
        self.assertNotIn("max_abs_err", derived)

    def test_dead_and_non_finite_experts_keep_their_nulls(self):
        tensors = experts(count=4)
        tensors["model.layers.0.mlp.experts.1.gate_proj.weight"][:] = 0
        tensors["model.layers.0.mlp.experts.2.up_proj.weight"][0, 0] = np.nan
        run_dir = self.collected(tensors)
        page = self.page_of(run_dir)
        self.assert_holds(page, run_dir)
        kinds = [finding["kind"] for finding in page.run["findings"]]
        self.assertEqual(kinds, ["nonfinite", "dead"])
        self.assertEqual(page.run["failures"][0]["error"], "ValueError: 1 non-finite weights")
        self.assertEqual(page.run["warnings"],
                         list(self.table(run_dir, "warnings", folder="logs")["warning"]))
        self.assertTrue(any("non-finite" in warning for warning in page.run["warnings"]))

    def test_shared_experts_have_rows_of_their_own(self):
        tensors = experts(count=2)
        for proj in ("gate_proj", "up_proj"):
            tensors[f"model.layers.0.mlp.shared_expert.{proj}.weight"] = np.ones((8, 64), np.float32)
        page = self.page_of(self.collected(tensors))
        self.assertEqual([slot["label"] for slot in page.run["slots"]], ["0", "1", "shared"])
        self.assertEqual(sum(page.run["slots"][s]["shared"] for s in page.column("slot")), 2)

    def test_a_run_without_simulation_has_no_schemes(self):
        run_dir = self.collected(experts(count=2), lambda c: c["mlx"].update(enabled=False))
        page = self.page_of(run_dir)
        self.assertEqual(page.run["schemes"], [])
        self.assertNotIn("w_rel_fro", [m["name"] for m in page.run["metrics"]])
        self.assertEqual(page.run["matrices"], 6)

    def test_a_run_of_the_python_pipeline_is_enough(self):
        # Its columns only, no logs, no manifest.
        run_dir = self.collected(experts(count=2))
        for name, last in (("matrix_stats", "g64_max_outlier"), ("quant_sim", "error")):
            path = run_dir / "data" / f"{name}.parquet"
            table = pd.read_parquet(path)
            table.loc[:, :last].to_parquet(path)
        for folder in ("logs", "tables", "plots"):
            for path in (run_dir / folder).rglob("*"):
                if path.is_file():
                    path.unlink()
        page = self.page_of(run_dir)
        # 4 bits and 8 bits with a 16-bit scale and bias per 32 weights, mxfp4 with 8 bits per 32.
        self.assertEqual([page.metric("bits_per_weight", s)[0] for s in range(3)], [5.0, 4.25, 9.0])
        self.assertIsNone(page.run["run"]["collected_at"])
        self.assertEqual(page.run["storages"], [{"name": "float32", "bits": None}])

    def test_hostile_names_are_text(self):
        name = f"model.layers.0.mlp.experts.1.{HOSTILE}.gate_proj.weight"
        run_dir = self.collected({**experts(count=1), name: np.ones((32, 64), np.float32)})
        clean_run_dir = self.collected(experts(count=1), name="clean")
        self.page_of(clean_run_dir)
        page = self.page_of(run_dir)
        self.assertIn(name + "::gate_proj", page.column("name"))
        html, clean = ((folder / "report.html").read_text() for folder in (run_dir, clean_run_dir))
        self.assertEqual(len(re.findall("<script", html)) - len(page.run["blocks"]),
                         len(re.findall("<script", clean)) - len(Page(clean).run["blocks"]))
        self.assertNotIn("alert(", html)

    def test_the_page_needs_nothing_else(self):
        run_dir = self.collected(experts(count=2))
        self.page_of(run_dir)
        html = (run_dir / "report.html").read_text()
        self.assertLess(len(html), 1_500_000)
        self.assertEqual(re.findall(r'<(?:img|link|script|iframe)[^>]*\b(?:src|href)="(?!data:)', html), [])
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html).group(1)
        self.assertIn("default-src 'none'", policy)
        self.assertNotIn("unsafe", policy)
        self.assertIn("Apache License", html)

    def test_analyze_writes_it_unless_told_not_to(self):
        model = self.model(experts(count=2))
        for flags, there in ((["--no-report"], False), ([], True)):
            done = run("analyze", model, "--out", self.tmp / "out", *flags)
            self.assertEqual(done.returncode, 0, done.stderr)
            report = self.tmp / "out" / "model" / "analysis" / "report.html"
            self.assertEqual(report.exists(), there, flags)
        self.assertEqual(Page(report.read_text()).run["model"]["path"], str(model.resolve()))

    def test_what_can_not_be_read_leaves_the_old_page(self):
        run_dir = self.collected(experts(count=2))
        self.page_of(run_dir)
        before = files_of(run_dir)
        (run_dir / "data" / "quant_sim.parquet").write_bytes(b"PAR1 no table")
        done = run("report", "--run-dir", run_dir)
        self.assertEqual(done.returncode, 1)
        self.assertIn("quant_sim.parquet", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        before["data/quant_sim.parquet"] = b"PAR1 no table"
        self.assertEqual(files_of(run_dir), before)

    def test_a_run_that_has_no_data_says_what_to_do(self):
        run_dir = self.run_dir(self.model(experts(count=1)))
        for folder, part in ((run_dir, "matrix_stats"), (self.tmp / "nowhere", "no such run directory")):
            done = run("report", "--run-dir", folder)
            self.assertEqual(done.returncode, 1)
            self.assertIn(part, done.stderr)
        self.assertFalse((run_dir / "report.html").exists())
        self.assertFalse((self.tmp / "nowhere").exists())
