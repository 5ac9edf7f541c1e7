#pragma once

#include <string>
#include <vector>

#include "moescope/error.h"

namespace moe {

/// A column of the tables, for a reader.
struct ColumnExplanation {
  std::string name;
  std::vector<std::string> tables;  ///< that have it
  std::string unit;                 ///< "" for none
  std::string meaning;              ///< with the formula
  std::string reading;              ///< what its values say; "" where there is nothing to add
};

/// Explains a column of data/, logs/ or B_quant_deltas, or METRIC__AGGREGATE of a summary, from the
/// schemas. `name` may be one that only some configurations give: p95_abs, g128_max_outlier.
/// kBadArgument: there is none of that name; the closest one, or all.
Result<ColumnExplanation> ExplainColumn(const std::string& name);

}  // namespace moe
