"""`make install` and `make uninstall`: what the one puts somewhere the other takes away, nothing else."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

CMAKE = os.environ["MOE_CMAKE"]
UNINSTALL = Path(os.environ["MOE_SOURCE"]) / "cmake/Uninstall.cmake"


def uninstall(prefix):
    return subprocess.run([CMAKE, "-D", f"PREFIX={prefix}", "-P", UNINSTALL], capture_output=True)


class Install(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.prefix = Path(folder.name) / "prefix"

    def files(self):
        return {
            str(path.relative_to(self.prefix)) for path in self.prefix.rglob("*") if path.is_file()
        }

    def test_what_was_installed_is_removed_and_only_that(self):
        others = {"bin/other", "include/moescope/mine.h"}
        for name in others:
            (self.prefix / name).parent.mkdir(parents=True, exist_ok=True)
            (self.prefix / name).write_text("mine")
        subprocess.run(
            [CMAKE, "--install", os.environ["MOE_BUILD"], "--prefix", self.prefix],
            check=True,
            capture_output=True,
        )
        program = self.prefix / "bin/moescope"
        done = subprocess.run([program, "--version"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("include/moescope/measure.h", self.files())

        self.assertEqual(uninstall(self.prefix).returncode, 0)
        self.assertEqual(self.files(), others)
        self.assertFalse((self.prefix / "lib/moescope").exists())

    def test_a_folder_without_an_installation_is_left_alone(self):
        self.prefix.mkdir()
        (self.prefix / "moescope").write_text("mine")
        self.assertNotEqual(uninstall(self.prefix).returncode, 0)
        self.assertEqual(self.files(), {"moescope"})

    def test_a_list_that_names_files_elsewhere_removes_nothing(self):
        folder = self.prefix / "lib/moescope"
        folder.mkdir(parents=True)
        (self.prefix / "kept").write_text("mine")
        outside = self.prefix.parent / "outside"
        outside.write_text("mine")
        (folder / "installed-files.txt").write_text("kept\n../outside\n")
        self.assertNotEqual(uninstall(self.prefix).returncode, 0)
        self.assertTrue((self.prefix / "kept").exists() and outside.exists())


if __name__ == "__main__":
    unittest.main()
