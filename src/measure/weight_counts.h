#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "measure/kernels.h"
#include "moescope/dtype.h"
#include "moescope/measure.h"

namespace moe {

/// How often each value of a 16-bit float type occurs: a signed histogram, from which every moment
/// and percentile follows exactly, whatever the order in which the weights came.
class WeightCounts {
 public:
  /// True for the types that this class can count: F16 and BF16.
  static bool Serves(DType storage);

  explicit WeightCounts(DType storage);

  /// Values that the type has, widened to float32; Inf and NaN are not told apart.
  void Add(std::span<const float> weights);

  /// True unless Inf or NaN was added.
  bool AllFinite() const;

  void Merge(const WeightCounts& other);

  /// What was counted. Call when all weights were added.
  struct Value {
    float value;  ///< >= 0; Inf for all that is not finite
    uint64_t positive, negative;
  };
  std::vector<Value> Values() const;  ///< those that occur, ascending; Inf perhaps in several

 private:
  void Spill();
  uint64_t CountOfBin(size_t bin) const {
    return counts_[bin] + (spilled_.empty() ? 0 : spilled_[bin]);
  }

  BinScale scale_;
  std::vector<uint32_t> counts_;
  uint64_t unspilled_ = 0;         // weights in counts_
  std::vector<uint64_t> spilled_;  // what did not fit 32 bits
};

/// Sums over the values of a whole matrix.
struct CountedSums {
  uint64_t nonfinite = 0;
  double count = 0, sum = 0, sum_abs = 0, sum_sq = 0;
  double sum_sq_deviation = 0;  ///< from the mean
  float max_abs = 0;
};
CountedSums SumsOf(std::span<const WeightCounts::Value> values);

/// Exact percentiles of the magnitudes, NumPy's linear interpolation; all values are finite.
std::vector<double> PercentilesOf(std::span<const WeightCounts::Value> values,
                                  std::span<const double> percentiles);

}  // namespace moe
