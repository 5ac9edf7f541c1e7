"""README's commands, run one after another in one folder as a reader would, each with exit code 0.

`make` is left to .ci/run and tests/examples, mlx-lm's conversion to test_export; the model of the
examples is a small one of the zoo.
"""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
from support import DATA, PROGRAM, AcceptanceTest, write_imatrix

README = DATA.parent.parent / "README.md"
MODEL = "Qwen3-30B-A3B"


def commands():
    """(language, text) of each command: lines of sh blocks, whole python blocks."""
    for language, block in re.findall(
        r"^```(sh|python)\n(.*?)^```$", README.read_text(), re.M | re.S
    ):
        for text in block.replace("\\\n", " ").splitlines() if language == "sh" else [block]:
            if text.strip() and not text.startswith(("#", "make ", "python convert")):
                yield language, text


class Readme(AcceptanceTest):
    def setUp(self):
        super().setUp()
        (self.tmp / "models").mkdir()
        (self.tmp / "models" / MODEL).symlink_to(DATA / "zoo" / "hf4_qwen3_moe")
        ones = np.ones((4, 64), np.float32)  # experts, columns
        write_imatrix(self.tmp / "imatrix.gguf", {"blk.0.ffn_up_exps.weight": (ones, ones[:, 0])})
        (self.tmp / "bin").mkdir()
        (self.tmp / "bin" / "moescope").symlink_to(PROGRAM)
        self.env = {
            **os.environ,
            "HOME": str(self.tmp),
            "EDITOR": "true",
            "PATH": f"{self.tmp / 'bin'}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def test_each_command_follows_from_those_before(self):
        ran = 0
        for language, text in commands():
            with self.subTest(text):
                program = ["bash", "-c"] if language == "sh" else [sys.executable, "-c"]
                done = subprocess.run(
                    [*program, text],
                    cwd=self.tmp,
                    env=self.env,
                    text=True,
                    capture_output=True,
                    timeout=120,
                )
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                ran += 1
        self.assertGreater(ran, 8)
        self.assertEqual(
            [page.stat().st_size > 100_000 for page in self.tmp.rglob("report.html")][:1], [True]
        )
