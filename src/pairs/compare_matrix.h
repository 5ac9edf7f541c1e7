#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "measure/quant_metrics.h"
#include "moescope/error.h"
#include "moescope/matrix.h"

namespace moe {

/// What two matrices a and b of one shape are to each other. Sums are over the elements that are
/// finite in both.
struct PairNumbers {
  uint64_t elements = 0;
  uint64_t equal = 0;                         ///< of the same value
  uint64_t nonfinite_a = 0, nonfinite_b = 0;  ///< NaN and Inf
  /// Row and column of the first that is finite in a alone.
  std::optional<std::pair<uint64_t, uint64_t>> first_broken;
  uint64_t broken = 0;  ///< so many of them
  uint64_t zeroed = 0;  ///< 0 in b and not in a
  /// Rows that are all 0 in b and not in a: how many, the first, and how many of them are the last
  /// rows of the matrix.
  uint64_t dead_rows = 0, first_dead_row = 0, dead_tail = 0;
  double sum_aa = 0, sum_bb = 0, sum_ab = 0, sum_dd = 0;
  double max_abs_diff = 0;

  bool identical() const { return equal == elements; }
  // nullopt: its denominator is 0.
  std::optional<double> rel_distance() const;  ///< |a - b| / |a|
  std::optional<double> cosine() const;
  std::optional<double> norm_ratio() const;  ///< |b| / |a|
};

/// Adds up PairNumbers, tile after tile in the order of Tiling. Sums are double, in eight lanes
/// that are folded in one order: the same bits whatever the machine.
class PairSums {
 public:
  explicit PairSums(uint64_t cols) : cols_(cols) {}
  void Add(const Tile& tile, std::span<const float> a, std::span<const float> b);
  const PairNumbers& numbers() const { return numbers_; }

 private:
  void AddFinite(std::span<const float> a, std::span<const float> b);
  void AddBroken(const Tile& tile, std::span<const float> a, std::span<const float> b);
  void AddRows(const Tile& tile, std::span<const float> a, std::span<const float> b);
  void EndRow(uint64_t row);

  uint64_t cols_;
  PairNumbers numbers_;
  bool row_of_a_ = false, row_of_b_ = false;  // has other values than 0
};

/// Reads both side by side: visit(tile, elements of a, elements of b), row after row. Memory: two
/// tiles of 64 K elements.
template <class Visit>
Result<void> ForTilesOf(const MatrixSource& a, const MatrixSource& b, Visit visit) {
  const Tiling tiling(a.rows(), a.cols());
  std::vector<float> of_a, of_b;
  for (uint64_t i = 0; i < tiling.count(); ++i) {
    const Tile tile = tiling[i];
    const auto count = static_cast<size_t>(tile.rows * tile.cols);
    of_a.resize(count), of_b.resize(count);
    if (auto read = a.Read(tile, of_a.data()); !read) return read;
    if (auto read = b.Read(tile, of_b.data()); !read) return read;
    visit(tile, std::span<float>(of_a), std::span<float>(of_b));
  }
  return {};
}

}  // namespace moe
