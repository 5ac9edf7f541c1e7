#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "pairs/compare_matrix.h"
#include "pairs/weight_key.h"
#include "rows/fields.h"
#include "rows/schema.h"

namespace moe {

/// Which weights a row is about.
struct PairIdentity {
  std::string role;
  std::optional<std::string> stack;
  int64_t layer = -1;
  std::string weight;
  int64_t number = -1;
  std::string tensor_a, tensor_b, storage_a, storage_b;
  uint64_t rows = 0, cols = 0;
  bool matrix = false;  ///< not of the table: an expert's, or another that runtimes quantize
  std::string text;     ///< not of the table: "layer 3 expert 7 down_proj"
};
PairIdentity IdentityOf(const WeightItem& a, const WeightItem& b);

/// The columns of an identity; `a`, `b`: what the two checkpoints are called in their names.
Fields<PairIdentity> IdentityFields(const std::string& a, const std::string& b);

/// Columns of a part of R as columns of R.
template <class R, class P>
Fields<R> FieldsOf(P R::* part, const Fields<P>& fields) {
  Fields<R> lifted;
  for (const auto& field : fields) {
    lifted.push_back(
        {field.column, [part, get = field.value](const R& row) { return get(row.*part); }});
  }
  return lifted;
}

/// A row of compare.parquet.
struct CompareRow {
  PairIdentity id;
  std::string status;  ///< "identical", "changed", "nonfinite" or "unread"
  PairNumbers numbers;
  std::optional<std::string> reason;  ///< of "unread"
};
const Table<CompareRow>& CompareTable();

}  // namespace moe
