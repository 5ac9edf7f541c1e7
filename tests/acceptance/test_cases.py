"""tests/data/cases: structures of public bug reports. Their runner compares matrices, numbers, exit
codes and what is said."""

import pathlib
import sys
import unittest

from support import DATA, PROGRAM, AcceptanceTest

CASES = DATA / "cases"
sys.path.insert(0, str(CASES))
import run_cases  # noqa: E402


class Cases(AcceptanceTest):
    """One test for each folder with an expected.json."""


def case_test(folder: pathlib.Path):
    def test(self):
        self.assertEqual(run_cases.check(PROGRAM, str(folder), str(self.tmp), False), [])

    return test


for expected in sorted(CASES.glob("*/expected.json")):
    name = "test_" + expected.parent.name.replace("-", "_")
    setattr(Cases, name, case_test(expected.parent))

if __name__ == "__main__":
    unittest.main()
