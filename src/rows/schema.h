#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "moescope/error.h"

namespace moe {

enum class ColumnType { kString, kInt64, kDouble, kBool, kInt64List };

/// Which end of a metric tells of trouble. kFar: neither in itself, but far from the neighbours.
enum class WorseEnd { kFar, kHigh, kLow };
constexpr const char* WorseEndName(WorseEnd end) {  ///< "far", "high", "low"
  constexpr const char* kNames[] = {"far", "high", "low"};
  return kNames[static_cast<size_t>(end)];
}

/// How the report's page gets a metric from others of the same matrix, where that gives its values.
struct Derivation {
  enum class Form {
    kQuotient,  ///< a / (b + 1e-12)
    kProduct,   ///< a * b
    kDecibels   ///< -20 log10(a); null where that is no number
  };
  Form form;
  std::vector<std::string> of;  ///< the columns a, b
};

/// One column of a table, declared once: the writers, the readers, docs/outputs.md, `show
/// --explain` and the report take what they need from here.
struct Column {
  std::string name;
  ColumnType type = ColumnType::kDouble;
  bool nullable = true;
  std::string unit = {};  ///< "weights", "ratio", "bytes", "dB", "bits", "" for none
  std::string doc = {};   ///< one sentence, with the formula

  // Of a metric, for those who read it:
  std::string label = {};   ///< "Relative error"
  std::string plain = {};   ///< what it means, in whole sentences
  std::string advice = {};  ///< what a value tells: "0.1: the error is a tenth ..."
  WorseEnd worse = WorseEnd::kFar;
  std::optional<Derivation> derivation = {};
};

struct TableSchema {
  std::string name;  ///< file stem: "matrix_stats"
  std::vector<Column> columns;
};

/// A cell; monostate is null. The alternative must fit the column's type.
using Value =
    std::variant<std::monostate, std::string, int64_t, double, bool, std::vector<int64_t>>;
using Row = std::vector<Value>;

/// A table, said once: its columns, and how each cell follows from what a row is about, an R.
template <class R>
struct Table {
  struct Field {
    using Get = std::function<Value(const R&)>;
    using Put = std::function<void(R&, const Value&)>;
    Field(Column declared, Get get, Put way_back = Put())
        : column(std::move(declared)), value(std::move(get)), put(std::move(way_back)) {}

    Column column;
    Get value;
    Put put;  ///< from the cell back into an R, where it was measured; else empty
  };
  std::string name;  ///< file stem: "matrix_stats"
  std::vector<Field> fields;

  TableSchema Schema() const {
    TableSchema schema{name, {}};
    for (const Field& field : fields) schema.columns.push_back(field.column);
    return schema;
  }
  /// The columns that have a Field::put.
  std::vector<Column> MeasuredColumns() const {
    std::vector<Column> columns;
    for (const Field& field : fields) {
      if (field.put) columns.push_back(field.column);
    }
    return columns;
  }
  Row RowOf(const R& record) const {
    Row row;
    row.reserve(fields.size());
    for (const Field& field : fields) row.push_back(field.value(record));
    return row;
  }
};

/// Where rows go. Append() is called from one thread, in final row order.
class RowSink {
 public:
  virtual ~RowSink() = default;
  virtual Result<void> Append(Row row) = 0;
};

}  // namespace moe
