#pragma once

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "base/float_convert.h"
#include "moescope/matrix.h"

namespace moe {

/// A matrix in memory, as a checkpoint would give it.
class ArrayMatrix : public MatrixSource {
 public:
  ArrayMatrix(std::vector<float> values, uint64_t rows, uint64_t cols, DType dtype = DType::kF32)
      : values_(std::move(values)), rows_(rows), cols_(cols), dtype_(dtype) {}

  uint64_t rows() const override { return rows_; }
  uint64_t cols() const override { return cols_; }
  DType storage_dtype() const override { return dtype_; }

  Result<void> Read(const Tile& tile, float* out) const override {
    ++reads_;
    for (uint64_t r = 0; r < tile.rows; ++r) {
      std::copy_n(&values_[(tile.row + r) * cols_ + tile.col], tile.cols, out + r * tile.cols);
    }
    return {};
  }

  const std::vector<float>& values() const { return values_; }
  int reads() const { return reads_; }

 private:
  std::vector<float> values_;
  uint64_t rows_, cols_;
  DType dtype_;
  mutable std::atomic<int> reads_ = 0;  // threads read parts of one matrix
};

/// `count` weights, sums of three uniform draws over 16: the same numbers everywhere.
inline std::vector<float> TestWeights(size_t count, uint32_t seed = 12345) {
  std::vector<float> weights(count);
  for (float& weight : weights) {
    double sum = 0;
    for (int draw = 0; draw < 3; ++draw) {
      seed = seed * 1664525u + 1013904223u;
      sum += static_cast<double>(seed) / 2147483648.0 - 1;
    }
    weight = static_cast<float>(sum / 16);
  }
  return weights;
}

/// `values` + offset, rounded to `dtype`.
inline std::vector<float> Converted(std::vector<float> values, DType dtype, double offset = 0) {
  for (float& value : values) {
    value = static_cast<float>(value + offset);
    if (dtype == DType::kBF16) value = RoundToBFloat16(value);
    if (dtype == DType::kF16) value = RoundToHalf(value);
  }
  return values;
}

/// Of columns: some are 0, some large.
inline std::vector<double> TestImportance(uint64_t cols) {
  std::vector<double> importance;
  for (uint64_t c = 0; c < cols; ++c) {
    importance.push_back(static_cast<double>(c * 37 % 101) / 64 * (c % 10 == 3 ? 40 : 1));
  }
  return importance;
}

}  // namespace moe
