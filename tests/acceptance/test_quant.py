"""quant_sim against the real MLX and the oracle (contract section 9, D2, D6, D7, D24, D26)."""

import json
import unittest

import numpy as np
import pandas as pd

from support import DATA, AcceptanceTest, bf16_bytes, write_safetensors_raw

try:
    import mlx.core as mx
except ImportError:
    mx = None

needs_mlx = unittest.skipUnless(mx, "the real MLX is not installed in .venv")

EPS = 1e-12
COLUMNS = ["file", "source_tensor", "derived_tensor", "layer", "block4", "proj", "expert_id",
           "is_shared_expert", "rows", "cols", "scheme", "mode", "bits", "group_size", "w_rel_fro",
           "w_rel_max", "scale_mean", "scale_max", "bias_mean", "bias_max", "error",
           "scale_abs_mean", "scale_abs_max", "sqnr_db", "bits_per_weight", "max_abs_err",
           "zero_share", "clip_share", "compute_dtype", "backend", "profile", "requantized",
           "stack"]
NUMBERS = ["w_rel_fro", "w_rel_max", "scale_mean", "scale_max", "bias_mean", "bias_max",
           "scale_abs_mean", "scale_abs_max", "sqnr_db", "bits_per_weight", "max_abs_err",
           "zero_share", "clip_share"]
STORAGE = {"fp16": "F16", "bf16": "BF16", "fp32": "F32"}
ALL_SCHEMES = ([("affine", bits, group) for group in (32, 64, 128)
                for bits in (1, 2, 3, 4, 5, 6, 8)]
               + [("mxfp4", 4, 32), ("mxfp8", 8, 32), ("nvfp4", 4, 16)])


def scheme(mode, bits, group, **more):
    return {"name": f"{mode}_b{bits}_g{group}", "mode": mode, "bits": bits, "group_size": group,
            **more}


def cell(row, column):
    """Of a named tuple or a Series (whose attributes may be methods: mean)."""
    return row[column] if isinstance(row, pd.Series) else getattr(row, column)


def name_of(expert, proj="up_proj", layer=0):
    return f"model.layers.{layer}.mlp.experts.{expert}.{proj}.weight"


def widen_bf16(raw, shape):
    return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)


def e4m3(byte):
    """Value of E4M3 codes 0..127 without NaN: sign 0, exponent bias 7, subnormal step 2^-9."""
    exponent, mantissa = byte >> 3, byte & 7
    return np.where(exponent == 0, mantissa * 2.0**-9, (8 + mantissa) * 2.0**(exponent - 10.0))


def decoded_scales(mode, scales):
    if mode == "affine":
        return scales.astype(np.float64)
    codes = scales.astype(np.int64)
    return 2.0**(codes - 127.0) if mode.startswith("mx") else e4m3(codes)


def affine_codes_before_clamp(x, bits, group):
    """mlx-quantization.md section 3, steps 1 to 5, in float32; [groups, group]."""
    n = np.float32(2**bits - 1)
    g = x.astype(np.float32).reshape(-1, group)
    low, high = g.min(axis=1), g.max(axis=1)
    if bits == 1:
        scale, bias = np.maximum(high - low, np.float32(1e-7)), low
    else:
        scale = np.maximum((high - low) / n, np.float32(1e-7))
        negative = np.abs(low) > np.abs(high)
        scale = np.where(negative, scale, -scale)
        edge = np.where(negative, low, high)
        q0 = np.rint(edge / scale)
        safe = np.where(q0 == 0, np.float32(1), q0)
        scale = np.where(q0 != 0, edge / safe, scale)
        bias = np.where(q0 != 0, edge, np.float32(0))
    return np.rint((g - bias[:, None]) / scale[:, None])


def clip_share(x, mode, bits, group, scales):
    if mode == "affine":
        codes = affine_codes_before_clamp(x, bits, group)
        return ((codes < 0) | (codes > 2**bits - 1)).mean()
    largest = 448 if mode == "mxfp8" else 6
    return (np.abs(x).reshape(-1, group) > largest * scales.reshape(-1, 1)).mean()


def expected(x, mode, bits, group, dtype, floor=None):
    """D24 in float64 of what MLX makes of x; x: float32 values that are exact in dtype."""
    kind = {"fp16": mx.float16, "bf16": mx.bfloat16, "fp32": mx.float32}[dtype]
    with mx.stream(mx.cpu):
        parts = mx.quantize(mx.array(x).astype(kind), group_size=group, bits=bits, mode=mode)
        w_hat = mx.dequantize(*parts, group_size=group, bits=bits, mode=mode, dtype=kind)
        y = np.array(w_hat.astype(mx.float32)).astype(np.float64)
        scales = np.array(parts[1].astype(mx.float32))
        biases = None
        if mode == "affine":
            biases = np.array(parts[2].astype(mx.float32)).astype(np.float64)
    scales = decoded_scales(mode, scales)
    x = x.astype(np.float64)
    d = x - y
    norm, peak = np.sqrt((x**2).sum()) + EPS, np.abs(x).max() + EPS
    if floor is not None:
        norm, peak = max(norm, floor), max(peak, floor)
    sizes = {"affine": bits + 16 * (4 if dtype == "fp32" else 2) / group,
             "mxfp4": 4.25, "mxfp8": 8.25, "nvfp4": 4.5}
    sum_x, sum_d = (x**2).sum(), (d**2).sum()
    return {"w_rel_fro": np.sqrt(sum_d) / norm, "w_rel_max": np.abs(d).max() / peak,
            "max_abs_err": np.abs(d).max(),
            "sqnr_db": round(10 * np.log10(sum_x / sum_d), 9) if sum_x and sum_d else None,
            "scale_mean": scales.mean(), "scale_max": scales.max(),
            "scale_abs_mean": np.abs(scales).mean(), "scale_abs_max": np.abs(scales).max(),
            "bias_mean": None if biases is None else biases.mean(),
            "bias_max": None if biases is None else biases.max(),
            "zero_share": ((x != 0) & (y == 0)).mean(),
            "clip_share": clip_share(x.astype(np.float32), mode, bits, group, scales),
            "bits_per_weight": sizes[mode]}


def mlx_error(shape, mode, bits, group):
    """`Class: text` that mx.quantize gives for a float32 matrix of `shape`."""
    try:
        with mx.stream(mx.cpu):
            mx.eval(*mx.quantize(mx.zeros(shape), group_size=group, bits=bits, mode=mode))
    except Exception as error:  # the class is what is asked for
        return f"{type(error).__name__}: {error}"
    raise AssertionError("MLX accepts this")


class QuantTest(AcceptanceTest):
    def folder(self, matrices, dtype="fp32", name="model"):
        """Writes float32 matrices (expert 0, 1, ...) in storage `dtype`.

        Returns the folder and the values as stored."""
        tensors, stored = {}, []
        for i, w in enumerate(matrices):
            if dtype == "bf16":
                raw = bf16_bytes(w)
                stored.append(widen_bf16(raw, w.shape))
            else:
                held = w.astype(np.float16 if dtype == "fp16" else np.float32)
                raw, w32 = held.tobytes(), held.astype(np.float32)
                stored.append(w32)
            tensors[name_of(i)] = (STORAGE[dtype], w.shape, raw)
        folder = self.tmp / name
        folder.mkdir()
        write_safetensors_raw(folder / "model.safetensors", tensors)
        return folder, stored

    def simulate(self, folder, schemes, name="run", env=None, stats=None, mlx=None, expect=0):
        def edit(config):
            config["quant_schemes"] = schemes
            config["stats"].update(stats or {})
            config["mlx"].update(mlx or {})
            config["metadata"]["enabled"] = False  # no warning about config.json
        self.run_path = self.run_dir(folder, edit, name)
        self.done = self.collect(self.run_path, expect=expect, env=env)
        return self.table(self.run_path, "quant_sim")

    def warnings(self):
        log = self.run_path / "logs"
        if not any((log / f"warnings.{end}").exists() for end in ("parquet", "csv")):
            return []
        return list(self.table(self.run_path, "warnings", folder="logs").warning)

    def check(self, row, want, rtol=1e-9):
        for column, value in want.items():
            got = cell(row, column)
            where = f"{row.scheme} expert {row.expert_id} {column}"
            if value is None:
                self.assertTrue(pd.isna(got), f"{where}: {got}")
            else:
                # Signed affine scales cancel: their mean is compared on the scale of the scales.
                atol = 1e-12 * want.get("scale_abs_mean", 0) if column == "scale_mean" else 0
                if column == "sqnr_db":
                    atol = 1e-8
                np.testing.assert_allclose(got, value, rtol=rtol, atol=atol, err_msg=where)


def as_matrix(tensor):
    """A stack of matrices as one: groups run along the last axis, so nothing else changes."""
    dtype, shape, data = tensor
    return dtype, (int(np.prod(shape[:-1])), shape[-1]), data


def weights(rows=24, cols=256):
    """Expert 0 normal, 1 heavy-tailed, 2 with zeros and constant groups, 3 one-sided."""
    rng = np.random.default_rng(11)
    normal = rng.standard_normal((rows, cols)) * 0.02
    heavy = rng.standard_t(2, (rows, cols)) * 0.05
    special = rng.standard_normal((rows, cols)) * 0.5
    special[0], special[1], special[2, ::3] = 0.0, 0.75, 0.0
    one_sided = -1 - rng.random((rows, cols))
    return [w.astype(np.float32) for w in (normal, heavy, special, one_sided)]


@needs_mlx
class MlxBackend(QuantTest):
    def test_the_plugin_gives_the_rows_of_the_native_quantizer(self):
        schemes = [scheme(*s) for s in ALL_SCHEMES]
        for dtype in STORAGE:
            folder, _ = self.folder(weights(), dtype, name="model-" + dtype)
            native = self.simulate(folder, schemes, name="native-" + dtype)
            real = self.simulate(folder, schemes, name="mlx-" + dtype, mlx={"backend": "mlx"})
            if "mlx is not importable" in self.done.stderr + self.done.stdout:
                self.skipTest("the MLX plugin is not built")
            self.assertEqual(set(real.backend), {"mlx"})
            self.assertEqual(set(real.profile), {f"mlx-{mx.__version__}-cpu"})
            self.assertEqual(len(real), len(native))
            # In 16 bits MLX shows only rounded scales, and codes come from the unrounded ones.
            other = {"backend", "profile"} | (set() if dtype == "fp32" else {"clip_share"})
            same = [c for c in COLUMNS if c not in other]
            pd.testing.assert_frame_equal(real[same], native[same], rtol=1e-12, atol=1e-15)


@needs_mlx
class AgainstMlx(QuantTest):
    def test_every_scheme_and_storage_gives_mlxs_numbers(self):
        schemes = [scheme(*s) for s in ALL_SCHEMES]
        for dtype in STORAGE:
            folder, stored = self.folder(weights(), dtype, name="model-" + dtype)
            table = self.simulate(folder, schemes, name=dtype)
            self.assertEqual(list(table), COLUMNS)
            self.assertEqual(len(table), len(stored) * len(schemes))
            self.assertTrue(table.error.isna().all(), table.error.dropna().unique())
            for row in table.itertuples():
                with self.subTest(dtype=dtype, scheme=row.scheme, expert=row.expert_id):
                    self.assertEqual((row.compute_dtype, row.backend, row.profile),
                                     (dtype, "native", "mlx-cpu"))
                    self.assertFalse(row.requantized)
                    self.check(row, expected(stored[row.expert_id], row.mode, row.bits,
                                             row.group_size, dtype))

    def test_the_compute_dtype_of_the_config_decides(self):
        schemes = [scheme(*s) for s in (("affine", 4, 32), ("affine", 8, 64), ("mxfp4", 4, 32),
                                        ("mxfp8", 8, 32), ("nvfp4", 4, 16))]
        folder, stored = self.folder(weights(), "fp32")
        rounded = {"fp32": lambda w: w, "fp16": lambda w: w.astype(np.float16).astype(np.float32),
                   "bf16": lambda w: widen_bf16(bf16_bytes(w), w.shape)}
        spelled = {"fp32": "FP32", "fp16": "float16", "bf16": " bf16 "}
        for dtype, text in spelled.items():
            table = self.simulate(folder, schemes, name=dtype, stats={"quant_compute_dtype": text})
            self.assertEqual(set(table.compute_dtype), {dtype})
            for row in table.itertuples():
                with self.subTest(dtype=dtype, scheme=row.scheme, expert=row.expert_id):
                    self.check(row, expected(rounded[dtype](stored[row.expert_id]), row.mode,
                                             row.bits, row.group_size, dtype))

    def test_float64_storage_is_simulated_in_fp32(self):
        w = np.random.default_rng(1).standard_normal((8, 64))
        table = self.simulate(self.model({name_of(0): w}), [scheme("affine", 4, 32)])
        row = table.iloc[0]
        self.assertEqual(row.compute_dtype, "fp32")
        self.check(row, expected(w.astype(np.float32), "affine", 4, 32, "fp32"))

    def test_the_denominator_floor_is_honoured(self):
        folder, stored = self.folder(weights()[:1])
        row = self.simulate(folder, [scheme("affine", 4, 32)],
                            stats={"quant_rel_den_floor": 1.0}).iloc[0]
        want = expected(stored[0], "affine", 4, 32, "fp32", floor=1.0)
        self.assertEqual(want["w_rel_max"], want["max_abs_err"])
        self.check(row, want)
        self.assertIn("quant_rel_den_floor",
                      json.dumps(self.log(self.run_path, "run_context.json")))

    def test_schemes_that_cannot_apply_give_mlxs_error_in_every_row(self):
        folder, stored = self.folder([np.ones((8, 96), np.float32)] * 2)
        cases = [scheme("symmetric", 4, 32), scheme("affine", 4, 64), scheme("affine", 7, 32),
                 scheme("affine", 4, 48), scheme("mxfp4", 4, 16), scheme("mxfp4", 8, 32),
                 scheme("mxfp8", 4, 32), scheme("nvfp4", 4, 32), scheme("nvfp4", 8, 16)]
        good = scheme("affine", 4, 32)
        table = self.simulate(folder, [*cases, good], expect=3)
        self.assertEqual(len(table), 2 * (len(cases) + 1))
        for case in cases:
            with self.subTest(case["name"]):
                rows = table[table.scheme == case["name"]]
                want = mlx_error((8, 96), case["mode"], case["bits"], case["group_size"])
                self.assertEqual(list(rows.error), [want] * 2)
                self.assertTrue(want.startswith("ValueError: "))
                self.assertTrue(rows[NUMBERS].isna().all(axis=None))
                lines = [w for w in self.warnings()
                         if f"[quant_sim] scheme={case['name']} failed: " in w]
                self.assertEqual(len(lines), 1)
                self.assertIn("2 matrices", lines[0])
                self.assertIn(want.split(": ", 1)[1], lines[0])
        self.assertTrue(table[table.scheme == good["name"]].error.isna().all())

    def test_a_failing_scheme_warns_once_for_a_whole_bank(self):
        tensors = {"model.layers.0.mlp.experts.up_proj.weight": np.ones((3, 8, 48), np.float32)}
        table = self.simulate(self.model(tensors), [scheme("affine", 4, 32)], expect=3)
        self.assertEqual(len(table), 3)
        self.assertEqual(table.error.nunique(dropna=False), 1)
        self.assertEqual(len([w for w in self.warnings() if "[quant_sim]" in w]), 1)


class NonFinite(QuantTest):
    SCHEMES = [scheme("affine", 4, 32), scheme("mxfp4", 4, 32)]

    def test_non_finite_weights_are_counted_in_the_error(self):
        w = np.ones((4, 64), np.float32)
        w[0, 0], w[1, 1], w[2, 2] = np.nan, np.inf, -np.inf
        table = self.simulate(self.folder([w])[0], self.SCHEMES, expect=3)
        self.assertEqual(list(table.error), ["ValueError: 3 non-finite weights"] * 2)
        self.assertTrue(table[NUMBERS].isna().all(axis=None))

    def test_weights_too_large_for_the_compute_dtype_overflow(self):
        w = np.ones((4, 64), np.float32)
        w[0, :5] = 1e6
        table = self.simulate(self.folder([w])[0], self.SCHEMES,
                              stats={"quant_compute_dtype": "fp16"}, expect=3)
        self.assertEqual(list(table.error), ["OverflowError: 5 weights exceed fp16"] * 2)
        self.assertTrue(table[NUMBERS].isna().all(axis=None))
        self.assertEqual(self.table(self.run_path, "matrix_stats").nonfinite_count.iloc[0], 0)

    def test_a_reconstruction_that_overflows_keeps_the_scales(self):
        # hi - lo is beyond float16: the stored scale is infinite.
        w = np.zeros((1, 32), np.float32)
        w[0, 0], w[0, 1] = 65504, -65504
        row = self.simulate(self.folder([w], "fp16")[0], [scheme("affine", 1, 32)],
                            expect=3).iloc[0]
        self.assertEqual(row.error, "ValueError: non-finite reconstruction")
        self.assertTrue(row[["w_rel_fro", "w_rel_max", "sqnr_db", "max_abs_err"]].isna().all())
        self.assertEqual(row.bias_mean, -65504)
        self.assertEqual(row.bits_per_weight, 2)

    def test_an_all_zero_matrix_has_no_ratio_of_signal_to_noise(self):
        table = self.simulate(self.folder([np.zeros((4, 64), np.float32)])[0], self.SCHEMES)
        self.assertTrue(table.error.isna().all())
        self.assertTrue(table.sqnr_db.isna().all())
        for column in ("w_rel_fro", "w_rel_max", "max_abs_err", "zero_share"):
            self.assertEqual(list(table[column]), [0.0, 0.0], column)
        np.testing.assert_array_equal(table.scale_mean, [np.float64(np.float32(-1e-7)), 1.0])

    def test_an_exact_reconstruction_has_no_ratio_either(self):
        w = np.tile(np.arange(16, dtype=np.float32), (2, 4))  # codes 0..15 of a 4-bit group
        row = self.simulate(self.folder([w])[0], self.SCHEMES[:1]).iloc[0]
        self.assertEqual((row.w_rel_fro, row.max_abs_err), (0.0, 0.0))
        self.assertTrue(np.isnan(row.sqnr_db))


class Rows(QuantTest):
    def test_rows_are_scheme_major_inside_a_bank(self):
        bank = np.random.default_rng(1).standard_normal((3, 64, 64)).astype(np.float32)
        tensors = {f"model.layers.{layer}.mlp.experts.{proj}.weight": bank
                   for layer in (0, 5) for proj in ("up_proj", "down_proj")}
        schemes = [scheme("mxfp8", 8, 32), scheme("affine", 4, 32)]
        table = self.simulate(self.model(tensors), schemes)
        self.assertEqual(
            list(zip(table.layer, table.proj, table.scheme, table.expert_id)),
            [(layer, proj, s["name"], e) for layer in (0, 5) for proj in ("down_proj", "up_proj")
             for s in schemes for e in range(3)])
        self.assertEqual(list(table.block4), [0] * 12 + [1] * 12)
        stats = self.table(self.run_path, "matrix_stats")
        self.assertEqual(set(table.derived_tensor), set(stats.derived_tensor))
        self.assertEqual(list(table["mode"].unique()), ["mxfp8", "affine"])

    def test_disabled_schemes_give_no_rows_and_defaults_are_4_bits_of_32(self):
        folder, _ = self.folder(weights()[:1])
        table = self.simulate(folder, [scheme("affine", 8, 64, enabled=False),
                                       {"name": "plain", "mode": "affine"}])
        self.assertEqual(list(zip(table.scheme, table.bits, table.group_size)),
                         [("plain", 4, 32)])

    def test_duplicate_enabled_scheme_names_are_an_error(self):
        folder, _ = self.folder(weights()[:1])
        twice = scheme("affine", 4, 32)
        run_dir = self.run_dir(folder, lambda c: c.update(quant_schemes=[twice, twice]))
        done = self.collect(run_dir, expect=2)
        self.assertIn("duplicate", done.stderr)
        self.assertIn(twice["name"], done.stderr)
        self.assertEqual(list((run_dir / "data").glob("*.*")), [])

    def test_a_scheme_without_a_mode_and_fractional_bits_are_config_errors(self):
        folder, _ = self.folder(weights()[:1])
        for number, bad in enumerate(({"name": "x"}, {"mode": "affine"},
                                      {"name": "x", "mode": "affine", "bits": 4.5})):
            with self.subTest(bad):
                run_dir = self.run_dir(folder, lambda c: c.update(quant_schemes=[bad]),
                                       f"run{number}")
                done = self.collect(run_dir, expect=2)
                self.assertIn("/quant_schemes/0", done.stderr)

    def test_a_wrong_compute_dtype_or_floor_is_a_config_error(self):
        folder, _ = self.folder(weights()[:1])
        for number, (bad, part) in enumerate((({"quant_compute_dtype": "int8"}, "bf16"),
                                              ({"quant_rel_den_floor": "1"}, "number"),
                                              ({"quant_rel_den_floor": True}, "number"),
                                              ({"quant_rel_den_floor": float("nan")}, "finite"),
                                              ({"quant_rel_den_floor": 0}, "positive"))):
            with self.subTest(bad):
                run_dir = self.run_dir(folder, lambda c: c["stats"].update(bad), f"run{number}")
                done = self.collect(run_dir, expect=2)
                self.assertIn(next(iter(bad)), done.stderr)
                self.assertIn(part, done.stderr)


class Backends(QuantTest):
    NOT_IMPORTABLE = "mlx is not importable; skipping quantization simulations"
    NOWHERE = {"MOESCOPE_MLX_PLUGIN": "/nonexistent/moescope-mlx.so"}
    SCHEMES = [scheme("affine", 4, 32)]

    def few(self, **mlx):
        return self.simulate(self.folder(weights()[:2])[0], self.SCHEMES, **mlx)

    def test_disabled_simulation_writes_the_header_only_without_a_warning(self):
        table = self.few(mlx={"enabled": False})
        self.assertEqual((list(table), len(table)), (COLUMNS, 0))
        self.assertEqual(self.warnings(), [])
        self.assertEqual(len(self.table(self.run_path, "matrix_stats")), 2)

    def test_no_schemes_write_the_header_only_without_a_warning(self):
        table = self.simulate(self.folder(weights()[:1])[0], [])
        self.assertEqual((list(table), len(table)), (COLUMNS, 0))
        self.assertEqual(self.warnings(), [])

    def test_a_plugin_that_does_not_open_skips_the_simulation(self):
        table = self.few(mlx={"backend": "mlx"}, env=self.NOWHERE)
        self.assertEqual((list(table), len(table)), (COLUMNS, 0))
        self.assertIn(self.NOT_IMPORTABLE, self.done.stderr + self.done.stdout)
        self.assertEqual([w for w in self.warnings() if "importable" in w],
                         ["[quant_sim] " + self.NOT_IMPORTABLE])
        self.assertEqual(len(self.table(self.run_path, "matrix_stats")), 2)

    def test_auto_takes_the_native_quantizer_where_no_plugin_opens(self):
        table = self.few(mlx={"backend": "auto"}, env=self.NOWHERE)
        self.assertEqual(list(table.backend), ["native"] * 2)
        self.assertEqual(self.warnings(), [])

    def test_the_environment_overrides_the_backend_of_the_config(self):
        folder, _ = self.folder(weights()[:1])
        table = self.simulate(folder, self.SCHEMES, name="to_mlx",
                              env={**self.NOWHERE, "MOESCOPE_BACKEND": "mlx"})
        self.assertEqual(len(table), 0)
        table = self.simulate(folder, self.SCHEMES, name="to_native", mlx={"backend": "mlx"},
                              env={**self.NOWHERE, "MOESCOPE_BACKEND": "native"})
        self.assertEqual(list(table.backend), ["native"])

    def test_a_config_without_backend_and_profile_is_native_and_follows_the_device(self):
        folder, _ = self.folder(weights()[:1])
        for device, profile in (("cpu", "mlx-cpu"), ("gpu", "mlx-gpu"), (None, "mlx-cpu")):
            with self.subTest(device):
                def old(config):
                    config["mlx"] = {"enabled": True, **({"device": device} if device else {})}
                    config["quant_schemes"] = self.SCHEMES
                run_dir = self.run_dir(folder, old, f"run-{device}")
                self.collect(run_dir)
                table = self.table(run_dir, "quant_sim")
                self.assertEqual(list(table.backend), ["native"])
                self.assertEqual(list(table.profile), [profile])

    def test_every_profile_stands_in_its_rows(self):
        folder, _ = self.folder(weights()[:1])
        for profile in ("mlx-cpu", "mlx-gpu", "mlx-cpu-legacy", "mlx-gpu-legacy"):
            table = self.simulate(folder, self.SCHEMES, name=profile, mlx={"profile": profile})
            self.assertEqual(list(table.profile), [profile])

    def test_profiles_differ_in_an_all_negative_affine_group(self):
        # mlx-quantization.md section 6: 32 values from -1 to -2, float32, 4 bits.
        w = np.linspace(-1, -2, 32, dtype=np.float32)[None]
        folder, _ = self.folder([w])
        scales = {p: self.simulate(folder, self.SCHEMES, name=p,
                                   mlx={"profile": p}).scale_abs_mean.iloc[0]
                  for p in ("mlx-cpu", "mlx-gpu")}
        np.testing.assert_allclose([scales["mlx-cpu"], scales["mlx-gpu"]],
                                   [0.0666667, 0.1333333], rtol=1e-6)

    def test_an_unknown_profile_or_backend_is_a_config_error(self):
        folder, _ = self.folder(weights()[:1])
        for key in ("profile", "backend"):
            run_dir = self.run_dir(folder, lambda c: c["mlx"].update({key: "cuda?"}), key)
            self.assertIn(f"/mlx/{key}", self.collect(run_dir, expect=2).stderr)


class Oracle(QuantTest):
    """The oracle's inputs as checkpoints; its float64 metrics from the real MLX's w_hat."""

    def read_oracle(self, version, file):
        raw = (DATA / "oracle" / version / file).read_bytes()
        length = int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:8 + length])
        header.pop("__metadata__", None)
        data = raw[8 + length:]
        return {name: (info["dtype"], info["shape"], data[slice(*info["data_offsets"])])
                for name, info in header.items()}

    def compare(self, version, files, profile):
        index = json.loads((DATA / "oracle" / version / "index.json").read_text())
        for file in files:
            cases = [c for c in index["cases"] if c["file"] == file]
            self.assertGreater(len(cases), 5, file)
            held = self.read_oracle(version, file)
            folder = self.tmp / version / file
            folder.mkdir(parents=True)
            write_safetensors_raw(folder / "model.safetensors", {
                name_of(i): as_matrix(held[case["name"] + ".w"])
                for i, case in enumerate(cases)})
            first = cases[0]
            table = self.simulate(
                folder, [scheme(first["mode"], first["bits"], first["group_size"])],
                name=f"{version}-{file}", mlx={"profile": profile})
            self.assertEqual(len(table), len(cases))
            rows = {row.expert_id: row for row in table.itertuples()}
            for i, case in enumerate(cases):
                with self.subTest(version=version, file=file, case=case["name"]):
                    self.compare_case(rows[i], case)

    def compare_case(self, row, case):
        self.assertEqual(row.compute_dtype,
                         {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}[case["dtype"]])
        if case["w_contains_nonfinite"]:
            self.assertRegex(row.error, r"^ValueError: \d+ non-finite weights$")
            return
        decoded = "scale_" if case["mode"] == "affine" else "scale_decoded_"
        want = {"scale_mean": case[decoded + "mean"], "scale_max": case[decoded + "max"],
                "scale_abs_mean": case[decoded + "abs_mean"],
                "scale_abs_max": case[decoded + "abs_max"],
                "bias_mean": case["bias_mean"], "bias_max": case["bias_max"]}
        if isinstance(case["w_rel_fro"], str):  # "nan" or "inf"
            self.assertEqual(row.error, "ValueError: non-finite reconstruction")
            want.update(w_rel_fro=None, w_rel_max=None, max_abs_err=None, sqnr_db=None)
        else:
            self.assertTrue(pd.isna(row.error), row.error)
            want.update(w_rel_fro=case["w_rel_fro"], w_rel_max=case["w_rel_max"],
                        max_abs_err=case["max_abs_err"])
        self.check(row, {k: v for k, v in want.items() if not isinstance(v, str)})

    def test_legacy_profile_gives_the_numbers_of_mlx_0_32_0(self):
        self.compare("mlx-0.32.0", [f"{m}_g32_{t}.safetensors" for m in ("mxfp4_b4", "mxfp8_b8")
                                    for t in ("f32", "f16", "bf16")], "mlx-cpu-legacy")

    def test_cpu_profile_gives_the_numbers_of_mlx_0_32_4(self):
        self.compare("mlx-0.32.4", ["affine_b4_g32_bf16.safetensors",
                                    "affine_b8_g64_f16.safetensors",
                                    "affine_b3_g128_f32.safetensors",
                                    "affine_b1_g32_bf16.safetensors",
                                    "mxfp4_b4_g32_bf16.safetensors", "mxfp4_b4_g32_f16.safetensors",
                                    "mxfp8_b8_g32_f32.safetensors", "nvfp4_b4_g16_bf16.safetensors",
                                    "nvfp4_b4_g16_f16.safetensors"], "mlx-cpu")
