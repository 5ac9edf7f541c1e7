#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "moescope/measure.h"

namespace moe {

/// Collects the sums of squares of a matrix's rows or columns (SquareSums) as its tiles pass, by
/// row over its columns in order, by column over its rows in order.
class SquareSummer {
 public:
  SquareSummer(const SquareSums& wanted, uint64_t cols);

  /// Elements [begin, begin + x.size()) of the matrix, from the start of some row on in order.
  void Add(uint64_t begin, std::span<const float> x);
  /// Takes over what `next` was given: the rows that follow.
  void Merge(const SquareSummer& next);

  const std::vector<double>& sums() const { return sums_; }

 private:
  void AddToRow(uint64_t col, std::span<const float> piece);

  SquareSums::Of of_;
  uint64_t cols_;
  std::vector<double> weights_;  // of rows
  std::vector<double> sums_;
};

}  // namespace moe
