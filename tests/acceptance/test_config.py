"""analysis_config.json: what is refused, what warns, what absent keys mean (contract 2, D2-D4, D13)."""

import copy
import json

import numpy as np

from support import AcceptanceTest, bank, experts, files_of, reference_config, run


def set_in(config, pointer, value):
    """Sets config's element at the JSON pointer."""
    *parents, last = [int(p) if p.isdigit() else p for p in pointer.split("/")[1:]]
    for part in parents:
        config = config[part]
    config[last] = value


def drop(config, pointer):
    *parents, last = [int(p) if p.isdigit() else p for p in pointer.split("/")[1:]]
    for part in parents:
        config = config[part]
    del config[last]


# (JSON pointer, value that is refused there)
BAD_VALUES = [
    ("/model_path", 3), ("/model_path", None),
    ("/scan", []), ("/scan/extensions", ".npz"), ("/scan/extensions", [1]),
    ("/scan/experts_only", 1), ("/scan/experts_only", "true"), ("/scan/max_files", "3"),
    ("/scan/max_files", 1.5), ("/scan/max_files", True), ("/scan/max_files", 1e300),
    ("/scan/recursive", "deep"), ("/scan/recursive", 1), ("/scan/strict_index", None),
    ("/scan/min_expert_coverage", 1.5), ("/scan/min_expert_coverage", -0.1),
    ("/scan/min_expert_coverage", "all"),
    ("/parsing/layer_regex", 1), ("/parsing/layer_regex", "("), ("/parsing/expert_regex", "[a"),
    ("/parsing/proj_aliases", []), ("/parsing/proj_aliases/up_proj", "up"),
    ("/parsing/shared_expert_keywords", "shared"), ("/parsing/presets", "no such architecture"),
    ("/extract_rules", {}), ("/extract_rules", ["rule"]), ("/extract_rules/0/match", "(?P<x"),
    ("/extract_rules/1/ndim", "2"), ("/extract_rules/1/enabled", "yes"),
    ("/extract_rules/1/proj_group", "1"),
    ("/mlx", True), ("/mlx/enabled", 1), ("/mlx/backend", "metal"), ("/mlx/profile", "mlx-tpu"),
    ("/stats/eps", "1e-12"), ("/stats/eps", None), ("/stats/eps", float("nan")),
    ("/stats/eps", -1.0),
    ("/stats/sample_per_matrix", 0), ("/stats/sample_per_matrix", -5),
    ("/stats/sample_per_matrix", 1.5), ("/stats/sample_seed", -1), ("/stats/sample_seed", "x"),
    ("/stats/percentile_method", "approximate"), ("/stats/percentiles_abs", [50, "99"]),
    ("/stats/percentiles_abs", [101]), ("/stats/percentiles_abs", [-1]),
    ("/stats/percentiles_abs", [float("nan")]),
    ("/stats/group_outlier_percentile", 101), ("/stats/group_sizes_lastdim", [32.5]),
    ("/stats/group_sizes_lastdim", 32), ("/stats/quant_compute_dtype", "fp8"),
    ("/stats/quant_compute_dtype", 16),
    ("/stats/quant_rel_den_floor", 0), ("/stats/quant_rel_den_floor", -1.0),
    ("/stats/quant_rel_den_floor", "1"), ("/stats/quant_rel_den_floor", True),
    ("/stats/quant_spectral_power_iters", "12"),
    ("/quant_schemes", {}), ("/quant_schemes/0/name", 3), ("/quant_schemes/0/mode", None),
    ("/quant_schemes/0/bits", "four"), ("/quant_schemes/0/bits", 4.5),
    ("/quant_schemes/0/group_size", "32"),
    ("/delta_pairs", "a-b"), ("/delta_pairs/0/a", 4),
    ("/output", "csv"), ("/output/format", 1), ("/output/compression", 3),
    ("/debug/dump_unmatched_tensors", "no"), ("/debug/print_progress_every_files", 1.5),
]

REQUIRED = ["/model_path", "/scan", "/parsing", "/parsing/layer_regex", "/parsing/expert_regex",
            "/parsing/proj_aliases", "/stats", "/stats/eps", "/extract_rules/0/name",
            "/extract_rules/0/match", "/quant_schemes/1/name", "/quant_schemes/1/mode"]

# Absent keys that the contract gives a meaning: nothing changes for this model without them.
OPTIONAL = ["/scan/extensions", "/scan/max_files", "/scan/experts_only",
            "/scan/include_shared_expert", "/scan/inventory_all_tensors",
            "/parsing/shared_expert_keywords", "/parsing/strict_packed_split",
            "/extract_rules/2/enabled", "/mlx", "/mlx/enabled", "/mlx/device",
            "/quant_schemes/0/enabled", "/quant_schemes/0/bits", "/quant_schemes/0/group_size",
            "/stats/percentiles_abs", "/stats/sample_per_matrix", "/stats/sample_seed",
            "/stats/group_outlier_percentile", "/stats/group_sizes_lastdim", "/delta_pairs",
            "/output", "/output/compression", "/debug", "/debug/dump_unmatched_tensors",
            "/debug/print_progress_every_files"]


class ConfigTest(AcceptanceTest):
    def run_with(self, config, name="run"):
        """A run directory with this config (a dict or text)."""
        run_dir = self.tmp / name
        run_dir.mkdir(exist_ok=True)
        text = config if isinstance(config, str) else json.dumps(config)
        (run_dir / "analysis_config.json").write_text(text)
        return run_dir

    def reference(self, tensors=None):
        return reference_config(self.model(tensors or bank()))

    def warnings(self, run_dir):
        if not list((run_dir / "logs").glob("warnings.*")):
            return []
        return self.table(run_dir, "warnings", "logs").warning.tolist()


class Refused(ConfigTest):
    def refused(self, config):
        run_dir = self.run_with(config)
        done = self.collect(run_dir, expect=2)
        self.assertEqual(done.stdout, "")
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("analysis_config.json", done.stderr)
        self.assertEqual(files_of(run_dir / "data") if (run_dir / "data").exists() else {}, {})
        checked = run("config", "check", run_dir / "analysis_config.json")
        self.assertEqual(checked.returncode, 2, "config check says the same")
        return done.stderr

    def test_a_wrong_value_exits_2_with_its_json_pointer(self):
        good = self.reference()
        good["mlx"]["backend"] = "native"
        for pointer, value in BAD_VALUES:
            with self.subTest(pointer=pointer, value=value):
                config = copy.deepcopy(good)
                set_in(config, pointer, value)
                self.assertIn(pointer, self.refused(config))

    def test_a_missing_key_exits_2_with_its_json_pointer(self):
        good = self.reference()
        for pointer in REQUIRED:
            with self.subTest(pointer):
                config = copy.deepcopy(good)
                drop(config, pointer)
                self.assertIn(pointer, self.refused(config))

    def test_what_is_no_json_exits_2(self):
        for text in ("", "{", "null", "[]", '{"model_path": "x"} trailing', "{'model_path': 'x'}",
                     '{"model_path": "x",}', '{"model_path": nan}', "\0", "[" * 100_000):
            with self.subTest(text[:30]):
                self.refused(text)

    def test_two_percentiles_of_one_column_name_are_refused(self):
        config = self.reference()
        for percentiles in ([99.99, 9.999], [50, 95, 95.0], [12.5, 1.25]):
            with self.subTest(percentiles):
                config["stats"]["percentiles_abs"] = percentiles
                self.assertIn("/stats/percentiles_abs", self.refused(config))

    def test_two_group_columns_of_one_name_are_refused(self):
        config = self.reference()
        config["stats"]["group_sizes_lastdim"] = [32, 64, 32]
        self.assertIn("/stats/group_sizes_lastdim", self.refused(config))

    def test_enabled_schemes_of_one_name_are_refused(self):
        config = self.reference()
        config["quant_schemes"].append({"name": "mxfp4_g32", "mode": "affine"})
        self.assertIn("mxfp4_g32", self.refused(config))
        config["quant_schemes"][-1]["enabled"] = False
        self.collect(self.run_with(config))

    def test_the_floors_error_says_finite(self):
        config = self.reference()
        text = json.dumps(config).replace('"eps"', '"quant_rel_den_floor": NaN, "eps"')
        stderr = self.refused(text)
        self.assertIn("quant_rel_den_floor", stderr)
        self.assertIn("finite", stderr)

    def test_a_directory_instead_of_the_config_is_refused(self):
        (self.tmp / "run/analysis_config.json").mkdir(parents=True)
        done = run("collect-data", "--run-dir", self.tmp / "run")
        self.assertIn(done.returncode, (1, 2))
        self.assertEqual(len(done.stderr.splitlines()), 1)


class Accepted(ConfigTest):
    def test_unknown_keys_warn_with_the_closest_one_and_the_run_goes_on(self):
        config = self.reference()
        config["scan"]["expert_only"] = False
        config["quant_schemes"][0]["group_sise"] = 64
        config["zzzzzzzz"] = 1
        run_dir = self.run_with(config)
        self.collect(run_dir)
        warnings = "\n".join(self.warnings(run_dir))
        for text in ("/scan/expert_only", "experts_only", "/quant_schemes/0/group_sise",
                     "group_size", "/zzzzzzzz"):
            self.assertIn(text, warnings)
        quant = self.table(run_dir, "quant_sim")
        self.assertEqual(set(quant.group_size), {32}, "an unknown key has no effect")

    def test_nan_and_infinity_literals_are_read_where_they_do_no_harm(self):
        config = self.reference()
        text = json.dumps(config)[:-1] + ', "note": [NaN, Infinity, -Infinity]}'
        run_dir = self.run_with(text)
        self.collect(run_dir)
        self.assertIn("/note", "\n".join(self.warnings(run_dir)))
        self.log(run_dir, "run_health.json")  # Python's reader takes what was written

    def test_later_keys_without_effect_are_accepted_with_one_warning(self):
        config = self.reference()
        config["stats"].update(quant_spectral_power_iters=12, quant_gram_sample_k=128)
        run_dir = self.run_with(config)
        self.collect(run_dir)
        quant = self.table(run_dir, "quant_sim")
        self.assertFalse([c for c in quant.columns if "spectral" in c or "gram" in c])
        lines = [w for w in self.warnings(run_dir) if "spectral" in w or "gram" in w]
        self.assertEqual(len(lines), 1, lines)

    def test_the_plots_section_is_no_unknown_key(self):
        config = self.reference()
        config["plots"] = {"artifact_keys": ["A_weight_layer_summary"]}
        run_dir = self.run_with(config)
        self.collect(run_dir)
        self.assertEqual(self.warnings(run_dir), [])

    def test_an_absent_key_has_the_contracts_default(self):
        config = self.reference({**experts(count=2), "model.norm.weight": np.ones(3, np.float32)})
        whole = self.run_with(config, "whole")
        self.collect(whole)
        want = {name: self.table(whole, name) for name in ("tensor_inventory", "matrix_stats",
                                                           "quant_sim", "unmatched_tensors")}
        for pointer in OPTIONAL:
            with self.subTest(pointer):
                less = copy.deepcopy(config)
                drop(less, pointer)
                run_dir = self.run_with(less, "less" + pointer.replace("/", "-"))
                self.collect(run_dir)
                self.assertEqual(self.warnings(run_dir), [])
                for name, frame in want.items():
                    self.assertTrue(self.table(run_dir, name).equals(frame), name)

    def test_a_scheme_without_bits_and_group_has_those_of_its_mode(self):
        config = self.reference()
        config["quant_schemes"] = [{"name": mode, "mode": mode}
                                   for mode in ("affine", "mxfp4", "mxfp8", "nvfp4")]
        config["delta_pairs"] = []
        run_dir = self.run_with(config)
        self.collect(run_dir)
        quant = self.table(run_dir, "quant_sim")
        self.assertEqual(list(zip(quant.scheme, quant.bits, quant.group_size)),
                         [("affine", 4, 32), ("mxfp4", 4, 32), ("mxfp8", 8, 32), ("nvfp4", 4, 16)])
        self.assertTrue(quant.error.isna().all())

    def test_the_smallest_config_works(self):
        config = self.reference(bank(count=2))
        small = {"model_path": config["model_path"], "scan": {}, "stats": {"eps": 0.0},
                 "parsing": {k: config["parsing"][k]
                             for k in ("layer_regex", "expert_regex", "proj_aliases")}}
        run_dir = self.run_with(small)
        self.collect(run_dir)
        stats = self.table(run_dir, "matrix_stats")
        self.assertEqual(stats.expert_id.tolist(), [0, 1])
        self.assertEqual(len(self.table(run_dir, "quant_sim")), 0)

    def test_quant_compute_dtype_is_trimmed_and_any_case(self):
        config = self.reference()
        for text, name in [("storage", "fp32"), ("fp16", "fp16"), ("float16", "fp16"),
                           (" BF16 ", "bf16"), ("bfloat16", "bf16"), ("Float32", "fp32"),
                           ("fp32", "fp32")]:
            with self.subTest(text):
                config["stats"]["quant_compute_dtype"] = text
                run_dir = self.run_with(config)
                self.collect(run_dir)
                self.assertEqual(set(self.table(run_dir, "quant_sim").compute_dtype), {name})

    def test_weights_that_exceed_the_compute_dtype_are_an_overflow_error(self):
        weights = np.ones((2, 32), np.float32)
        weights[0, :3] = 1e6
        config = self.reference({"layers.0.experts.0.up_proj.weight": weights})
        config["stats"]["quant_compute_dtype"] = "fp16"
        run_dir = self.run_with(config)
        self.collect(run_dir, expect=3)  # no scheme has a number
        quant = self.table(run_dir, "quant_sim")
        self.assertEqual(set(quant.error), {"OverflowError: 3 weights exceed fp16"})
        self.assertTrue(quant.w_rel_fro.isna().all())
        self.assertEqual(self.table(run_dir, "matrix_stats").max_abs.tolist(), [1e6])

    def test_the_profile_follows_the_device_unless_it_is_set(self):
        config = self.reference()
        cases = [({"device": "cpu"}, "mlx-cpu"), ({"device": "gpu"}, "mlx-gpu"), ({}, "mlx-cpu"),
                 ({"device": "gpu", "profile": "mlx-cpu"}, "mlx-cpu"),
                 ({"profile": "mlx-gpu-legacy"}, "mlx-gpu-legacy"),
                 ({"profile": "mlx-cpu-legacy"}, "mlx-cpu-legacy"), ({"device": "tpu"}, "mlx-cpu")]
        for mlx, profile in cases:
            with self.subTest(mlx):
                config["mlx"] = mlx
                run_dir = self.run_with(config)
                self.collect(run_dir)
                quant = self.table(run_dir, "quant_sim")
                self.assertEqual(set(zip(quant.profile, quant.backend)), {(profile, "native")})

    def test_quant_rel_den_floor_is_the_least_denominator(self):
        weights = np.random.default_rng(8).standard_normal((2, 32)).astype(np.float32) * 0.01
        config = self.reference({"layers.0.experts.0.up_proj.weight": weights})
        config["quant_schemes"] = config["quant_schemes"][:1]
        plain = self.run_with(config, "plain")
        self.collect(plain)
        config["stats"]["quant_rel_den_floor"] = 4.0
        floored = self.run_with(config, "floored")
        self.collect(floored)
        plain, floored = (self.table(r, "quant_sim").iloc[0] for r in (plain, floored))
        np.testing.assert_allclose(floored.w_rel_fro,
                                   plain.w_rel_fro * np.linalg.norm(weights) / 4, rtol=1e-6)
        np.testing.assert_allclose(floored.w_rel_max,
                                   plain.w_rel_max * np.abs(weights).max() / 4, rtol=1e-6)


class Sampling(ConfigTest):
    """percentile_method "sample", and absent, which means the same (D3)."""

    NAME = "model.layers.0.mlp.experts.0.up_proj.weight"

    def weights(self, rows, cols):
        return np.random.default_rng(rows).standard_normal((rows, cols)).astype(np.float32)

    def run_sampled(self, weights, k=8192, seed=1337, name="run", **stats):
        config = reference_config(self.model({self.NAME: weights}, name="model-" + name))
        config["stats"].update(sample_per_matrix=k, sample_seed=seed, **stats)
        config["quant_schemes"] = []
        run_dir = self.run_with(config, name)
        self.collect(run_dir)
        return run_dir

    def percentiles(self, run_dir):
        row = self.table(run_dir, "matrix_stats").iloc[0]
        return [row.p50_abs, row.p99_abs, row.p999_abs]

    def expected(self, weights, indices):
        sample = np.abs(weights).reshape(-1)[indices].astype(np.float64)
        return np.percentile(sample, [50, 99, 99.9])

    def test_a_references_config_samples_what_numpy_samples(self):
        # Shuffle (N > 10000, k > N / 50), Floyd (small k), and the template's numbers.
        for rows, cols, k, seed in [(96, 160, 8192, 1337), (96, 160, 200, 1337), (40, 64, 7, 0),
                                    (128, 96, 4000, 2**40 + 7), (10, 1000, 200, 5)]:
            with self.subTest((rows, cols, k, seed)):
                weights = self.weights(rows, cols)
                run_dir = self.run_sampled(weights, k, seed, f"r{rows}-{cols}-{k}-{seed}")
                indices = np.random.default_rng(seed).choice(weights.size, k, replace=False)
                np.testing.assert_allclose(self.percentiles(run_dir),
                                           self.expected(weights, indices), rtol=1e-12)
                whole = np.abs(weights.astype(np.float64))
                row = self.table(run_dir, "matrix_stats").iloc[0]
                self.assertEqual(row.max_abs, whole.max(), "only percentiles are sampled")
                np.testing.assert_allclose(row.mean_abs, whole.mean(), rtol=1e-12)

    def test_the_cache_holds_numpys_indices_as_numpy_saves_them(self):
        run_dir = self.run_sampled(self.weights(96, 160), k=500)
        path = run_dir / "cache/sampled_indices/idx_N15360_k500_seed1337.npy"
        indices = np.random.default_rng(1337).choice(15360, 500, replace=False)
        written = np.load(path)
        self.assertEqual(written.dtype, np.dtype("<i8"))
        np.testing.assert_array_equal(written, indices)
        np.save(self.tmp / "numpy.npy", indices)
        self.assertEqual(path.read_bytes(), (self.tmp / "numpy.npy").read_bytes())

    def test_a_planted_valid_file_is_used(self):
        weights = self.weights(96, 160)
        cache = self.tmp / "run/cache/sampled_indices"
        cache.mkdir(parents=True)
        sentinel = np.arange(500, dtype=np.int64)[::-1] * 3
        path = cache / "idx_N15360_k500_seed1337.npy"
        np.save(path, sentinel)
        before = path.read_bytes()
        run_dir = self.run_sampled(weights, k=500)
        np.testing.assert_allclose(self.percentiles(run_dir), self.expected(weights, sentinel),
                                   rtol=1e-12)
        self.assertEqual(path.read_bytes(), before)
        self.assertEqual(self.warnings(run_dir), [])

    def test_a_planted_invalid_file_is_made_anew_with_a_warning(self):
        weights = self.weights(96, 160)
        indices = np.random.default_rng(1337).choice(15360, 500, replace=False)
        good = np.arange(500, dtype=np.int64)
        twice, outside, negative = good.copy(), good.copy(), good.copy()
        twice[0], outside[0], negative[0] = 7, 15360, -1
        bad = {"length": good[:-1], "twice": twice, "outside": outside, "negative": negative,
               "dtype": good.astype(np.int32), "float": good.astype(np.float64),
               "dims": good.reshape(2, 250), "text": b"no npy", "empty": b""}
        for case, planted in bad.items():
            with self.subTest(case):
                cache = self.tmp / case / "cache/sampled_indices"
                cache.mkdir(parents=True)
                path = cache / "idx_N15360_k500_seed1337.npy"
                if isinstance(planted, bytes):
                    path.write_bytes(planted)
                else:
                    np.save(path, planted)
                run_dir = self.run_sampled(weights, k=500, name=case)
                np.testing.assert_allclose(self.percentiles(run_dir),
                                           self.expected(weights, indices), rtol=1e-12)
                np.testing.assert_array_equal(np.load(path), indices)
                warning, = self.warnings(run_dir)
                self.assertIn(path.name, warning)

    def test_a_sample_as_large_as_the_matrix_is_all_of_it(self):
        weights = self.weights(8, 64)
        for k in (512, 513, 8192):
            with self.subTest(k):
                run_dir = self.run_sampled(weights, k, name=f"k{k}")
                np.testing.assert_allclose(self.percentiles(run_dir),
                                           self.expected(weights, slice(None)), rtol=1e-12)

    def test_exact_percentiles_are_over_all_elements_and_leave_no_cache(self):
        weights = self.weights(96, 160)
        run_dir = self.run_sampled(weights, k=100, percentile_method="exact")
        np.testing.assert_allclose(self.percentiles(run_dir), self.expected(weights, slice(None)),
                                   rtol=1e-12)
        cache = run_dir / "cache/sampled_indices"
        self.assertEqual(files_of(cache) if cache.exists() else {}, {})

    def test_the_same_positions_serve_every_matrix_of_equal_size(self):
        tensors = experts(count=2, rows=96, cols=160)
        config = reference_config(self.model(tensors))
        config["quant_schemes"] = []
        config["stats"]["sample_per_matrix"] = 300
        run_dir = self.run_with(config)
        self.collect(run_dir)
        indices = np.random.default_rng(1337).choice(15360, 300, replace=False)
        stats = self.table(run_dir, "matrix_stats")
        self.assertEqual(len(stats), 6)
        for row in stats.itertuples():
            np.testing.assert_allclose([row.p50_abs, row.p99_abs, row.p999_abs],
                                       self.expected(tensors[row.source_tensor], indices),
                                       rtol=1e-12)
        self.assertEqual(list(files_of(run_dir / "cache")),
                         ["sampled_indices/idx_N15360_k300_seed1337.npy"])
