"""Quantized storage through `analyze`: columns, requantization, and broken companions."""

import json
import shutil
import unittest

import numpy as np
import safetensors

from support import DATA, AcceptanceTest, run, write_safetensors_raw

ZOO = DATA / "zoo"


class Storage(AcceptanceTest):
    def collect(self, model, schemes, expect=0):
        self.assertEqual(run("init-run", "--root", self.tmp, "--model-id", "m", "--run-name",
                             model.name, "--model-path", model).returncode, 0)
        run_dir = self.tmp / "m" / model.name
        config = json.loads((run_dir / "analysis_config.json").read_text())
        config["quant_schemes"] = schemes
        (run_dir / "analysis_config.json").write_text(json.dumps(config))
        done = run("collect-data", "--run-dir", run_dir)
        self.assertEqual(done.returncode, expect, done.stderr)
        return run_dir

    def test_mx_storage_requantized_with_its_own_mode_has_no_error(self):
        for name, mode, bits in (("gpt_oss_mxfp4", "mxfp4", 4), ("mlx_qwen2_moe_mxfp4", "mxfp4", 4),
                                 ("ct_mxfp4_qwen3_moe", "mxfp4", 4),
                                 ("mlx_gpt_oss_mxfp4", "mxfp4", 4),
                                 ("mlx_qwen3_moe_mxfp8", "mxfp8", 8)):
            with self.subTest(name):
                run_dir = self.collect(ZOO / name, [
                    {"name": "own", "mode": mode, "bits": bits, "group_size": 32}])
                quant = self.table(run_dir, "quant_sim")
                stats = self.table(run_dir, "matrix_stats")
                self.assertEqual(len(quant), len(stats))
                self.assertTrue(quant["requantized"].all())
                self.assertEqual(set(stats["storage"]), {mode})
                self.assertEqual(set(quant["w_rel_fro"]), {0.0})
                self.assertEqual(set(quant["max_abs_err"]), {0.0})

    def test_storage_and_true_bits_stand_in_the_tables(self):
        run_dir = self.collect(ZOO / "fp8_qwen3_moe", [])
        stats = self.table(run_dir, "matrix_stats")
        self.assertEqual(set(stats["storage"]), {"fp8_block128"})
        # 128 x 128 blocks with one float32 each: 8 + 32 / 16384 bits.
        np.testing.assert_allclose(stats["storage_bits_per_weight"], 8 + 32 / 16384, rtol=1e-12)
        health = json.loads((run_dir / "logs/run_health.json").read_text())
        self.assertEqual(health["family"], "qwen3_moe")
        self.assertEqual({(row["proj"], row["experts_per_layer_min"], row["experts_in_config"])
                          for row in health["experts"]},
                         {("gate_proj", 4, 4), ("up_proj", 4, 4), ("down_proj", 4, 4)})

    def test_plain_storage_is_no_requantization(self):
        run_dir = self.collect(ZOO / "hf4_qwen3_moe", [
            {"name": "q4", "mode": "affine", "bits": 4, "group_size": 32}])
        self.assertFalse(self.table(run_dir, "quant_sim")["requantized"].any())

    def test_affine_and_nvfp4_requantize_as_mlx_quantizes_the_decoded_values(self):
        try:
            import mlx.core as mx
        except ImportError:
            raise unittest.SkipTest("MLX is not installed")
        for name, mode, bits, group in (("mlx_qwen3_moe_q4_g64", "affine", 4, 64),
                                        ("mlx_olmoe_nvfp4_global_scale", "nvfp4", 4, 16)):
            with self.subTest(name):
                run_dir = self.collect(ZOO / name, [
                    {"name": "own", "mode": mode, "bits": bits, "group_size": group}])
                quant = self.table(run_dir, "quant_sim").set_index(["layer", "proj", "expert_id"])
                decoded = np.load(ZOO / name / "ref/dequant_f32.npz")
                self.assertGreater(len(decoded.files), 0)
                for key in decoded.files:
                    layer, proj, expert = key.split(".")
                    if expert == "shared":
                        continue
                    row = quant.loc[(int(layer), proj, int(expert))]
                    dtype = {"bf16": mx.bfloat16, "fp16": mx.float16}[row["compute_dtype"]]
                    with mx.stream(mx.cpu):
                        x = mx.array(decoded[key]).astype(dtype)
                        parts = mx.quantize(x, group_size=group, bits=bits, mode=mode)
                        back = mx.dequantize(*parts, group_size=group, bits=bits, mode=mode)
                        x, back = (np.array(a.astype(mx.float32), np.float64) for a in (x, back))
                    want = np.sqrt(((x - back) ** 2).sum() / (x ** 2).sum())
                    np.testing.assert_allclose(row["w_rel_fro"], want, rtol=1e-6, atol=1e-9)

    def broken(self, name, change, said=None):
        """A copy of the zoo's checkpoint with its header's tensors changed, and config.json's words
        about quantization."""
        folder = self.tmp / ("broken_" + name)
        shutil.copytree(ZOO / name, folder, ignore=shutil.ignore_patterns("ref"))
        path = folder / "model.safetensors"
        tensors = {}
        with safetensors.safe_open(path, "np") as file:
            names = list(file.keys())
        raw = path.read_bytes()
        size = int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:8 + size])
        header.pop("__metadata__", None)
        for tensor in names:
            begin, end = header[tensor]["data_offsets"]
            tensors[tensor] = (header[tensor]["dtype"], header[tensor]["shape"],
                               raw[8 + size + begin:8 + size + end])
        change(tensors)
        write_safetensors_raw(path, tensors)
        config = json.loads((folder / "config.json").read_text())
        for key in {"quantization", "quantization_config"} & set(config):
            config[key].update(said or {})
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    def check_refused(self, name, change, refused, words, said=None):
        model = self.broken(name, change, said)
        whole = len(json.loads((ZOO / name / "expected.json").read_text())["experts"])
        run_dir = self.collect(model, [], expect=3)
        unmatched = self.table(run_dir, "unmatched_tensors")
        row = unmatched[unmatched["tensor_name"] == refused].iloc[0]
        for word in words:
            self.assertIn(word, row["reason"])
        stats = self.table(run_dir, "matrix_stats")
        self.assertGreater(len(stats), 0)
        self.assertLess(len(stats), whole)
        self.assertNotIn(refused, set(stats["source_tensor"]))
        health = json.loads((run_dir / "logs/run_health.json").read_text())
        self.assertEqual(health["refused_tensors"], 1)
        self.assertTrue(health["incomplete"])

    def test_a_refused_expert_counts_as_much_as_the_others(self):
        # Its payload is of words that hold eight codes each.
        def no_scales(tensors):
            del tensors[next(name for name in sorted(tensors)
                             if name.endswith("experts.0.up_proj.scales"))]

        run_dir = self.collect(self.broken("gptq_int4_sym_qwen3_moe", no_scales), [], expect=3)
        whole = len(json.loads(
            (ZOO / "gptq_int4_sym_qwen3_moe" / "expected.json").read_text())["experts"])
        health = json.loads((run_dir / "logs/run_health.json").read_text())
        self.assertAlmostEqual(health["expert_coverage"]["share"], 1 - 1 / whole, places=9)

    def test_missing_scales_refuse_their_weight_alone(self):
        def change(tensors):
            tensor = next(t for t in tensors if t.endswith("experts.0.up_proj.weight"))
            change.name = tensor
            del tensors[tensor + "_scale_inv"]
        model = self.broken("fp8_qwen3_moe", change)
        shutil.rmtree(model)
        self.check_refused("fp8_qwen3_moe", change, change.name, ["needs", "found none"])

    def test_truncated_scales_refuse_their_weight_alone(self):
        def change(tensors):
            tensor = next(t for t in tensors if t.endswith("switch_mlp.gate_proj.scales"))
            change.name = tensor.replace("scales", "weight")
            dtype, shape, data = tensors[tensor]
            half = [*shape[:-2], shape[-2] // 2, shape[-1]]
            tensors[tensor] = (dtype, half, data[:len(data) // 2])
        model = self.broken("mlx_qwen3_moe_q4_g64", change)
        shutil.rmtree(model)
        self.check_refused("mlx_qwen3_moe_q4_g64", change, change.name, ["needs", "scales"])

    def test_wrong_group_counts_refuse_their_weight_alone(self):
        def change(tensors):
            tensor = next(t for t in tensors if t.endswith("experts.0.gate_proj.weight_shape"))
            change.name = tensor.replace("shape", "packed")
            tensors[tensor] = ("I64", [2], np.array([64, 1000], "<i8").tobytes())
        model = self.broken("ct_w4a16_qwen3_moe", change)
        shutil.rmtree(model)
        self.check_refused("ct_w4a16_qwen3_moe", change, change.name, ["1000"])

    def test_what_only_values_tell_refuses_its_weight_alone(self):
        def filled(part, value, others=None):
            """The part of one expert of this value alone, and those of all others."""
            def change(tensors):
                names = [name for name in sorted(tensors) if name.endswith("." + part)]
                one = next(name for name in names if name.endswith("experts.0.up_proj." + part))
                for name in names if others is not None else [one]:
                    dtype, shape, _ = tensors[name]
                    word = value if name == one else others
                    tensors[name] = (dtype, shape, np.full(shape, word, "<u4").tobytes())
                return one.replace(part, "qweight")
            return change

        for model, change, said, words in (
                ("gptq_int3_olmoe", filled("g_idx", 1000), {}, ["g_idx", "1000"]),
                ("gptq_int4_sym_qwen3_moe", filled("g_idx", 0), {"desc_act": True},
                 ["X.g_idx needs 32 inputs in group 0", "found 128"]),
                ("gptq_int4_sym_qwen3_moe", filled("qzeros", 0x33333333), {},
                 ["zero points of 8", "found 4"]),
                ("awq_int4_qwen2_moe", filled("qzeros", 0x33333333, 0x88888888),
                 {"zero_point": False}, ["zero points of 8", "found 3"])):
            with self.subTest(words):
                refused = []
                shutil.rmtree(self.broken(model, lambda t: refused.append(change(t))))
                self.check_refused(model, change, refused[0], words, said)
                shutil.rmtree(self.tmp / ("broken_" + model))

    def test_contradictions_refuse_their_weight_alone_and_inspect_names_it(self):
        def first(tensors, ending):
            return next(name for name in sorted(tensors) if name.endswith(ending))

        def one_scale(tensors):  # int8 by channel, of which one scale is left
            name = first(tensors, "experts.0.w1.weight_scale")
            dtype, _, data = tensors[name]
            tensors[name] = (dtype, [1, 1], data[:2 if dtype in ("BF16", "F16") else 4])
            return name.replace("_scale", "")

        def no_g_idx(tensors):
            name = first(tensors, "experts.0.up_proj.g_idx")
            del tensors[name]
            return name.replace("g_idx", "qweight")

        def no_global_scale(tensors):
            name = first(tensors, "experts.0.up_proj.weight_global_scale")
            del tensors[name]
            return name.replace("_global_scale", "_packed")

        def entry_of_other_bits(tensors):
            return first(tensors, "switch_mlp.up_proj.weight")

        def unlike_its_neighbours(tensors):  # nothing is said of it: desc_act is false
            name = first(tensors, "experts.1.up_proj.g_idx")
            del tensors[name]
            return name.replace("g_idx", "qweight")

        def cast_without_scales(tensors):
            name = first(tensors, "experts.1.up_proj.weight")
            _, shape, data = tensors[name]
            del tensors[name + "_scale_inv"]
            tensors[name] = ("BF16", shape, bytes(2 * len(data)))
            return name

        def two_kinds_of_scales(tensors):
            name = first(tensors, "experts.1.up_proj.weight")
            tensors[name + "_scale"] = ("F32", [1], bytes(4))
            return name

        entry = {"language_model.model.layers.1.mlp.switch_mlp.up_proj": {
            "group_size": 64, "bits": 6}}
        for name, change, said, words in (
                ("ct_int8_w8a8_mixtral", one_scale, {}, ["strategy channel", "not 1 x 1"]),
                ("gptq_int4_sym_qwen3_moe", no_g_idx, {"desc_act": True}, ["g_idx", "found none"]),
                ("gptq_int3_olmoe", unlike_its_neighbours, {}, ["g_idx", "3 of 4 neighbours"]),
                ("fp8_qwen3_moe", cast_without_scales, {}, ["neighbours", "plain floats"]),
                ("fp8_qwen3_moe", two_kinds_of_scales, {}, ["no other companions"]),
                ("ct_nvfp4_deepseek_v3", no_global_scale, {}, ["global scale", "found none"]),
                ("mlx_qwen3_moe_q4_g64", entry_of_other_bits, entry, ["6 bits", "4 x 64"])):
            with self.subTest(name):
                refused = []

                def changed(tensors):
                    refused[:] = [change(tensors)]

                model = self.broken(name, changed, said)
                done = run("inspect", model)
                self.assertEqual(done.returncode, 3)
                self.assertIn(refused[0], done.stdout)
                shutil.rmtree(model)
                self.check_refused(name, changed, refused[0], words, said)
                shutil.rmtree(model)

    def test_init_run_writes_the_recognised_preset(self):
        for name, preset in (("hf4_mixtral", "mixtral"), ("gguf_olmoe_mixed", "olmoe"),
                             ("npz_numpy_f16", "jamba")):
            run("init-run", "--root", self.tmp, "--model-id", "p", "--run-name", name,
                "--model-path", ZOO / name)
            config = json.loads((self.tmp / "p" / name / "analysis_config.json").read_text())
            self.assertEqual(config["parsing"]["presets"], preset)

    def test_a_method_that_is_not_read_is_named(self):
        model = self.tmp / "aqlm"
        shutil.copytree(ZOO / "hf4_mixtral", model, ignore=shutil.ignore_patterns("ref"))
        config = json.loads((model / "config.json").read_text())
        config["quantization_config"] = {"quant_method": "aqlm"}
        (model / "config.json").write_text(json.dumps(config))
        run_dir = self.collect(model, [])
        warnings = list(self.table(run_dir, "warnings", folder="logs").warning)
        self.assertTrue(any("quant_method 'aqlm' is not read" in line for line in warnings))
