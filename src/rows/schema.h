#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "moescope/error.h"

namespace moe {

enum class ColumnType { kString, kInt64, kDouble, kBool, kInt64List };

/// One column of a table, declared once: the writers, the readers, docs/outputs.md and the report
/// take what they need from here.
struct Column {
  std::string name;
  ColumnType type;
  bool nullable;
  std::string unit;  ///< "weights", "ratio", "bytes", "dB", "bits", "" for none
  std::string doc;   ///< one sentence, with the formula
};

struct TableSchema {
  std::string name;  ///< file stem: "matrix_stats"
  std::vector<Column> columns;
};

/// A cell; monostate is null. The alternative must fit the column's type.
using Value =
    std::variant<std::monostate, std::string, int64_t, double, bool, std::vector<int64_t>>;
using Row = std::vector<Value>;

/// Where rows go. Append() is called from one thread, in final row order.
class RowSink {
 public:
  virtual ~RowSink() = default;
  virtual Result<void> Append(Row row) = 0;
};

}  // namespace moe
