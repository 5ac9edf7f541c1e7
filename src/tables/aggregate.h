#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "rows/schema.h"
#include "tables/table_reader.h"

namespace moe {

/// Rows grouped by equal keys. Groups are in ascending order of their keys: numbers by value, texts
/// by bytes, a null as a value of its own behind all others.
struct Groups {
  std::vector<uint32_t> order;  ///< rows, group by group; inside a group in table order
  std::vector<uint32_t> begin;  ///< group g is order[begin[g], begin[g + 1])

  size_t size() const { return begin.size() - 1; }
  std::span<const uint32_t> rows(size_t group) const {
    return {order.data() + begin[group], order.data() + begin[group + 1]};
  }
};

/// Groups all rows of `frame` by the columns `keys` (not doubles). At most 2^32 - 1 rows.
Groups GroupBy(const Frame& frame, std::span<const std::string_view> keys);

/// The cell as a row's value.
Value CellValue(const FrameColumn& column, uint32_t row);

/// The text of a kString cell; `absent` where it is null.
std::string TextOr(const FrameColumn& column, uint64_t row, std::string_view absent = "");

/// Linear interpolation between the neighbours of (n - 1) q; at least one value, no NaN; reordered.
double Quantile(std::span<double> values, double q);

enum class Aggregate { kMin, kP01, kMedian, kMean, kStd, kP90, kP99, kMax };
std::string_view AggregateName(Aggregate aggregate);  ///< "min", "p01", "median", ...

/// Appends to `out` each of `aggregates`, in order, of `values` (no NaN; reordered); null where
/// there is nothing: no value, or one value for std.
///
/// Quantiles interpolate linearly between the neighbours of (n - 1) q, std is the sample standard
/// deviation (divided by n - 1, two passes). Sums are compensated, so their result hardly depends
/// on the order.
void AppendAggregates(std::span<double> values, std::span<const Aggregate> aggregates, Row& out);

}  // namespace moe
