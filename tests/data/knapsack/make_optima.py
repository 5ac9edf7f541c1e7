"""Writes optima.json: what HiGHS (PyPI highspy 1.16.0) finds for seeded instances of the sizes of real models.

    pip install highspy==1.16.0 && python make_optima.py

tests/recipe/knapsack_test.cc makes the same instances from the same seeds and must find the same optima.
"""
import json
from pathlib import Path

import highspy

BITS = [2.5, 3.25, 3.5, 4.25, 4.5, 4.5, 5.0, 5.5, 6.5, 8.25, 8.5, 16.0]  # per weight, by scheme
ERROR = [0.39, 0.22, 0.19, 0.115, 0.096, 0.091, 0.081, 0.0445, 0.0225, 0.0264, 0.0085, 0.0]
EXPERTS = [2 * 256 * 2048 * 7168, 256 * 2048 * 7168, 3 * 2048 * 7168]  # weights of the units of a layer


class Random:
    """Knuth's MMIX generator: the same numbers in Python and C++."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % n


def units_of(case):
    """A list of (bytes, cost) for each unit."""
    random = Random(case["seed"])
    units = []
    for u in range(3 * case["layers"] + case["dense"]):
        weights = EXPERTS[u % 3] if u < 3 * case["layers"] else (1 + random.below(20)) * 4194304
        energy = (1 + random.below(1000)) / 100.0
        unit = []
        for bits, error in zip(BITS, ERROR):
            size = int(weights * bits) // 8 + (random.below(weights // 100) if case["jitter"] else 0)
            unit.append((size, energy * (error * error) * (1.0 + random.below(1000) / 5000.0)))
        units.append(unit)
    return units


def budget_of(units, part):
    least = sum(min(size for size, _ in unit) for unit in units)
    most = sum(max(size for size, _ in unit) for unit in units)
    return least + (most - least) // 100 * part


def optimum(units, budget):
    """The bytes and cost of HiGHS's choice, added up again in whole bytes and in the order of the units."""
    model = highspy.Highs()
    for key, value in {"output_flag": False, "mip_rel_gap": 0.0, "mip_abs_gap": 0.0, "threads": 1}.items():
        model.setOptionValue(key, value)
    taken = [[model.addBinary(obj=cost) for _, cost in unit] for unit in units]
    for row in taken:
        model.addConstr(sum(row[1:], start=row[0] * 1) == 1)
    scale = 2**20
    terms = [size / scale * x for unit, row in zip(units, taken) for (size, _), x in zip(unit, row)]
    model.addConstr(model.qsum(terms) <= budget / scale)
    model.run()
    assert model.getModelStatus() == highspy.HighsModelStatus.kOptimal
    value = model.getSolution().col_value
    size, cost = 0, 0.0
    for unit, row in zip(units, taken):
        best = max(range(len(row)), key=lambda o: value[row[o].index])
        size, cost = size + unit[best][0], cost + unit[best][1]
    assert size <= budget, (size, budget)
    return size, cost


def main():
    cases = []
    for seed, (layers, dense, jitter) in enumerate([(61, 0, False), (61, 0, True), (24, 60, False), (12, 40, True)]):
        for part in (7, 20, 45):
            case = {"seed": seed + 1, "layers": layers, "dense": dense, "jitter": jitter}
            units = units_of(case)
            budget = budget_of(units, part)
            size, cost = optimum(units, budget)
            cases.append({**case, "budget": budget, "bytes": size, "cost": cost})
            print(cases[-1], flush=True)
    Path(__file__).with_name("optima.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
