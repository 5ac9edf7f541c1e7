"""tests/data/cases_robust: damaged and contradictory input, a test for each row of its README.

*Refused*: analyze and inspect end with 3, inspect and data/unmatched_tensors name the tensor with a
reason, no table has a row of the matrix, and the other matrices are measured.
"""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet

from support import DATA, AcceptanceTest, run

CASES = DATA / "cases_robust"


class Robust(AcceptanceTest):
    def analyze(self, case, *flags, expect):
        done = run(
            "analyze",
            CASES / case,
            "--out",
            self.tmp,
            "--model-id",
            case,
            "--run-name",
            "r",
            "--no-report",
            *flags
        )
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return self.tmp / case / "r"

    def inspect(self, case, *flags, expect):
        done = run("inspect", CASES / case, *flags)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def refused(self, case, tensor, reason, measured=()):
        """`tensor` is refused with the fragments `reason`; the experts `measured` are those with rows."""
        run_dir = self.analyze(case, expect=3)
        unmatched = self.table(run_dir, "unmatched_tensors").set_index("tensor_name")["reason"]
        self.assertIn(tensor, unmatched)
        for fragment in reason:
            self.assertIn(fragment, unmatched[tensor])
        stats = self.table(run_dir, "matrix_stats")
        self.assertEqual(sorted(stats.expert_id), list(measured))
        self.assertEqual(sorted(set(self.table(run_dir, "quant_sim").expert_id)), list(measured))
        listed = json.loads(self.inspect(case, "--json", expect=3).stdout)["unmatched"]
        self.assertIn(tensor, [row["tensor"] for row in listed])
        return stats

    def test_mxfp4_with_scales_of_another_mode_is_refused(self):
        self.refused(
            "mlx_mxfp4_scales_doubled", "model.layers.0.mlp.switch_mlp.down_proj.weight", ["mxfp4"]
        )

    def test_where_all_is_refused_nothing_is_said_of_schemes(self):
        done = run("analyze", CASES / "mlx_mxfp4_scales_doubled", "--out", self.tmp)
        self.assertEqual(done.returncode, 3)
        self.assertNotIn("delta pair", done.stderr)
        self.assertNotIn("0 expert matrices", done.stdout)

    def test_nvfp4_without_its_global_scale_is_refused(self):
        self.refused(
            "mlx_nvfp4_global_scale_missing",
            "model.layers.0.mlp.switch_mlp.down_proj.weight",
            ["global_scale"],
        )

    def test_block_fp8_with_one_scale_is_refused(self):
        self.refused(
            "fp8_block_cut_to_one_scale",
            "model.layers.0.mlp.experts.0.gate_proj.weight",
            ["1 x 2", "[1, 1]"],
        )

    def test_channel_fp8_with_one_scale_is_refused(self):
        stats = self.refused(
            "ct_fp8_channel_cut_to_one_scale",
            "model.layers.0.mlp.experts.0.down_proj.weight",
            ["[1, 1]"],
            [1],
        )
        self.assertEqual(stats.storage[0], "fp8_channel")

    def test_grouped_int4_with_one_column_of_scales_is_refused(self):
        stats = self.refused(
            "ct_int4_group_scale_cut_to_one_column",
            "model.layers.1.mlp.experts.0.down_proj.weight_packed",
            ["[128, 1]"],
            [1],
        )
        self.assertEqual((stats.rows[0], stats.cols[0]), (128, 64))

    def test_a_g_idx_of_other_length_than_the_columns_is_refused(self):
        stats = self.refused(
            "gptq_g_idx_one_short",
            "model.layers.1.mlp.experts.0.down_proj.qweight",
            ["63", "64"],
            [1],
        )
        self.assertEqual((stats.rows[0], stats.cols[0]), (128, 64))

    def test_act_order_without_g_idx_is_refused(self):
        self.refused(
            "gptq_act_order_without_g_idx",
            "model.layers.1.mlp.experts.0.down_proj.qweight",
            ["g_idx"],
            [1],
        )

    def test_renamed_scales_are_no_expert(self):
        stats = self.refused(
            "awq_renamed_scales", "model.layers.0.mlp.experts.0.down_proj.qweight", ["scales"], [1]
        )
        self.assertEqual((stats.rows[0], stats.cols[0]), (128, 64))

    def test_a_gguf_name_that_is_not_utf8_never_reaches_a_table_raw(self):
        for done in (
            run("analyze", CASES / "gguf_name_not_utf8", "--out", self.tmp, "--no-report"),
            run("inspect", CASES / "gguf_name_not_utf8"),
        ):
            self.assertIn(done.returncode, (0, 1, 3), done.stderr)
        for path in self.tmp.rglob("*.parquet"):
            pyarrow.parquet.read_table(path).validate(full=True)
            pd.read_parquet(path)

    def test_a_stray_part_fails_the_scan_or_is_skipped_by_name(self):
        case = "gguf_stray_part_beside_a_model"
        self.analyze(case, expect=1)
        run_dir = self.analyze(case, "--keep-going", expect=3)
        self.assertIn("b.gguf", json.dumps(self.log(run_dir, "run_health.json")["skipped_files"]))
        self.assertEqual(
            {path.rsplit("/")[-1] for path in self.table(run_dir, "matrix_stats").file}, {"a.gguf"}
        )

    def test_a_missing_shard_is_named_and_no_success(self):
        missing = "model-00002-of-00002.safetensors"
        done = self.inspect("index_missing_shard", expect=3)
        self.assertIn(missing, done.stdout + done.stderr)
        self.assertIn(missing, self.inspect("index_missing_shard", "--json", expect=3).stdout)
        self.analyze("index_missing_shard", expect=1)
        run_dir = self.analyze("index_missing_shard", "--keep-going", expect=3)
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 1)

    def test_npz_dtypes_in_words_are_read_as_numpy_reads_them(self):
        stats = self.table(self.analyze("npz_descr_float32", expect=0), "matrix_stats").set_index(
            "expert_id"
        )
        arrays = np.load(CASES / "npz_descr_float32" / "model.npz")
        self.assertEqual(list(stats.index), [0, 1, 2, 3, 4])
        for name, array in arrays.items():
            row = stats.loc[int(name.split(".experts.")[1].split(".")[0])]
            self.assertEqual((row.rows, row.cols), array.shape)
            np.testing.assert_allclose(
                row.rms, np.sqrt(np.mean(array.astype(np.float64) ** 2)), rtol=1e-12
            )

    def test_control_characters_of_a_projection_never_reach_the_terminal(self):
        rules = json.loads((CASES / "escape_in_a_projection" / "extract_rules.json").read_text())
        run_dir = self.run_dir(
            CASES / "escape_in_a_projection", lambda config: config.update(extract_rules=rules)
        )
        for command in (
            ["collect-data", "--run-dir", run_dir],
            ["show", "--run-dir", run_dir],
            [
                "analyze",
                CASES / "escape_in_a_projection",
                "--out",
                self.tmp / "runs",
                "--model-id",
                "m",
                "--run-name",
                "run",
                "--no-report",
            ],
            ["show", "--run-dir", run_dir, "--table", "matrix_stats"],
            ["inspect", CASES / "escape_in_a_projection"],
        ):
            done = run(*command)
            for text in (done.stdout, done.stderr):
                self.assertEqual(
                    [c for c in text if (ord(c) < 32 and c != "\n") or ord(c) in range(127, 160)],
                    [],
                    command,
                )
        self.assertIn("\x1b", self.table(run_dir, "matrix_stats").proj[0])

    def test_an_axis_that_the_tables_cannot_hold_is_refused_with_its_file(self):
        """Nothing is measured then; a table with a negative size would be the fault."""
        case = CASES / "huge_axis_of_an_empty_tensor"
        for command in (["analyze", case, "--out", self.tmp], ["inspect", case]):
            done = run(*command)
            self.assertEqual(done.returncode, 1, command)
            self.assertIn("9223372036854775808", done.stderr)
        self.assertEqual(list(self.tmp.rglob("*.parquet")), [])


if __name__ == "__main__":
    import unittest

    unittest.main()
