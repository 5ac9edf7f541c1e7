"""data/dense_stats and data/dense_quant_sim: the weights outside the experts (scan.dense_weights)."""

import json
import shutil

import numpy as np
import pandas as pd
import safetensors.numpy

from support import DATA, AcceptanceTest, bf16_bytes, experts, run, write_safetensors_raw
from test_quant import expected as expected_error
from test_quant import needs_mlx
from test_stats import expected as expected_stats

QWEN = DATA / "zoo/hf4_qwen3_moe"
IDENTITY = ["file", "source_tensor", "module", "role", "layer", "rows", "cols"]


def bf16_tensors(path):
    """name -> float32 values of a safetensors file that holds bfloat16 alone."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:end]).items():
        if name == "__metadata__":
            continue
        begin, stop = entry["data_offsets"]
        raw = np.frombuffer(data[end + begin:end + stop], "<u2").astype(np.uint32) << 16
        tensors[name] = raw.view(np.float32).reshape(entry["shape"])
    return tensors


class DenseTest(AcceptanceTest):
    def dense(self, model, dense=True, name="run", schemes=None, expect=0, more=()):
        """Runs collect-data; gives the run directory."""
        def edit(config):
            config["scan"]["dense_weights"] = dense
            if schemes is not None:
                config["quant_schemes"] = schemes
                config["delta_pairs"] = []
        run_dir = self.run_dir(model, edit, name)
        self.collect(run_dir, *more, expect=expect)
        return run_dir

    def both(self, run_dir):
        return self.table(run_dir, "dense_stats"), self.table(run_dir, "dense_quant_sim")


@needs_mlx
class Numbers(DenseTest):
    def check(self, stats, quant, values):
        """`values`: of each weight by its module."""
        self.assertEqual(len(stats), len(values))
        for row in stats.itertuples():
            want = expected_stats(values[row.module])
            for column, number in want.items():
                np.testing.assert_allclose(getattr(row, column), number, rtol=1e-9, atol=1e-15,
                                           err_msg=f"{row.module} {column}")
            self.assertEqual((row.rows, row.cols), values[row.module].shape)
        for row in quant[quant.error.isna()].itertuples():
            rounded = np.frombuffer(bf16_bytes(values[row.module]), "<u2").astype(np.uint32) << 16
            want = expected_error(rounded.view(np.float32).reshape(row.rows, row.cols), row.mode, row.bits, row.group_size,
                                  "bf16")
            self.assertEqual(row.compute_dtype, "bf16")
            for column in ("w_rel_fro", "w_rel_max", "max_abs_err", "bits_per_weight"):
                np.testing.assert_allclose(getattr(row, column), want[column], rtol=1e-9,
                                           err_msg=f"{row.module} {row.scheme} {column}")

    def test_of_bfloat16_weights_are_numpys_and_mlxs(self):
        values = {name.removesuffix(".weight"): value
                  for name, value in bf16_tensors(QWEN / "model.safetensors").items()
                  if value.ndim == 2 and ".experts." not in name}
        stats, quant = self.both(self.dense(QWEN))
        self.assertEqual(len(stats), 17)
        self.check(stats, quant, values)
        # 48 columns are no groups of 32: each scheme says so, in a row.
        failed = quant[quant.error.notna()]
        self.assertEqual(set(failed.module), {f"model.layers.{i}.self_attn.o_proj" for i in range(3)})
        self.assertEqual(len(failed), 3 * 3)

    def test_of_mlxs_packed_heads_are_those_of_all_their_rows(self):
        folder = DATA / "zoo/mlx_deepseek_v3_q4_g64"
        module = "model.layers.1.self_attn.unembed_out"
        with safetensors.safe_open(folder / "model.safetensors", "np") as file:
            words = file.get_tensor(module + ".weight")
        data = (folder / "model.safetensors").read_bytes()
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])

        def bf16(name):
            begin, stop = header[name]["data_offsets"]
            raw = np.frombuffer(data[end + begin:end + stop], "<u2").astype(np.uint32) << 16
            return np.repeat(raw.view(np.float32).reshape(header[name]["shape"]), 64, -1)
        codes = (words[..., None] >> (4 * np.arange(8, dtype=np.uint32))) & 15
        values = codes.reshape(*words.shape[:-1], -1).astype(np.float32)
        values = values * bf16(module + ".scales") + bf16(module + ".biases")
        stats, quant = self.both(self.dense(folder))
        row, = stats[stats.module == module].itertuples()
        self.assertEqual((row.rows, row.cols, row.storage, row.storage_bits_per_weight),
                         (128, 64, "affine_q4_g64", 4.5))
        one = stats[stats.module == module], quant[quant.module == module]
        self.check(*one, {module: values.reshape(128, 64)})
        self.assertTrue(one[1].requantized.all())


class Tables(DenseTest):
    def test_name_module_role_and_layer_in_place_of_the_expert(self):
        run_dir = self.dense(QWEN)
        stats, quant = self.both(run_dir)
        self.assertEqual(list(stats)[:8], IDENTITY + ["dtype"])
        self.assertEqual(list(stats)[8:], list(self.table(run_dir, "matrix_stats"))[12:])
        self.assertEqual(list(quant)[:7], IDENTITY)
        self.assertEqual(list(quant)[7:], [*list(self.table(run_dir, "quant_sim"))[10:],
                                           "act_rel_fro", "energy", "guessed_energy"])
        router = stats[stats.module == "model.layers.2.mlp.gate"].iloc[0]
        self.assertEqual((router.role, router.layer, router.source_tensor, router.storage),
                         ("router", 2, "model.layers.2.mlp.gate.weight", "bfloat16"))
        self.assertEqual(stats.role.value_counts().to_dict(),
                         {"attention": 12, "router": 3, "embedding": 2})
        # Weight by weight, its schemes in the order of the config.
        self.assertEqual(list(quant.module), [m for m in stats.module for _ in range(3)])
        self.assertEqual(list(quant.scheme[:3]), ["affine_q4_g32", "mxfp4_g32", "affine_q8_g32"])

    def test_leave_the_experts_tables_as_they_are_without_them(self):
        alone, beside = self.dense(QWEN, False, "alone"), self.dense(QWEN, True, "beside")
        for name in ("matrix_stats", "quant_sim", "tensor_inventory", "unmatched_tensors"):
            pd.testing.assert_frame_equal(self.table(alone, name), self.table(beside, name))
        self.assertFalse(any((alone / "data").glob("dense*")))

    def test_are_told_in_the_logs_and_go_when_they_are_not_wanted_any_more(self):
        run_dir = self.dense(QWEN)
        written = self.log(run_dir, "run_health.json")["outputs_written"]
        self.assertEqual((written["dense_stats_rows"], written["dense_quant_sim_rows"]), (17, 51))
        artifacts = self.log(run_dir, "write_manifest.json")["artifacts"]
        self.assertEqual(artifacts["dense_stats"]["path"], "data/dense_stats.parquet")
        path = run_dir / "analysis_config.json"
        config = json.loads(path.read_text())
        del config["scan"]["dense_weights"]
        path.write_text(json.dumps(config))
        self.collect(run_dir)
        self.assertFalse(any((run_dir / "data").glob("dense*")))
        self.assertNotIn("dense_stats_rows", self.log(run_dir, "run_health.json")["outputs_written"])

    def test_are_summed_up_by_role_and_scheme(self):
        run_dir = self.dense(QWEN)
        for done in (run("build-tables", "--run-dir", run_dir),
                     run("show", "--run-dir", run_dir, "--format", "json")):
            self.assertEqual(done.returncode, 0, done.stderr)
        summary = self.table(run_dir, "C_dense_global_summary", "tables")
        quant = self.table(run_dir, "dense_quant_sim")
        want = quant.groupby(["role", "scheme"])
        self.assertEqual(list(zip(summary.role, summary.scheme)), sorted(want.groups))
        for row in summary.itertuples():
            errors = want.get_group((row.role, row.scheme)).w_rel_fro
            self.assertEqual(row.n, len(errors))
            got = (row.w_rel_fro__min, row.w_rel_fro__median, row.w_rel_fro__max)
            np.testing.assert_allclose(got, (errors.min(), errors.median(), errors.max()))
        shown = json.loads(done.stdout)["C_dense_global_summary"]
        self.assertEqual([row["role"] for row in shown], list(summary.role))
        # A run that does not measure them any more has no such table either.
        (run_dir / "data" / "dense_quant_sim.parquet").unlink()
        self.assertEqual(run("build-tables", "--run-dir", run_dir).returncode, 0)
        self.assertFalse((run_dir / "tables" / "C_dense_global_summary.parquet").exists())

    def test_do_not_depend_on_the_number_of_threads(self):
        one, four = (self.dense(DATA / "zoo/gguf_deepseek2_q8_0_shared", name="run" + threads,
                                more=("--threads", threads)) for threads in ("1", "4"))
        for name in ("dense_stats", "dense_quant_sim", "matrix_stats", "quant_sim"):
            pd.testing.assert_frame_equal(self.table(one, name), self.table(four, name))

    def test_of_further_schemes_are_all_that_is_measured(self):
        def analyze(out, schemes):
            done = run("analyze", QWEN, "--out", self.tmp / out, "--schemes", schemes, "--no-report",
                       "-v", "--model-id", "m", "--run-name", "r")
            self.assertEqual(done.returncode, 0, done.stderr)
            return done, self.tmp / out / "m" / "r"
        analyze("again", "q4g32,mxfp4")
        done, again = analyze("again", "nvfp4,q4g32")
        self.assertIn("measured before: 1 of 2", done.stdout)
        for table, fresh in zip(self.both(again), self.both(analyze("fresh", "nvfp4,q4g32")[1])):
            pd.testing.assert_frame_equal(table, fresh)


class Odd(DenseTest):
    def written(self, attention):
        """A model whose q_proj is `attention`: dtype, shape, bytes."""
        tensors = {name: ("F32", value.shape, value.tobytes())
                   for name, value in experts(count=1).items()}
        tensors["model.layers.0.self_attn.q_proj.weight"] = attention
        (self.tmp / "odd").mkdir()
        write_safetensors_raw(self.tmp / "odd" / "model.safetensors", tensors)
        return self.tmp / "odd"

    def test_weights_that_cant_be_decoded_are_unmatched_and_end_with_3(self):
        run_dir = self.dense(self.written(("I8", (4, 32), bytes(4 * 32))), expect=3)
        self.assertEqual(len(self.table(run_dir, "dense_stats")), 0)
        row, = self.table(run_dir, "unmatched_tensors").itertuples()
        self.assertEqual(row.tensor_name, "model.layers.0.self_attn.q_proj.weight")
        self.assertIn("int8", row.reason)
        self.assertIn("q_proj.weight is not analysed", "\n".join(self.table(run_dir, "warnings", "logs").warning))
        self.assertEqual(self.log(run_dir, "run_health.json")["refused_tensors"], 1)
        self.dense(self.tmp / "odd", False, "off")

    def test_weights_that_are_no_numbers_leave_their_count(self):
        values = np.ones((4, 32), np.float32)
        values[1, 1] = np.nan
        run_dir = self.dense(self.written(("F32", (4, 32), values.tobytes())))
        row, = self.table(run_dir, "dense_stats").itertuples()
        self.assertEqual(row.nonfinite_count, 1)
        self.assertTrue(np.isnan(row.rms))
        self.assertIn("[stats] model.layers.0.self_attn.q_proj has 1 non-finite weights",
                      list(self.table(run_dir, "warnings", "logs").warning))

    def test_weights_that_only_their_values_show_to_be_broken_are_refused_alone(self):
        source = DATA / "zoo/gptq_int4_sym_qwen3_moe"
        folder = self.tmp / "broken"
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("ref"))
        path, = folder.glob("*.safetensors")
        tensors = dict(safetensors.numpy.load_file(path))
        name = "model.layers.1.self_attn.o_proj.g_idx"
        tensors[name] = tensors[name] + 1000
        safetensors.numpy.save_file(tensors, path)
        run_dir = self.dense(folder, expect=3)
        row, = self.table(run_dir, "unmatched_tensors").itertuples()
        self.assertIn("self_attn.o_proj.qweight", row.tensor_name)
        modules = set(self.table(run_dir, "dense_stats").module)
        self.assertNotIn("model.layers.1.self_attn.o_proj", modules)
        self.assertIn("model.layers.0.self_attn.o_proj", modules)
        self.assertEqual(len(self.table(run_dir, "matrix_stats")),
                         json.loads((source / "expected.json").read_text())["expert_matrices"])
        coverage = self.log(run_dir, "run_health.json")["expert_coverage"]
        self.assertEqual(coverage["share"], 1)
