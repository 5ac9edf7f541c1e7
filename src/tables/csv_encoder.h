#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rows/schema.h"

namespace moe {

/// `value` as Python's repr() writes a float: the shortest text that reads back the same, "1e-05",
/// "0.0001", "121.0", "1e+16", "inf", "-0.0".
std::string PythonFloatText(double value);

/// Python's text of a tuple: "()", "(8,)", "(2, 8, 64)".
std::string TupleText(const std::vector<int64_t>& items);

/// One line of CSV, '\n' included, quoted where Python's csv.QUOTE_MINIMAL quotes.
std::string CsvLine(const Row& row);

}  // namespace moe
