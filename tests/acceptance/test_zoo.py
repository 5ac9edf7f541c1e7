"""The checkpoints of tests/data/zoo, as publishing libraries wrote them, through `analyze`.

No rules are written: the template's config, the folder as its library left it."""

import json

import numpy as np

from support import DATA, AcceptanceTest, run



def folders():
    for folder in sorted((DATA / "zoo").iterdir()):
        expected = folder / "expected.json"
        if expected.is_file() and json.loads(expected.read_text()).get("experts"):
            yield folder


class Zoo(AcceptanceTest):
    def analyze(self, name, *more):
        done = run("analyze", DATA / "zoo" / name, "--out", self.tmp, "--model-id", name,
                   "--run-name", "zoo", *more)
        return done, self.tmp / name / "zoo"

    def test_every_checkpoint_gives_exactly_its_expected_matrices(self):
        for folder in folders():
            with self.subTest(folder.name):
                done, run_dir = self.analyze(folder.name)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.compare(json.loads((folder / "expected.json").read_text())["experts"],
                             self.table(run_dir, "matrix_stats"))

    def compare(self, expected, stats):
        self.assertEqual(len(stats), len(expected))
        found = {}
        for row in stats.itertuples():
            key = (row.source_tensor, row.layer, row.proj, row.expert_id,
                   None if row.stack not in ("encoder", "decoder") else row.stack)
            found.setdefault(key, []).append(row)
        for want in expected:
            key = (want["source_tensor"], want["layer"], want["proj"], want["expert_id"],
                   want.get("stack"))
            # Several shared experts in one tensor share a key; they stand in order.
            row = found[key].pop(0)
            self.assertEqual((row.rows, row.cols), (want["rows"], want["cols"]))
            self.assertEqual(row.is_shared_expert, want["is_shared_expert"])
            self.assertEqual(row.is_routed_expert, not want["is_shared_expert"])
            count = want["rows"] * want["cols"]
            np.testing.assert_allclose(row.max_abs, want["max_abs"], rtol=1e-6)
            np.testing.assert_allclose(row.mean * count, want["sum"], rtol=1e-6, atol=1e-7)
            np.testing.assert_allclose(row.rms**2 * count, want["sum_sq"], rtol=1e-6)
        self.assertEqual([rows for rows in found.values() if rows], [])
