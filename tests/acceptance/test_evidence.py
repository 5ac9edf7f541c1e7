"""data/evidence: what importance matrices, counts of tokens and guesses make of a model's errors."""

import json

import numpy as np
import pandas as pd
from support import AcceptanceTest, experts, run, write_imatrix

LAYERS, EXPERTS, WIDTH, HIDDEN = 2, 4, 64, 128
PROJS = ("gate", "up", "down")
SCHEME = {"name": "affine_q4_g32", "mode": "affine", "bits": 4, "group_size": 32, "enabled": True}


class Evidence(AcceptanceTest):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(7)
        self.tensors = experts(EXPERTS, WIDTH, HIDDEN, LAYERS)
        for layer in range(LAYERS):
            norm = rng.uniform(0.5, 1.5, HIDDEN).astype(np.float32)
            self.tensors[f"model.layers.{layer}.post_attention_layernorm.weight"] = norm
        self.entries = {}
        for layer in range(LAYERS):
            counts = rng.integers(50, 200, EXPERTS).astype(np.float32)
            for proj in PROJS:
                columns = WIDTH if proj == "down" else HIDDEN
                squares = rng.lognormal(0, 2, (EXPERTS, columns)).astype(np.float32)
                self.entries[f"blk.{layer}.ffn_{proj}_exps.weight"] = (
                    squares * counts[:, None], counts)

    def test_the_rest_of_the_model_has_them_beside_its_errors(self):
        import mlx.core as mx

        rng = np.random.default_rng(11)
        weight = (rng.standard_normal((HIDDEN, WIDTH)) * 0.02).astype(np.float32)
        self.tensors["model.layers.0.self_attn.o_proj.weight"] = weight
        self.tensors["model.layers.1.self_attn.o_proj.weight"] = weight
        squares = rng.lognormal(0, 2, (1, WIDTH)).astype(np.float32)
        self.entries["blk.0.attn_output.weight"] = (squares * 64, [64.0])
        frame = self.table(self.run_of("--imatrix", self.imatrix()), "dense_quant_sim")
        known, unknown = frame.set_index("layer").loc[0], frame.set_index("layer").loc[1]
        self.assertEqual(known["module"], "model.layers.0.self_attn.o_proj")
        made = np.array(mx.dequantize(*mx.quantize(mx.array(weight), 32, 4), 32, 4), np.float64)
        energy = (squares * weight.astype(np.float64) ** 2).sum()
        error = (squares * (weight.astype(np.float64) - made) ** 2).sum()
        np.testing.assert_allclose(known["energy"], energy, rtol=1e-6)
        np.testing.assert_allclose(known["act_rel_fro"], np.sqrt(error / energy), rtol=1e-6)
        self.assertTrue(np.isnan(unknown["energy"]) and np.isnan(unknown["act_rel_fro"]))

    def run_of(self, *flags, change=None, expect=0, name="run"):
        def config(json_config):
            json_config["quant_schemes"] = [SCHEME]
            json_config["delta_pairs"] = []
            if change is not None:
                change(json_config)
        run_dir = self.run_dir(self.model(self.tensors, name="model-" + name), config, name)
        self.done = self.collect(run_dir, *flags, expect=expect)
        return run_dir

    def imatrix(self, entries=None, name="imatrix.gguf"):
        write_imatrix(self.tmp / name, self.entries if entries is None else entries)
        return self.tmp / name

    def weight(self, layer, expert, proj):
        return self.tensors[f"model.layers.{layer}.mlp.experts.{expert}.{proj}_proj.weight"]

    def test_errors_and_energies_are_those_of_mlx_and_numpy(self):
        import mlx.core as mx

        frame = self.table(self.run_of("--imatrix", self.imatrix()), "evidence")
        self.assertEqual(len(frame), LAYERS * EXPERTS * 3)
        for _, row in frame.iterrows():
            proj = row["proj"].removesuffix("_proj")
            sums, counts = self.entries[f"blk.{row['layer']}.ffn_{proj}_exps.weight"]
            count = float(counts[row["expert_id"]])
            means = sums[row["expert_id"]].astype(np.float64) / count
            weight = self.weight(row["layer"], row["expert_id"], proj)
            codes = mx.quantize(mx.array(weight), 32, 4)
            made = np.array(mx.dequantize(*codes, 32, 4), np.float64)
            energy = (means * weight.astype(np.float64) ** 2).sum()
            error = (means * (weight.astype(np.float64) - made) ** 2).sum()
            self.assertEqual(row["scheme"], "affine_q4_g32")
            self.assertEqual(row["tokens"], count)
            np.testing.assert_allclose(row["token_share"], count / counts.sum(dtype=np.float64), rtol=1e-12)
            np.testing.assert_allclose(row["input_mean_square"], means.mean(), rtol=1e-12)
            np.testing.assert_allclose(row["energy"], energy, rtol=1e-12)
            np.testing.assert_allclose(row["act_rel_fro"], np.sqrt(error / energy), rtol=1e-12)
            self.assertTrue(pd.isna(row["missing"]))

    def test_guesses_are_those_of_the_study(self):
        """E[silu(g)^2] by a sum over 4,001 points, where the program takes a table."""
        frame = self.table(self.run_of(), "evidence").set_index(["layer", "expert_id", "proj"])
        self.assertEqual(set(frame["missing"]), {"no imatrix"})
        for column in ("tokens", "token_share", "input_mean_square", "act_rel_fro", "energy"):
            self.assertTrue(frame[column].isna().all(), column)
        z = np.linspace(-10, 10, 4001)
        density = np.exp(-z * z / 2)
        density /= density.sum()
        for layer in range(LAYERS):
            norm = self.tensors[f"model.layers.{layer}.post_attention_layernorm.weight"]
            for expert in range(EXPERTS):
                variance = {}
                for proj in ("gate", "up"):
                    weight = self.weight(layer, expert, proj).astype(np.float64)
                    variance[proj] = (weight ** 2 * norm.astype(np.float64) ** 2).sum(axis=1)
                    np.testing.assert_allclose(
                        frame.loc[(layer, expert, proj + "_proj"), "guessed_energy"],
                        variance[proj].sum(), rtol=1e-12)
                gate = np.sqrt(variance["gate"])[:, None] * z
                silu = ((gate / (1 + np.exp(-gate))) ** 2 * density).sum(axis=1)
                down = self.weight(layer, expert, "down").astype(np.float64)
                np.testing.assert_allclose(
                    frame.loc[(layer, expert, "down_proj"), "guessed_energy"],
                    ((down ** 2).sum(axis=0) * silu * variance["up"]).sum(), rtol=1e-4)

    def test_several_files_add_up_and_usage_counts_tokens(self):
        first, second = {}, {}
        for name, (sums, counts) in self.entries.items():
            first[name] = (sums * 0.25, counts * 0.25)
            second[name] = (sums * 0.75, counts * 0.75)
        usage = self.tmp / "usage.csv"
        usage.write_text("layer,expert,tokens\n" + "".join(
            f"{layer},{expert},{10 * expert}\n" for layer in range(LAYERS)
            for expert in range(EXPERTS)))
        whole = self.table(self.run_of("--imatrix", self.imatrix(), name="whole"), "evidence")
        parts = self.table(self.run_of(
            "--imatrix", self.imatrix(first, "a.gguf"), "--imatrix", self.imatrix(second, "b.gguf"),
            "--usage", usage, name="parts"), "evidence")
        np.testing.assert_allclose(parts["act_rel_fro"], whole["act_rel_fro"], rtol=1e-6)
        self.assertEqual(list(parts["tokens"]), [10.0 * e for e in parts["expert_id"]])
        np.testing.assert_allclose(parts["token_share"], parts["expert_id"] / 6)

    def test_experts_that_no_token_reached_are_null_with_the_reason(self):
        for proj in PROJS:
            sums, counts = map(np.copy, self.entries[f"blk.1.ffn_{proj}_exps.weight"])
            counts[2], sums[2] = 0, 0
            self.entries[f"blk.1.ffn_{proj}_exps.weight"] = (sums, counts)
        del self.entries["blk.0.ffn_down_exps.weight"]
        frame = self.table(self.run_of("--imatrix", self.imatrix()), "evidence")
        missing = frame[frame["missing"].notna()].set_index(["layer", "expert_id", "proj"])
        self.assertEqual(len(missing), 3 + EXPERTS)
        for proj in PROJS:
            row = missing.loc[(1, 2, proj + "_proj")]
            self.assertEqual(row["missing"], "never routed in calibration")
            self.assertTrue(np.isnan(row["act_rel_fro"]) and np.isnan(row["energy"]))
            self.assertEqual(row["tokens"], 0)
        self.assertEqual(set(missing.loc[0]["missing"]), {"no entry in the imatrix"})

    def test_nothing_depends_on_threads_and_more_schemes_keep_what_was_measured(self):
        imatrix, model = self.imatrix(), self.model(self.tensors)
        frames = []
        for name, calls in (("one", [("q4g32,q6g64", "1")]), ("four", [("q4g32,q6g64", "4")]),
                            ("later", [("q4g32", "2"), ("q4g32,q6g64", "2")])):
            for schemes, threads in calls:
                done = run("analyze", model, "-o", self.tmp / "out", "--run-name", name,
                           "--schemes", schemes, "-j", threads, "--no-report",
                           *(["--imatrix", imatrix] if schemes == calls[0][0] else []))
                self.assertEqual(done.returncode, 0, done.stderr)
            frames.append(self.table(self.tmp / "out/model" / name, "evidence"))
        self.assertEqual(len(frames[0]), LAYERS * EXPERTS * 3 * 2)
        self.assertTrue(frames[0].equals(frames[1]))
        self.assertTrue(frames[0].equals(frames[2]))
        self.assertTrue(frames[2]["act_rel_fro"].notna().all())
        config = json.loads((self.tmp / "out/model/later/analysis_config.json").read_text())
        self.assertEqual(config["evidence"],
                         {"enabled": True, "imatrix": [str(imatrix)], "usage": []})

    def test_a_config_without_the_section_has_no_such_table(self):
        run_dir = self.run_of(change=lambda config: config.pop("evidence"))
        self.assertFalse((run_dir / "data/evidence.parquet").exists())
        self.collect(run_dir, "--imatrix", self.imatrix())
        self.assertTrue((run_dir / "data/evidence.parquet").exists())
        self.collect(run_dir)  # the config keeps the file
        self.assertTrue(self.table(run_dir, "evidence")["energy"].notna().all())

    def test_evidence_of_another_model_writes_nothing(self):
        other = {name.replace("blk.", "blk.9"): values for name, values in self.entries.items()}
        narrow = {name: (sums[:, :32], counts) for name, (sums, counts) in self.entries.items()}
        (self.tmp / "no.gguf").write_bytes(b"GGUF")
        for number, path in enumerate((self.imatrix(other), self.imatrix(narrow, "n.gguf"),
                                       self.tmp / "no.gguf", self.tmp / "none.gguf")):
            with self.subTest(path=path.name):
                run_dir = self.run_of("--imatrix", path, expect=1, name=f"bad{number}")
                lines = [line for line in self.done.stderr.splitlines() if "error" in line]
                self.assertEqual(len(lines), 1, self.done.stderr)
                self.assertIn(path.name, lines[0])
                self.assertEqual(list((run_dir / "data").glob("*")), [])
                config = json.loads((run_dir / "analysis_config.json").read_text())
                self.assertEqual(config["evidence"]["imatrix"], [])
                self.assertEqual(list((run_dir / "logs").glob("*")), [])
        flags = ("analyze", self.model(self.tensors), "-o", self.tmp / "new", "--schemes", "q4", "--no-report")
        self.assertEqual(run(*flags, "--imatrix", self.tmp / "no.gguf").returncode, 1)
        self.assertFalse((self.tmp / "new").exists())
        self.assertEqual(run(*flags).returncode, 0)
        before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in (self.tmp / "new").rglob("*")}
        for more in ((), ("--fresh",)):
            self.assertEqual(run(*flags, *more, "--imatrix", self.tmp / "no.gguf").returncode, 1)
            self.assertEqual({path: (path.stat().st_mtime_ns, path.stat().st_size)
                              for path in (self.tmp / "new").rglob("*")}, before)
