"""The checkpoints of tests/data/zoo, as publishing libraries wrote them, through `analyze`."""

import json

import numpy as np

from support import DATA, AcceptanceTest, run

# Plain storage, places that rules and names find: exactly the matrices of expected.json.
EXACT = ["hf4_qwen3_moe", "hf4_qwen3_moe_sharded", "hf4_qwen2_moe", "hf4_olmoe", "hf4_mixtral",
         "hf4_deepseek_v2", "hf4_deepseek_v3", "hf4_ernie4_5_moe", "hf4_jamba",
         "mlx_qwen3_moe_bf16", "npz_numpy_f16", "npz_numpy_compressed_f32", "npz_mlx_savez_f16"]


class Zoo(AcceptanceTest):
    def analyze(self, name):
        done = run("analyze", DATA / "zoo" / name, "--out", self.tmp, "--model-id", name,
                   "--run-name", "zoo")
        return done, self.tmp / name / "zoo"

    def test_plain_checkpoints_give_exactly_the_expected_matrices(self):
        for name in EXACT:
            with self.subTest(name):
                done, run_dir = self.analyze(name)
                self.assertEqual(done.returncode, 0, done.stderr)
                expected = json.loads((DATA / "zoo" / name / "expected.json").read_text())["experts"]
                stats = self.table(run_dir, "matrix_stats")
                self.assertEqual(len(stats), len(expected))
                found = {(r.source_tensor, r.layer, r.proj, r.expert_id): r
                         for r in stats.itertuples()}
                self.assertEqual(len(found), len(expected), "a matrix stands twice")
                for want in expected:
                    row = found[want["source_tensor"], want["layer"], want["proj"],
                                want["expert_id"]]
                    count = want["rows"] * want["cols"]
                    self.assertEqual((row.rows, row.cols), (want["rows"], want["cols"]))
                    self.assertEqual(row.is_shared_expert, want["is_shared_expert"])
                    self.assertEqual(row.is_routed_expert, not want["is_shared_expert"])
                    self.assertEqual(row.max_abs, want["max_abs"])
                    np.testing.assert_allclose(row.mean * count, want["sum"], rtol=1e-6, atol=1e-9)
                    np.testing.assert_allclose(row.rms**2 * count, want["sum_sq"], rtol=1e-6)

    def test_every_other_checkpoint_ends_well_and_says_what_it_lacks(self):
        for folder in sorted((DATA / "zoo").iterdir()):
            if folder.name in EXACT or not folder.is_dir():
                continue
            with self.subTest(folder.name):
                done, run_dir = self.analyze(folder.name)
                self.assertIn(done.returncode, (0, 1, 3), done.stderr)
                if done.returncode == 1:  # a container that no reader has yet: one line says so
                    self.assertEqual(len(done.stderr.strip().splitlines()[-1:]), 1)
                    self.assertIn("not read yet", done.stderr)
                    continue
                lacking = self.table(run_dir, "unmatched_tensors")
                experts = json.loads((folder / "expected.json").read_text())["experts"]
                analysed = self.table(run_dir, "matrix_stats")
                if len(analysed) < len(experts):
                    self.assertGreater(len(lacking), 0, "experts are missing without a reason")
                self.assertFalse(lacking["reason"].isna().any())
