"""Every column of matrix_stats against its formula (contract section 8, D1, D3-D5, D26)."""

import numpy as np
import pandas as pd

from support import AcceptanceTest, bf16_bytes, write_safetensors_raw

EPS = 1e-12
IDENTITY = ["file", "source_tensor", "derived_tensor", "layer", "block4", "proj", "expert_id",
            "is_routed_expert", "is_shared_expert", "rows", "cols", "dtype"]
NUMBERS = ["mean", "std", "mean_abs", "rms", "max_abs", "p50_abs", "p99_abs", "p999_abs",
           "outlier_max_over_mean", "outlier_p99_over_median", "outlier_p999_over_median"]
OURS = ["nonfinite_count", "storage", "storage_bits_per_weight", "stack"]
GROUPS = ["g32_p95_outlier", "g32_max_outlier", "g64_p95_outlier", "g64_max_outlier"]


def cell(row, column):
    """Of a named tuple or a Series (whose attributes may be methods: mean)."""
    return row[column] if isinstance(row, pd.Series) else getattr(row, column)


def name_of(expert, proj="up_proj", layer=0):
    return f"model.layers.{layer}.mlp.experts.{expert}.{proj}.weight"


def percentile(values, q):
    """NumPy's linear interpolation, in float64."""
    return np.percentile(np.asarray(values, np.float64), q)


def expected(w, eps=EPS, sample=None):
    """Contract section 8's formulas over float32(w), all in float64."""
    w = np.asarray(w).astype(np.float32).astype(np.float64)
    a = np.abs(w)
    taken = a.ravel() if sample is None else a.ravel()[sample]
    p50, p99, p999 = (percentile(taken, q) for q in (50, 99, 99.9))
    return {"mean": w.mean(), "std": w.std(), "mean_abs": a.mean(), "rms": np.sqrt((w**2).mean()),
            "max_abs": a.max(), "p50_abs": p50, "p99_abs": p99, "p999_abs": p999,
            "outlier_max_over_mean": a.max() / (a.mean() + eps),
            "outlier_p99_over_median": p99 / (p50 + eps),
            "outlier_p999_over_median": p999 / (p50 + eps)}


def group_ratios(w, size, eps=EPS):
    a = np.abs(np.asarray(w).astype(np.float32).astype(np.float64)).reshape(-1, size)
    return (a.max(axis=1) / (a.mean(axis=1) + eps)).astype(np.float32).astype(np.float64)


class StatsTest(AcceptanceTest):
    def stats(self, tensors, change=None, name="run", expect=0):
        def edit(config):
            config["mlx"]["enabled"] = False
            config["metadata"]["enabled"] = False  # no warning about config.json
            if change is not None:
                change(config)
        self.run_path = self.collected(tensors, edit, name=name, expect=expect)
        return self.table(self.run_path, "matrix_stats")

    def check(self, row, want, rtol=1e-9, atol=0.0):
        for column, value in want.items():
            np.testing.assert_allclose(cell(row, column), value, rtol=rtol, atol=atol,
                                       err_msg=column)

    def warnings(self):
        return list(self.table(self.run_path, "warnings", folder="logs").warning)


class Formulas(StatsTest):
    def test_columns_stand_in_the_contracts_order(self):
        table = self.stats({name_of(0): np.ones((4, 64), np.float32)})
        self.assertEqual(list(table), IDENTITY + NUMBERS + GROUPS + OURS)

    def test_every_number_of_every_storage_type(self):
        rng = np.random.default_rng(1)
        w = rng.standard_t(4, (48, 192)) * 0.03
        for dtype, text, bits in ((np.float16, "float16", 16), (np.float32, "float32", 32),
                                  (np.float64, "float64", 64)):
            with self.subTest(text):
                stored = w.astype(dtype)
                row = self.stats({name_of(0): stored}, name=text).iloc[0]
                self.check(row, expected(stored), atol=1e-18)
                for size in (32, 64):
                    ratios = group_ratios(stored, size)
                    self.check(row, {f"g{size}_p95_outlier": percentile(ratios, 95),
                                     f"g{size}_max_outlier": ratios.max()}, rtol=2e-7)
                self.assertEqual((row["dtype"], row.rows, row.cols), (text, 48, 192))
                self.assertEqual(row.nonfinite_count, 0)
                self.assertEqual(row.storage_bits_per_weight, bits)
                self.assertTrue(row.storage)
                self.assertTrue(pd.isna(row["stack"]))

    def test_bfloat16(self):
        w = np.random.default_rng(2).standard_normal((40, 96)).astype(np.float32)
        raw = bf16_bytes(w)
        folder = self.tmp / "bf16"
        folder.mkdir()
        write_safetensors_raw(folder / "model.safetensors", {name_of(0): ("BF16", w.shape, raw)})
        run_dir = self.run_dir(folder, lambda c: c["mlx"].update(enabled=False))
        self.collect(run_dir)
        row = self.table(run_dir, "matrix_stats").iloc[0]
        exact = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        self.check(row, expected(exact.reshape(w.shape)), atol=1e-18)
        self.assertEqual((row["dtype"], row.storage_bits_per_weight), ("bfloat16", 16))

    def test_exact_percentiles_equal_numpys_in_float64(self):
        rng = np.random.default_rng(3)
        for number, shape in enumerate([(1, 64), (3, 32), (7, 96), (64, 100), (128, 320)]):
            for dtype in (np.float16, np.float32):
                with self.subTest(shape=shape, dtype=dtype):
                    w = (rng.standard_normal(shape) * 0.02).astype(dtype)
                    row = self.stats({name_of(0): w}, name=f"run{number}{np.dtype(dtype)}").iloc[0]
                    a = np.abs(w.astype(np.float64))
                    self.check(row, {"p50_abs": percentile(a, 50), "p99_abs": percentile(a, 99),
                                     "p999_abs": percentile(a, 99.9)}, rtol=1e-12)

    def test_a_bank_has_a_row_of_its_own_numbers_for_each_expert(self):
        bank = np.random.default_rng(4).standard_normal((3, 16, 64)).astype(np.float32)
        bank *= np.array([1, 10, 100], np.float32)[:, None, None]
        table = self.stats({"model.layers.0.mlp.experts.up_proj.weight": bank})
        self.assertEqual(list(table.expert_id), [0, 1, 2])
        for expert, row in enumerate(table.itertuples()):
            self.check(row, expected(bank[expert]), atol=1e-18)

    def test_a_mean_far_above_the_deviation_is_no_trouble(self):
        w = (1000 + 1e-3 * np.random.default_rng(5).standard_normal((64, 64))).astype(np.float32)
        row = self.stats({name_of(0): w}).iloc[0]
        self.check(row, expected(w))
        self.assertGreater(row["std"], 1e-4)

    def test_float64_weights_are_rounded_to_float32_first(self):
        row = self.stats({name_of(0): np.full((2, 32), 16777217.0)}).iloc[0]
        self.assertEqual((row["mean"], row.max_abs, row.p50_abs, row["std"]),
                         (16777216.0, 16777216.0, 16777216.0, 0.0))

    def test_tiny_float16_weights_do_not_vanish_in_the_sums(self):
        w = (np.random.default_rng(6).standard_normal((64, 64)) * 1e-5).astype(np.float16)
        self.check(self.stats({name_of(0): w}).iloc[0], expected(w), atol=1e-18)

    def test_an_all_zero_matrix_has_only_zeros(self):
        row = self.stats({name_of(0): np.zeros((8, 64), np.float32)}).iloc[0]
        self.assertEqual({c: row[c] for c in NUMBERS + GROUPS},
                         dict.fromkeys(NUMBERS + GROUPS, 0.0))
        self.assertEqual(row.nonfinite_count, 0)

    def test_eps_stands_in_every_denominator(self):
        w = (np.random.default_rng(7).standard_normal((8, 64)) * 0.02).astype(np.float32)
        row = self.stats({name_of(0): w}, lambda c: c["stats"].update(eps=0.5)).iloc[0]
        self.check(row, expected(w, eps=0.5), atol=1e-18)
        self.check(row, {"g32_max_outlier": group_ratios(w, 32, 0.5).max()}, rtol=2e-7)


class GroupColumns(StatsTest):
    def test_sizes_and_percentile_of_the_config_name_the_columns(self):
        w = np.random.default_rng(1).standard_normal((16, 96)).astype(np.float32)
        row = self.stats({name_of(0): w}, lambda c: c["stats"].update(
            group_sizes_lastdim=[96, 16, 48], group_outlier_percentile=99.9)).iloc[0]
        names = [c for c in row.index if c.startswith("g") and "_outlier" in c]
        self.assertEqual(names, ["g96_p99_outlier", "g96_max_outlier", "g16_p99_outlier",
                                 "g16_max_outlier", "g48_p99_outlier", "g48_max_outlier"])
        for size in (96, 16, 48):
            ratios = group_ratios(w, size)
            self.check(row, {f"g{size}_p99_outlier": percentile(ratios, 99.9),
                             f"g{size}_max_outlier": ratios.max()}, rtol=2e-7)

    def test_a_size_that_does_not_divide_the_columns_gives_nulls(self):
        table = self.stats({name_of(0): np.ones((4, 96), np.float32),
                            name_of(1): np.ones((4, 128), np.float32)})
        self.assertTrue(table[["g64_p95_outlier", "g64_max_outlier"]].iloc[0].isna().all())
        np.testing.assert_allclose(table["g64_max_outlier"].iloc[1], 1.0, rtol=1e-6)
        np.testing.assert_allclose(table["g32_max_outlier"], [1.0, 1.0], rtol=1e-6)

    def test_sizes_below_1_keep_their_columns_with_nulls(self):
        table = self.stats({name_of(0): np.ones((4, 96), np.float32)},
                           lambda c: c["stats"].update(group_sizes_lastdim=[0, -8]))
        for column in ("g0_p95_outlier", "g0_max_outlier", "g-8_p95_outlier", "g-8_max_outlier"):
            self.assertTrue(table[column].isna().all(), column)


class FurtherPercentiles(StatsTest):
    def test_other_percentiles_are_further_columns(self):
        w = np.random.default_rng(1).standard_normal((64, 96)).astype(np.float32)
        table = self.stats({name_of(0): w}, lambda c: c["stats"].update(
            percentiles_abs=[95, 50.0, 99.99, 0, 100.0]))
        self.assertEqual(list(table),
                         IDENTITY + NUMBERS + GROUPS
                         + ["p95_abs", "p9999_abs", "p0_abs", "p100_abs"] + OURS)
        a = np.abs(w.astype(np.float64))
        self.check(table.iloc[0], {**{c: percentile(a, q) for c, q in (
            ("p50_abs", 50), ("p99_abs", 99), ("p999_abs", 99.9), ("p95_abs", 95),
            ("p9999_abs", 99.99), ("p0_abs", 0), ("p100_abs", 100))}}, rtol=1e-12)

    def test_two_percentiles_of_one_name_are_a_config_error(self):
        run_dir = self.run_dir(self.model({name_of(0): np.ones((4, 32), np.float32)}),
                               lambda c: c["stats"].update(percentiles_abs=[99.99, 9.999]))
        done = self.collect(run_dir, expect=2)
        self.assertIn("percentiles_abs", done.stderr)
        self.assertEqual(list((run_dir / "data").glob("*.*")), [])


class Samples(StatsTest):
    def sampled(self, count, seed=1337, method="sample"):
        return lambda c: c["stats"].update(percentile_method=method, sample_per_matrix=count,
                                           sample_seed=seed)

    def test_the_sample_is_numpys_index_for_index(self):
        cases = [((64, 96), 512, 1337), ((64, 96), 50, 0), ((128, 128), 1000, 7),
                 ((128, 128), 20, 2**40 + 3)]
        for number, (shape, count, seed) in enumerate(cases):
            with self.subTest(shape=shape, count=count, seed=seed):
                w = np.random.default_rng(number).standard_normal(shape).astype(np.float32)
                row = self.stats({name_of(0): w}, self.sampled(count, seed),
                                 name=f"run{number}").iloc[0]
                total = w.size
                indices = np.random.default_rng(seed).choice(total, count, replace=False)
                self.check(row, expected(w, sample=indices), atol=1e-18)
                cached = np.load(self.run_path / "cache" / "sampled_indices" /
                                 f"idx_N{total}_k{count}_seed{seed}.npy")
                self.assertEqual(cached.dtype, np.int64)
                np.testing.assert_array_equal(cached, indices)

    def test_a_sample_as_large_as_the_matrix_is_exact(self):
        w = np.random.default_rng(1).standard_normal((8, 64)).astype(np.float32)
        row = self.stats({name_of(0): w}, self.sampled(512)).iloc[0]
        self.check(row, expected(w), atol=1e-18)

    def test_an_absent_method_means_the_sample(self):
        w = np.random.default_rng(1).standard_normal((64, 64)).astype(np.float32)

        def old_config(config):
            del config["stats"]["percentile_method"]
            config["stats"]["sample_per_matrix"] = 100
        row = self.stats({name_of(0): w}, old_config).iloc[0]
        indices = np.random.default_rng(1337).choice(4096, 100, replace=False)
        self.check(row, expected(w, sample=indices), atol=1e-18)

    def with_planted(self, indices):
        """Percentile row of a run whose cache already holds `indices`."""
        w = np.random.default_rng(1).standard_normal((64, 64)).astype(np.float32)
        run_dir = self.run_dir(self.model({name_of(0): w}), lambda c: (
            c["mlx"].update(enabled=False), self.sampled(4)(c)))
        cache = run_dir / "cache" / "sampled_indices"
        cache.mkdir(parents=True, exist_ok=True)
        np.save(cache / "idx_N4096_k4_seed1337.npy", indices)
        self.collect(run_dir)
        return w, self.table(run_dir, "matrix_stats").iloc[0]

    def test_a_valid_cached_sample_is_used(self):
        planted = np.array([5, 17, 4000, 1])
        w, row = self.with_planted(planted)
        self.check(row, expected(w, sample=planted), atol=1e-18)

    def test_an_invalid_cached_sample_is_not_used(self):
        good = np.random.default_rng(1337).choice(4096, 4, replace=False)
        for claim, planted in {"too_long": np.arange(5), "out_of_range": np.array([0, 1, 2, 4096]),
                               "negative": np.array([0, 1, 2, -1]),
                               "wrong_type": np.array([0.0, 1.0, 2.0, 3.0]),
                               "twice": np.array([3, 3, 4, 5])}.items():
            with self.subTest(claim):
                self.setUp()
                w, row = self.with_planted(planted)
                self.check(row, expected(w, sample=good), atol=1e-18)


class NonFinite(StatsTest):
    def test_non_finite_weights_are_counted_and_everything_else_is_null(self):
        bad = np.ones((4, 64), np.float32)
        bad[1, 3], bad[2, 5], bad[3, 7] = np.nan, np.inf, -np.inf
        for dtype in (np.float16, np.float32, np.float64):
            with self.subTest(dtype):
                table = self.stats({name_of(0): bad.astype(dtype),
                                    name_of(1): np.ones((4, 64), dtype)},
                                   name=np.dtype(dtype).name)
                row, good = table.iloc[0], table.iloc[1]
                self.assertEqual(row.nonfinite_count, 3)
                self.assertTrue(row[NUMBERS + GROUPS].isna().all(), row)
                self.assertEqual((row.rows, row.cols), (4, 64))
                self.assertEqual((good.nonfinite_count, good["mean"]), (0, 1.0))
                about = [line for line in self.warnings() if name_of(0) in line]
                self.assertEqual(len(about), 1)

    def test_float64_beyond_float32_is_not_finite(self):
        w = np.ones((4, 64))
        w[0, 0] = 1e300
        row = self.stats({name_of(0): w}).iloc[0]
        self.assertEqual(row.nonfinite_count, 1)
        self.assertTrue(np.isnan(row["mean"]))


class Determinism(StatsTest):
    def test_the_number_of_threads_changes_no_byte_of_the_tables(self):
        tensors = {name_of(e, p): np.random.default_rng(e).standard_normal((96, 128))
                   .astype(np.float16) for e in range(4) for p in ("gate_proj", "up_proj")}
        run_dir = self.run_dir(self.model(tensors))
        seen = []
        for threads in (1, 2, 5):
            self.collect(run_dir, "--threads", threads)
            seen.append([self.table(run_dir, t) for t in ("matrix_stats", "quant_sim")])
        for stats, quant in seen[1:]:
            self.assertTrue(stats.equals(seen[0][0]))
            self.assertTrue(quant.equals(seen[0][1]))
