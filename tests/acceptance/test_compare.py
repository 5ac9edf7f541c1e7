"""`moescope compare`: two checkpoints, weight by weight, whatever they call and how they store them."""

import json
import unittest

import numpy as np
import pandas as pd

from support import DATA, AcceptanceTest, experts, files_of, run, write_gguf

ZOO = DATA / "zoo"
EXPERT = "model.layers.0.mlp.experts.1.up_proj.weight"


class Compare(AcceptanceTest):
    def compare(self, a, b, expect, *arguments):
        """-> (compare.json, compare.parquet)"""
        done = run("compare", a, b, "--out", self.tmp / "out", *arguments)
        self.assertEqual(done.returncode, expect, done.stderr + done.stdout)
        return (json.loads((self.tmp / "out" / "compare.json").read_text()),
                pd.read_parquet(self.tmp / "out" / "compare.parquet"))

    def test_the_same_weights_under_other_names_are_equal(self):
        told, table = self.compare(ZOO / "hf5_qwen3_5_moe_vl", ZOO / "hf5fused_qwen3_5_moe_vl", 0)
        self.assertEqual((told["verdict"], told["complete"], told["routed_experts"]), ("equal", True, 8))
        self.assertEqual(set(table["status"]), {"identical"})
        self.assertEqual(told["roles"]["routed_expert"],
                         {"weights": 24, "identical": 24, "changed": 0, "unread": 0, "rel_distance": 0,
                          "largest_rel_distance": 0})
        self.assertEqual(len(table), 77)

    def test_storage_that_loses_nothing_is_equal(self):
        _, table = self.compare(ZOO / "mlx_gpt_oss_mxfp4", ZOO / "gpt_oss_mxfp4", 0)
        rows = table[table["role"] == "routed_expert"]
        self.assertEqual((set(rows["status"]), set(rows["storage_a"])), ({"identical"}, {"mxfp4"}))

    def test_numbers_of_what_changed(self):
        tensors = experts(count=3, rows=32, cols=64, layers=2)
        a = self.model(tensors, "a")
        changed = {**tensors, EXPERT: tensors[EXPERT] * np.float32(1.5)}
        broken = "model.layers.1.mlp.experts.2.down_proj.weight"
        changed[broken] = changed[broken].copy()
        changed[broken][3, 5] = np.nan
        told, table = self.compare(a, self.model(changed, "b"), 4)
        self.assertEqual(told["verdict"], "differs")
        self.assertEqual(told["changed_experts"],
                         [{"layer": 0, "experts": [1]}, {"layer": 1, "experts": [2]}])
        self.assertEqual([row["tensor_a"] for row in told["worst"]], [broken, EXPERT])
        rows = table.set_index("tensor_a")
        self.assertEqual(list(rows[rows["status"] != "identical"].index), [EXPERT, broken])
        row = rows.loc[EXPERT]
        np.testing.assert_allclose([row["rel_distance"], row["cosine"], row["norm_ratio"]], [0.5, 1, 1.5], rtol=1e-6)
        np.testing.assert_allclose([row["norm_a"], row["max_abs_diff"]],
                                   [np.linalg.norm(tensors[EXPERT].astype(float)),
                                    np.abs(changed[EXPERT].astype(float) - tensors[EXPERT]).max()], rtol=1e-12)
        self.assertEqual((row["layer"], row["number"], row["weight"], row["rows"], row["cols"], row["changed"]),
                         (0, 1, "up_proj", 32, 64, 2048))
        row = rows.loc[broken]
        self.assertEqual((row["status"], row["nonfinite_a"], row["nonfinite_b"], row["changed"]),
                         ("nonfinite", 0, 1, 1))
        self.assertEqual(row["rel_distance"], 0)  # of what is finite

    def test_what_has_no_partner_is_told_and_incomplete(self):
        output = "model.layers.0.self_attn.o_proj.weight"
        tensors = {**experts(count=3, rows=32, cols=64), output: np.ones((32, 64), np.float32)}
        fewer = {k: v for k, v in tensors.items() if "experts.2.down" not in k}
        fewer[output] = fewer[output][:16]
        told, table = self.compare(self.model(tensors, "a"), self.model(fewer, "b"), 3)
        self.assertEqual((told["verdict"], told["complete"]), ("incomplete", False))
        self.assertIn("experts.2.down_proj", told["only_a"][0]["tensor"])
        self.assertTrue(told["only_a"][0]["matrix"])
        self.assertEqual((told["misshapen"][0]["shape_a"], told["misshapen"][0]["shape_b"]), ([32, 64], [16, 64]))
        self.assertEqual((len(table), set(table["status"])), (8, {"identical"}))

    def test_latent_projection_is_compared_head_by_head(self):
        heads, nope, value, rank = 4, 8, 16, 32
        rng = np.random.default_rng(7)
        whole = rng.standard_normal((heads, nope + value, rank)).astype(np.float32)
        rest = experts(count=2, rows=32, cols=64)
        at = "model.layers.0.self_attn."
        a = self.model({**rest, at + "kv_b_proj.weight": whole.reshape(-1, rank)}, "a")
        values = whole[:, nope:].copy()
        values[2] *= -1
        split = {at + "embed_q.weight": whole[:, :nope].swapaxes(1, 2), at + "unembed_out.weight": values}
        b = self.model({**rest, **split}, "b")
        for pair in ((a, b), (b, a)):
            _, table = self.compare(*pair, 4)
            rows = table[table["role"] == "attention"]
            self.assertEqual(len(rows), 2 * heads)
            row = rows[rows["status"] != "identical"].iloc[0]
            self.assertEqual((row["weight"], row["number"], row["rel_distance"]), ("attn_v_b", 2, 2))
            self.assertAlmostEqual(row["cosine"], -1)
            self.assertEqual((rows["status"] == "changed").sum(), 1)

    def test_rows_of_q_and_k_in_the_order_of_llama_cpp_are_not_a_change(self):
        hidden, heads, kv_heads, head = 64, 4, 2, 16
        rng = np.random.default_rng(3)

        def permuted(weight, count):  # LlamaModel.permute of convert_hf_to_gguf.py
            rows = weight.shape[0] // count // 2
            return weight.reshape(count, 2, rows, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)

        q, k, v = (rng.standard_normal((count * head, hidden)).astype(np.float32)
                   for count in (heads, kv_heads, kv_heads))
        bias = rng.standard_normal(heads * head).astype(np.float32)
        made = experts(count=2, rows=hidden, cols=hidden)
        at = "model.layers.0.self_attn."
        config = {"model_type": "mixtral", "num_hidden_layers": 1, "num_local_experts": 2,
                  "num_attention_heads": heads, "num_key_value_heads": kv_heads}
        source = self.model({**made, at + "q_proj.weight": q, at + "k_proj.weight": k, at + "v_proj.weight": v,
                             at + "q_proj.bias": bias}, "hf", config=config)
        stacks = {f"blk.0.ffn_{name}_exps.weight": np.stack([made[f"model.layers.0.mlp.experts.{e}.{name}_proj.weight"]
                                                             for e in range(2)]) for name in ("gate", "up", "down")}
        there = {**stacks, "blk.0.attn_q.weight": permuted(q, heads), "blk.0.attn_k.weight": permuted(k, kv_heads),
                 "blk.0.attn_v.weight": v, "blk.0.attn_q.bias": permuted(bias, heads)}
        for arch, expect in (("llama", 0), ("qwen3moe", 4)):
            gguf = self.tmp / f"{arch}.gguf"
            write_gguf(gguf, there, arch)
            told, table = self.compare(source, gguf, expect)
            changed = {} if expect == 0 else {"attn_q", "attn_k", "attn_q.bias"}
            self.assertEqual(set(table[table["status"] != "identical"]["weight"]), set(changed))
            self.assertEqual((len(table), told["only_a"], told["only_b"]), (10, [], []))
        self.compare(self.tmp / "llama.gguf", source, 0)

    def test_runs_are_joined_by_matrix_and_scheme(self):
        tensors = experts(count=3, rows=32, cols=64)
        changed = {**tensors, EXPERT: tensors[EXPERT] * np.float32(2)}
        runs = []
        for name, model, schemes in (("a", tensors, "q4g32,q8g32"), ("b", changed, "q4g32,mxfp4")):
            done = run("analyze", self.model(model, name), "--out", self.tmp / "runs", "--run-name", name, "-q",
                       "--no-report", "--schemes", schemes)
            self.assertEqual(done.returncode, 0, done.stderr)
            runs.append(self.tmp / "runs" / name / name)
        done = run("compare", *runs, "--out", self.tmp / "out", "--json")
        self.assertEqual(done.returncode, 4, done.stderr)
        told = json.loads((self.tmp / "out" / "compare_runs.json").read_text())
        self.assertEqual(told["metrics"], json.loads(done.stdout)["metrics"])
        self.assertEqual((told["verdict"], told["complete"], told["matrices"]), ("differs", False, 9))
        self.assertEqual((told["schemes_only_a"], told["schemes_only_b"]), (["affine_q8_g32"], ["mxfp4_g32"]))
        metrics = {(one["scheme"], one["metric"]): one for one in told["metrics"]}
        rms = metrics[None, "rms"]
        self.assertEqual((rms["matrices"], rms["equal"], rms["less_in_b"], rms["furthest_at"]),
                         (9, 8, 0, "Layer 0, expert 1, up_proj"))
        self.assertAlmostEqual(rms["furthest"], np.sqrt(np.square(tensors[EXPERT].astype(float)).mean()))
        error = metrics["affine_q4_g32", "w_rel_fro"]  # scaled by two: as large
        self.assertEqual((error["matrices"], error["median_a"]), (9, error["median_b"]))
        table = pd.read_parquet(self.tmp / "out" / "compare_runs.parquet")
        row = table[(table["metric"] == "max_abs") & (table["difference"] != 0)].iloc[0]
        self.assertEqual((row["layer"], row["expert"], row["proj"], row["scheme"], row["b"]),
                         (0, "1", "up_proj", "", 2 * row["a"]))
        self.assertEqual(run("compare", runs[0], runs[0]).returncode, 0)

    def test_files_are_the_same_for_any_number_of_threads(self):
        a, b = ZOO / "hf5fused_deepseek_v3", ZOO / "hf4_deepseek_v3"
        self.compare(a, b, 4, "-j", "1")
        first = files_of(self.tmp / "out")
        self.assertEqual(sorted(first), ["compare.html", "compare.json", "compare.parquet"])
        self.compare(a, b, 4, "-j", "5")
        self.assertEqual(files_of(self.tmp / "out"), first)

    def test_json_and_errors(self):
        done = run("compare", ZOO / "hf4_olmoe", ZOO / "mlx_olmoe_mixed_3_4", "--json")
        told = json.loads(done.stdout)
        self.assertEqual((done.returncode, told["verdict"], told["exit_code"]), (3, "incomplete", 3))
        done = run("compare", ZOO / "hf4_olmoe", self.tmp / "none")
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1))
        self.assertEqual(run("compare", ZOO / "hf4_olmoe").returncode, 2)


if __name__ == "__main__":
    unittest.main()
