"""build-tables against pandas groupby over the same data (contract section 11, D16-D19)."""

import json
import re

import numpy as np
import pandas as pd

from support import AcceptanceTest, experts, run

A_SET = ["mean", "std", "mean_abs", "rms", "max_abs", "p50_abs", "p99_abs", "p999_abs",
         "outlier_max_over_mean", "outlier_p99_over_median", "outlier_p999_over_median"]
GROUPS = ["g32_p95_outlier", "g32_max_outlier", "g64_p95_outlier", "g64_max_outlier"]
B_SET = ["w_rel_fro", "w_rel_max", "scale_mean", "scale_max", "bias_mean", "bias_max"]
A_OURS = ["p95_abs", "nonfinite_count", "storage_bits_per_weight"]
B_OURS = ["scale_abs_mean", "scale_abs_max", "sqnr_db", "bits_per_weight", "max_abs_err",
          "zero_share", "clip_share"]
WIDE = ["median", "mean", "std", "p90", "p99"]
QUANT = ["median", "mean", "p90", "p99"]
GLOBAL = ["min", "p01", "median", "p99", "max"]
# table -> source, keys, aggregates
TABLES = {
    "A_weight_layer_summary": ("matrix_stats", ["layer", "proj"], WIDE),
    "A_weight_block4_summary": ("matrix_stats", ["block4", "proj"], WIDE),
    "A_weight_global_summary": ("matrix_stats", ["proj"], GLOBAL),
    "C_weight_global_summary": ("matrix_stats", ["is_shared_expert", "proj"], GLOBAL),
    "B_quant_layer_summary": ("quant_sim", ["layer", "proj", "scheme"], QUANT),
    "B_quant_block4_summary": ("quant_sim", ["block4", "proj", "scheme"], QUANT),
    "B_quant_global_summary": ("quant_sim", ["proj", "scheme"], GLOBAL),
    "C_quant_global_summary": ("quant_sim", ["is_shared_expert", "proj", "scheme"], GLOBAL),
}
DELTA_KEYS = ["derived_tensor", "layer", "block4", "proj", "expert_id", "rows", "cols"]
DELTAS = DELTA_KEYS + ["delta_name", "delta_w_rel_fro", "delta_w_rel_max"]
AGGREGATES = {
    "median": lambda v: v.median(), "mean": lambda v: v.mean(), "std": lambda v: v.std(ddof=1),
    "min": lambda v: v.min(), "max": lambda v: v.max(), "p01": lambda v: v.quantile(0.01),
    "p90": lambda v: v.quantile(0.9), "p99": lambda v: v.quantile(0.99)}


def summary(frame, keys, metrics, further, aggregates):
    """What contract section 11 and D16 ask for, by pandas."""
    rows = []
    for key, group in frame.groupby(keys, dropna=False, sort=True):
        row = dict(zip(keys, key))
        for metric in metrics:
            row.update({f"{metric}__{a}": AGGREGATES[a](group[metric]) for a in aggregates})
        row["n"] = len(group)
        for metric in further:
            row.update({f"{metric}__{a}": AGGREGATES[a](group[metric]) for a in aggregates})
        rows.append(row)
    return pd.DataFrame(rows)


def plain(value):
    return None if value is None or value is pd.NA or value != value else value


def stats_frame(rows, **columns):
    """matrix_stats as the reference writes it (no column of ours)."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "file": "/m/a.safetensors", "source_tensor": "t", "derived_tensor": [f"t{i}" for i in
                                                                             range(rows)],
        "layer": np.arange(rows) // 2, "block4": np.arange(rows) // 8, "proj": "up_proj",
        "expert_id": np.arange(rows) % 2, "is_routed_expert": True, "is_shared_expert": False,
        "rows": 8, "cols": 64, "dtype": "float32",
        **{c: rng.random(rows) for c in A_SET + GROUPS}})
    return frame.assign(**columns)


def quant_frame(stats, schemes=("a", "b"), **columns):
    """quant_sim of the same matrices as the reference writes it, scheme-major."""
    rng = np.random.default_rng(1)
    keys = ["file", "source_tensor", "derived_tensor", "layer", "block4", "proj", "expert_id",
            "is_shared_expert", "rows", "cols"]
    frame = pd.concat([stats[keys].assign(scheme=s, mode="affine", bits=4, group_size=32)
                       for s in schemes], ignore_index=True)
    for column in B_SET:
        frame[column] = rng.random(len(frame))
    return frame.assign(error=None, **columns)


class TablesTest(AcceptanceTest):
    def hand_made(self, stats=None, quant=None, csv=False, change=None, name="hand"):
        """A run directory with nothing but a config and data, as the reference would leave it."""
        template = self.run_dir(self.tmp, name="template-" + name)
        run_dir = self.tmp / name
        (run_dir / "data").mkdir(parents=True)
        config = json.loads((template / "analysis_config.json").read_text())
        config["delta_pairs"] = [{"name": "a_minus_b", "a": "a", "b": "b"}]
        if change is not None:
            change(config)
        (run_dir / "analysis_config.json").write_text(json.dumps(config))
        for key, frame in (("matrix_stats", stats), ("quant_sim", quant)):
            if frame is not None:
                self.put(run_dir, key, frame, csv)
        return run_dir

    def put(self, run_dir, key, frame, csv=False):
        if csv:
            frame.to_csv(run_dir / "data" / f"{key}.csv", index=False)
        else:
            frame.to_parquet(run_dir / "data" / f"{key}.parquet", index=False)

    def build(self, run_dir, expect=0):
        done = run("build-tables", "--run-dir", run_dir)
        self.assertEqual(done.returncode, expect, done.stderr + done.stdout)
        return done

    def built(self, run_dir, name):
        return self.table(run_dir, name, folder="tables")

    def bytes_of(self, run_dir):
        return {p.name: p.read_bytes() for p in (run_dir / "tables").iterdir()}

    def same(self, got, want, name=""):
        """Same columns, rows and order; floats to 1e-12, null equal to null."""
        self.assertEqual(list(got), list(want), name)
        self.assertEqual(len(got), len(want), name)
        for column in want:
            for i, (a, b) in enumerate(zip(got[column], want[column])):
                a, b = plain(a), plain(b)
                where = f"{name} {column} row {i}"
                if isinstance(b, float) and a is not None:
                    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-300, err_msg=where)
                else:
                    self.assertEqual(a, b, where)

    def check_summaries(self, run_dir, sources, a=(A_SET + GROUPS, []), b=(B_SET, [])):
        for name, (key, keys, aggregates) in TABLES.items():
            metrics, further = a if key == "matrix_stats" else b
            self.same(self.built(run_dir, name),
                      summary(sources[key], keys, metrics, further, aggregates), name)


class Summaries(TablesTest):
    def test_all_tables_equal_pandas_over_what_collect_wrote(self):
        tensors = experts(count=3, rows=32, cols=64, layers=6)
        rng = np.random.default_rng(1)

        def w():
            return rng.standard_normal((32, 64)).astype(np.float32)
        broken = w()
        broken[0, 0] = np.nan
        tensors["model.layers.5.mlp.experts.3.up_proj.weight"] = broken
        tensors["model.layers.5.mlp.shared_expert.up_proj.weight"] = w()
        tensors["experts.0.up_proj.weight"] = w()  # unknown layer

        def change(config):
            config["stats"]["percentiles_abs"] = [50.0, 95.0, 99.0, 99.9]
            config["quant_schemes"].append({"name": "fails", "mode": "nothing"})
        run_dir = self.collected(tensors, change, expect=3)
        self.build(run_dir)
        sources = {key: self.table(run_dir, key) for key in ("matrix_stats", "quant_sim")}
        self.check_summaries(run_dir, sources, a=(A_SET + GROUPS, A_OURS), b=(B_SET, B_OURS))

        layers = self.built(run_dir, "A_weight_layer_summary")
        self.assertEqual(list(layers.layer.unique()), [-1, 0, 1, 2, 3, 4, 5])
        blocks = self.built(run_dir, "A_weight_block4_summary").block4
        self.assertTrue(pd.isna(blocks.iloc[-1]))  # nulls last
        self.assertFalse(blocks.iloc[:-1].isna().any())
        shared = self.built(run_dir, "C_weight_global_summary")
        self.assertEqual(list(zip(shared.is_shared_expert, shared.proj, shared.n)),
                         [(False, "down_proj", 18), (False, "gate_proj", 18),
                          (False, "up_proj", 20), (True, "up_proj", 1)])
        failed = self.built(run_dir, "B_quant_global_summary")
        failed = failed[failed.scheme == "fails"]
        self.assertEqual(list(failed.n), [18, 18, 21])
        self.assertTrue(failed.filter(like="__").isna().all(axis=None))

    def test_the_references_data_gives_the_references_columns_and_n(self):
        stats = stats_frame(20)
        stats.loc[3, "rms"] = np.nan
        quant = quant_frame(stats)
        quant.loc[quant.scheme == "b", ["bias_mean", "bias_max"]] = np.nan
        run_dir = self.hand_made(stats, quant)
        self.build(run_dir)
        self.check_summaries(run_dir, {"matrix_stats": stats, "quant_sim": quant})
        columns = list(self.built(run_dir, "B_quant_global_summary"))
        self.assertEqual(columns[:4], ["proj", "scheme", "w_rel_fro__min", "w_rel_fro__p01"])
        self.assertEqual(columns[-1], "n")

    def test_std_of_one_value_is_null(self):
        stats = stats_frame(1)
        run_dir = self.hand_made(stats, quant_frame(stats))
        self.build(run_dir)
        row = self.built(run_dir, "A_weight_layer_summary").iloc[0]
        self.assertTrue(pd.isna(row["mean__std"]))
        self.assertEqual(row["mean__median"], stats["mean"].iloc[0])

    def test_further_group_columns_follow_the_input_and_its_order(self):
        stats = stats_frame(4).drop(columns=GROUPS)
        stats["g128_p99_outlier"], stats["g16_max_outlier"] = [1., 2, 3, 4], [4., 3, 2, 1]
        run_dir = self.hand_made(stats, quant_frame(stats))
        self.build(run_dir)
        self.same(self.built(run_dir, "A_weight_global_summary"),
                  summary(stats, ["proj"], A_SET + ["g128_p99_outlier", "g16_max_outlier"], [],
                          GLOBAL))

    def test_absent_quant_metrics_have_no_columns_and_absent_weight_metrics_are_null(self):
        stats = stats_frame(4)
        quant = quant_frame(stats).drop(columns=["bias_mean", "bias_max"])
        run_dir = self.hand_made(stats.drop(columns="p50_abs"), quant)
        self.build(run_dir)
        self.check_summaries(run_dir, {"matrix_stats": stats.assign(p50_abs=np.nan),
                                       "quant_sim": quant}, b=(B_SET[:4], []))

    def test_csv_inputs_with_blocks_as_floats(self):
        stats = stats_frame(20)
        stats["block4"] = stats.block4.astype(float)
        stats.loc[stats.layer == 9, ["layer", "block4"]] = [-1, np.nan]
        quant = quant_frame(stats)
        run_dir = self.hand_made(stats, quant, csv=True)
        self.assertIn(",1.0,", (run_dir / "data/matrix_stats.csv").read_text())
        self.build(run_dir)
        self.check_summaries(run_dir, {"matrix_stats": stats, "quant_sim": quant})

    def test_a_parquet_is_preferred_to_a_csv(self):
        stats = stats_frame(4)
        run_dir = self.hand_made(stats, quant_frame(stats))
        self.put(run_dir, "matrix_stats", stats_frame(2), csv=True)
        self.build(run_dir)
        self.assertEqual(list(self.built(run_dir, "A_weight_global_summary").n), [4])

    def test_the_write_manifest_names_the_input(self):
        stats = stats_frame(4)
        run_dir = self.hand_made(stats, quant_frame(stats))
        self.put(run_dir, "matrix_stats", stats_frame(2), csv=True)
        (run_dir / "logs").mkdir(exist_ok=True)

        def name(path):
            (run_dir / "logs/write_manifest.json").write_text(json.dumps(
                {"artifacts": {"matrix_stats": {"path": path}}}))
            self.build(run_dir)
            return list(self.built(run_dir, "A_weight_global_summary").n)
        self.assertEqual(name("data/matrix_stats.csv"), [2])
        self.assertEqual(name("data\\matrix_stats.csv"), [2])
        for elsewhere in ("data/gone.csv", "../data/matrix_stats.csv", "logs/matrix_stats.csv",
                          str(self.tmp / "matrix_stats.csv")):
            self.assertEqual(name(elsewhere), [4], elsewhere)

    def test_a_missing_block_is_the_layer_divided_by_4(self):
        stats = stats_frame(20)
        stats.loc[stats.layer == 9, ["layer", "block4"]] = [-1, np.nan]
        quant = quant_frame(stats)
        stats["block4"] = stats.block4.astype("Int64")
        for csv in (False, True):
            with self.subTest(csv=csv):
                run_dir = self.hand_made(stats.drop(columns="block4"),
                                         quant.drop(columns="block4"), csv=csv, name=f"b{csv}")
                self.build(run_dir)
                self.check_summaries(run_dir, {"matrix_stats": stats, "quant_sim": quant})

    def test_runs_without_rows_give_empty_tables_with_headers(self):
        run_dir = self.collected({"experts.odd": np.ones(8, np.float32)}, expect=3)
        self.build(run_dir)
        for name, (key, keys, aggregates) in TABLES.items():
            table = self.built(run_dir, name)
            self.assertEqual(len(table), 0, name)
            self.assertEqual(list(table)[:len(keys)], keys)
            self.assertIn("n", list(table))
            first = "mean" if key == "matrix_stats" else "w_rel_fro"
            self.assertEqual(list(table)[len(keys)], f"{first}__{aggregates[0]}")
        self.assertEqual(list(self.built(run_dir, "B_quant_deltas")), DELTAS)

    def test_empty_files_of_the_reference_are_read_as_empty(self):
        run_dir = self.hand_made()
        (run_dir / "data/matrix_stats.csv").write_text("\n")
        self.put(run_dir, "quant_sim", pd.DataFrame())
        self.build(run_dir)
        self.assertEqual(len(self.built(run_dir, "A_weight_layer_summary")), 0)
        self.assertEqual(list(self.built(run_dir, "B_quant_global_summary")),
                         ["proj", "scheme", "n"])


class Deltas(TablesTest):
    def expected_deltas(self, quant, pairs):
        keys = quant[DELTA_KEYS].drop_duplicates().sort_values(DELTA_KEYS, na_position="last")
        rows = []
        for name, a, b in pairs:
            for key in keys.itertuples(index=False):
                values = {}
                for scheme in (a, b):
                    part = quant[(quant.scheme == scheme)
                                 & (quant.derived_tensor == key.derived_tensor)
                                 & (quant.layer == key.layer)
                                 & (quant.expert_id == key.expert_id)]
                    values[scheme] = part.iloc[0] if len(part) else None
                row = dict(zip(DELTA_KEYS, key), delta_name=name)
                for metric in ("w_rel_fro", "w_rel_max"):
                    both = values[a] is not None and values[b] is not None
                    row["delta_" + metric] = (values[a][metric] - values[b][metric] if both
                                              else None)
                rows.append(row)
        return pd.DataFrame(rows, columns=DELTAS)

    def test_deltas_of_a_collected_run(self):
        tensors = experts(count=2, rows=32, cols=64, layers=2)
        tensors["experts.0.up_proj.weight"] = np.random.default_rng(1).standard_normal(
            (32, 64)).astype(np.float32)
        bank = np.random.default_rng(2).standard_normal((12, 32, 64)).astype(np.float32)
        tensors["model.layers.10.mlp.experts.up_proj.weight"] = bank
        run_dir = self.collected(tensors)
        self.build(run_dir)
        quant = self.table(run_dir, "quant_sim")
        self.same(self.built(run_dir, "B_quant_deltas"), self.expected_deltas(quant, [
            ("mxfp4_minus_q4", "mxfp4_g32", "affine_q4_g32"),
            ("q8_minus_mxfp4", "affine_q8_g32", "mxfp4_g32")]))
        deltas = self.built(run_dir, "B_quant_deltas")
        unknown = deltas[deltas.layer == -1]
        self.assertEqual(len(unknown), 2)
        self.assertFalse(unknown.delta_w_rel_fro.isna().any())
        big = deltas[(deltas.layer == 10) & (deltas.delta_name == "mxfp4_minus_q4")]
        self.assertEqual(list(big.expert_id), list(range(12)))  # numerically, not as text

    def test_keys_whose_values_are_all_null_keep_their_rows(self):
        stats = stats_frame(4)
        quant = quant_frame(stats)
        quant.loc[quant.derived_tensor == "t2", B_SET] = np.nan
        run_dir = self.hand_made(stats, quant)
        self.build(run_dir)
        deltas = self.built(run_dir, "B_quant_deltas")
        self.assertEqual(list(deltas.derived_tensor), ["t0", "t1", "t2", "t3"])
        self.assertEqual(list(deltas.delta_w_rel_fro.isna()), [False, False, True, False])

    def test_a_scheme_that_lacks_a_key_gives_a_null(self):
        stats = stats_frame(3)
        quant = quant_frame(stats)
        quant = quant[~((quant.scheme == "b") & (quant.derived_tensor == "t1"))]
        run_dir = self.hand_made(stats, quant)
        self.build(run_dir)
        self.same(self.built(run_dir, "B_quant_deltas"),
                  self.expected_deltas(quant, [("a_minus_b", "a", "b")]))

    def test_an_absent_scheme_warns_and_its_deltas_are_empty(self):
        stats = stats_frame(2)
        run_dir = self.hand_made(stats, quant_frame(stats), change=lambda c: c.update(
            delta_pairs=[{"name": "typo", "a": "a", "b": "bb"},
                         {"name": "fine", "a": "b", "b": "a"}]))
        done = self.build(run_dir)
        for part in ("typo", "bb"):
            self.assertIn(part, done.stderr)
        deltas = self.built(run_dir, "B_quant_deltas")
        self.assertTrue(deltas[deltas.delta_name == "typo"].delta_w_rel_fro.isna().all())
        fine = deltas[deltas.delta_name == "fine"]
        self.assertEqual(len(fine), 2)
        self.assertFalse(fine.delta_w_rel_max.isna().any())

    def test_no_pairs_write_no_deltas(self):
        stats = stats_frame(2)
        run_dir = self.hand_made(stats, quant_frame(stats), change=lambda c: c.update(
            delta_pairs=[]))
        (run_dir / "tables").mkdir(exist_ok=True)
        for suffix in ("csv", "parquet"):  # of an earlier configuration
            (run_dir / "tables" / f"B_quant_deltas.{suffix}").write_text("old")
        self.build(run_dir)
        self.assertEqual(list((run_dir / "tables").glob("B_quant_deltas*")), [])

    def test_duplicate_keys_are_an_error_that_touches_nothing(self):
        stats = stats_frame(4)
        quant = quant_frame(stats)
        run_dir = self.hand_made(stats, quant)
        self.build(run_dir)
        before = self.bytes_of(run_dir)
        manifest = (run_dir / "logs/tables_write_manifest.json").read_bytes()
        twice = quant[(quant.scheme == "a") & (quant.derived_tensor == "t1")]
        self.put(run_dir, "quant_sim", pd.concat([quant, twice]))
        done = self.build(run_dir, expect=1)
        self.assertIn("duplicate quant delta base keys detected", done.stderr)
        self.assertIn("scheme=a, proj=up_proj, layer=0, expert_id=1, derived_tensor=t1, count=2",
                      done.stderr)
        self.assertEqual(self.bytes_of(run_dir), before)
        self.assertEqual((run_dir / "logs/tables_write_manifest.json").read_bytes(), manifest)
        failure = self.log(run_dir, "tables_failure.json")
        self.assertEqual(failure["error"]["type"], "ValueError")
        self.assertTrue(failure["error"]["message"].startswith(
            "duplicate quant delta base keys detected"), failure["error"]["message"])

    def test_at_most_three_duplicates_are_named(self):
        stats = stats_frame(5)
        quant = quant_frame(stats)
        run_dir = self.hand_made(stats, pd.concat([quant, quant]))
        done = self.build(run_dir, expect=1)
        self.assertEqual(len(re.findall("count=2", done.stderr)), 3)
        self.assertEqual(list(run_dir.glob("tables/*")), [])

    def test_duplicates_of_a_scheme_that_no_pair_names_are_no_error(self):
        stats = stats_frame(3)
        quant = quant_frame(stats, schemes=("a", "b", "c"))
        quant = pd.concat([quant, quant[quant.scheme == "c"]])
        run_dir = self.hand_made(stats, quant)
        self.build(run_dir)
        self.assertEqual(len(self.built(run_dir, "B_quant_deltas")), 3)


class Failures(TablesTest):
    def test_missing_inputs_fail_and_say_which(self):
        stats = stats_frame(2)
        for missing, frames in (("quant_sim", (stats, None)),
                                ("matrix_stats", (None, quant_frame(stats)))):
            with self.subTest(missing):
                run_dir = self.hand_made(*frames, name=missing)
                done = self.build(run_dir, expect=1)
                self.assertIn(missing, done.stderr)
                failure = self.log(run_dir, "tables_failure.json")
                self.assertEqual(failure["status"], "error")
                self.assertEqual(failure["error"]["type"], "FileNotFoundError")
                self.assertIn(missing, failure["error"]["message"])
                self.assertIn("Traceback (most recent call last):", failure["traceback"])
                self.assertIn("FileNotFoundError", failure["traceback"])
                self.assertEqual(set(failure), {"generated_at", "status", "run", "error",
                                                "traceback"})
                self.assertEqual([p for p in run_dir.glob("tables/*")], [])

    def test_a_missing_input_leaves_the_tables_of_the_run_before(self):
        stats = stats_frame(2)
        run_dir = self.hand_made(stats, quant_frame(stats))
        self.build(run_dir)
        before = self.bytes_of(run_dir)
        (run_dir / "data/quant_sim.parquet").rename(run_dir / "data/away")
        self.build(run_dir, expect=1)
        self.assertEqual(self.bytes_of(run_dir), before)
        (run_dir / "data/away").rename(run_dir / "data/quant_sim.parquet")
        self.build(run_dir)
        self.assertFalse((run_dir / "logs/tables_failure.json").exists())

    def test_a_damaged_input_fails_with_its_name(self):
        stats = stats_frame(2)
        run_dir = self.hand_made(stats, quant_frame(stats))
        (run_dir / "data/quant_sim.parquet").write_bytes(b"PAR1 this is no Parquet file PAR1")
        done = self.build(run_dir, expect=1)
        self.assertIn("quant_sim.parquet", done.stderr)
        self.assertEqual(list(run_dir.glob("tables/*")), [])

    def test_a_missing_config_fails(self):
        stats = stats_frame(2)
        run_dir = self.hand_made(stats, quant_frame(stats))
        (run_dir / "analysis_config.json").unlink()
        done = self.build(run_dir, expect=1)
        self.assertIn("analysis_config", done.stderr)
        self.assertIn("analysis_config", self.log(run_dir, "tables_failure.json")
                      ["error"]["message"])

    def test_an_unparsable_config_is_a_usage_error(self):
        stats = stats_frame(2)
        run_dir = self.hand_made(stats, quant_frame(stats))
        (run_dir / "analysis_config.json").write_text("{")
        self.assertIn("analysis_config", self.build(run_dir, expect=2).stderr)

    def test_a_missing_run_directory_is_not_made(self):
        self.build(self.tmp / "nowhere", expect=1)
        self.assertFalse((self.tmp / "nowhere").exists())


class Outputs(TablesTest):
    def test_csv_tables_replace_the_parquet_ones_and_hold_the_same(self):
        stats = stats_frame(20)
        stats.loc[stats.layer == 9, ["layer", "block4"]] = [-1, np.nan]
        quant = quant_frame(stats)
        run_dir = self.hand_made(stats, quant)
        self.build(run_dir)
        first = {name: self.built(run_dir, name) for name in TABLES}
        config = json.loads((run_dir / "analysis_config.json").read_text())
        config["output"]["format"] = "csv"
        (run_dir / "analysis_config.json").write_text(json.dumps(config))
        self.build(run_dir)
        self.assertEqual({p.suffix for p in (run_dir / "tables").iterdir()}, {".csv"})
        for name in TABLES:
            self.same(self.built(run_dir, name), first[name], name)
        text = (run_dir / "tables/A_weight_block4_summary.csv").read_text().splitlines()
        self.assertTrue(text[1].startswith("0,up_proj,"), text[1])  # 0, not 0.0
        self.assertTrue(text[-1].startswith(",up_proj,"), text[-1])  # null, last
        self.check_summaries(run_dir, {"matrix_stats": stats, "quant_sim": quant})

    def test_an_unknown_codec_falls_back_to_csv(self):
        stats = stats_frame(4)
        run_dir = self.hand_made(stats, quant_frame(stats), change=lambda c: c["output"].update(
            compression="nonsense"))
        done = self.build(run_dir)
        self.assertIn("parquet write failed", done.stdout + done.stderr)
        self.assertEqual({p.suffix for p in (run_dir / "tables").iterdir()}, {".csv"})
        artifact = self.log(run_dir, "tables_write_manifest.json")["artifacts"]
        self.assertEqual({a["fallback"] for a in artifact.values()}, {True})
        self.assertTrue(all(a["error"] for a in artifact.values()))

    def test_the_manifest_describes_every_table(self):
        stats = stats_frame(4)
        run_dir = self.hand_made(stats, quant_frame(stats))
        self.build(run_dir)
        manifest = self.log(run_dir, "tables_write_manifest.json")
        self.assertEqual(set(manifest), {"generated_at", "requested_format",
                                         "requested_compression", "artifacts"})
        self.assertRegex(manifest["generated_at"],
                         r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$")
        self.assertEqual((manifest["requested_format"], manifest["requested_compression"]),
                         ("parquet", "zstd"))
        self.assertEqual(set(manifest["artifacts"]), {*TABLES, "B_quant_deltas"})
        for name, artifact in manifest["artifacts"].items():
            self.assertEqual(artifact, {"path": f"tables/{name}.parquet", "format": "parquet",
                                        "fallback": False, "error": "",
                                        "rows": len(self.built(run_dir, name))})

    def test_the_same_input_gives_the_same_bytes(self):
        stats = stats_frame(20)
        run_dir = self.hand_made(stats, quant_frame(stats))
        self.build(run_dir)
        before = self.bytes_of(run_dir)
        self.build(run_dir)
        self.assertEqual(self.bytes_of(run_dir), before)

    def test_other_files_in_the_folder_stay(self):
        stats = stats_frame(2)
        run_dir = self.hand_made(stats, quant_frame(stats))
        (run_dir / "tables").mkdir(exist_ok=True)
        (run_dir / "tables/notes.txt").write_text("mine")
        self.build(run_dir)
        self.assertEqual((run_dir / "tables/notes.txt").read_text(), "mine")
