"""How files are read ahead, and how work is spread, changes no byte of the tables."""

import unittest

import ml_dtypes
import numpy as np
import pandas
from safetensors.numpy import save_file

from support import AcceptanceTest, run


class Reading(AcceptanceTest):
    def setUp(self):
        super().setUp()
        self.model = self.tmp / "model"
        self.model.mkdir()
        rng = np.random.default_rng(5)
        # One matrix of 17 M elements, so that threads work inside it, and small ones beside it.
        weights = {f"model.layers.0.mlp.experts.{expert}.{proj}.weight":
                   (rng.standard_normal(shape) * 0.02).astype(ml_dtypes.bfloat16)
                   for expert in range(3)
                   for proj, shape in (("gate_proj", (64, 128)), ("up_proj", (64, 128)),
                                       ("down_proj", (128, 64)))}
        weights["model.layers.1.mlp.experts.0.up_proj.weight"] = (
            rng.standard_normal((4200, 4096)) * 0.02).astype(ml_dtypes.bfloat16)
        save_file(weights, self.model / "model.safetensors")

    def tables(self, name, *flags):
        run_dir = self.run_dir(self.model, name=name)
        done = run("collect-data", "--run-dir", run_dir, *flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.table(run_dir, "matrix_stats"), self.table(run_dir, "quant_sim")

    def test_tables_are_the_same_for_every_way_of_reading_and_number_of_threads(self):
        stats, quant = self.tables("reference", "--io", "mmap", "--threads", "1")
        self.assertEqual(len(stats), 10)
        self.assertEqual(len(quant), 30)
        self.assertFalse(quant["w_rel_fro"].isna().any())
        for name, flags in {"read": ("--io", "read", "--threads", "1"),
                            "threads": ("--io", "auto", "--threads", "3"),
                            "both": ("--io", "read", "--threads", "2")}.items():
            with self.subTest(name):
                again_stats, again_quant = self.tables(name, *flags)
                pandas.testing.assert_frame_equal(again_stats, stats, check_exact=True)
                pandas.testing.assert_frame_equal(again_quant, quant, check_exact=True)

    def test_an_unknown_way_of_reading_is_refused(self):
        done = run("collect-data", "--run-dir", self.tmp, "--io", "carrier-pigeon")
        self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    unittest.main()
