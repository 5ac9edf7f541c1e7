#pragma once

#include <string>

#include "insight/run_matrices.h"

namespace moe {

// What is best for the units of a run (insight/choice.h), as JSON. Units are in the order of the
// matrices, of which the page computes bits and errors itself; a scheme is its index, -1 kAsStored:
//
// {
//   "fits": [[1, 0]],          Option::fits by scheme and unit
//   "fronts": [[[1, 0]]],      Frontier() by judge and unit
//   "reference": 1,            ReferenceScheme(), or null
//   "uniform": [null, [1]],    Uniform() by scheme, of usable ones, and unit
//   "real_saving": 0.005,      kRealSaving
//   "good": {"scheme": [1], "base": 1, "saves": 0.2},   AsGoodAs() the reference, or null
//   "budgets": [{"from": 0, "base": null, "saves": 0, "changes": [0, 1]}]   ByBudget()
// }
//
// A budget takes, from so many bytes on, the schemes of the one before it but for `changes`: unit,
// scheme, unit, scheme. Before the first all units are as stored.
std::string ChoiceJson(const RunMatrices& matrices);

}  // namespace moe
