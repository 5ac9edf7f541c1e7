#pragma once

#include <cstddef>
#include <cstdint>

#include "measure/quantizer.h"

// The hot loops, one version for each SIMD target, chosen at run time.
//
// Exactness: sums are double. Element i goes to lane i % 8 whatever the target's width, and lanes
// are folded in index order; no multiply-add is fused. So every target gives the same bits for
// finite values. Of a tile that holds NaN or Inf only the counts and maxima of bits mean anything.

namespace moe {

inline constexpr size_t kSumLanes = 8;

/// Sums of one tile of weights.
struct TileSums {
  double sum = 0, sum_abs = 0, sum_sq = 0;
  uint32_t max_bits = 0;  ///< of |x|, as an integer (float_codes.h)
  uint64_t nonfinite = 0;
};
TileSums SumTile(const float* x, size_t count);

/// Sum of (x - mean)^2.
double SumSquaredDeviation(const float* x, size_t count, double mean);

/// Sum and maximum of |x| of consecutive groups; group_size is a multiple of 8.
void SumGroups(const float* x, size_t groups, size_t group_size, double* sum_abs, float* max_abs);

/// Running sums over x and its reconstruction.
struct ErrorLanes {
  double sum_sq[kSumLanes] = {};   ///< of d = x - w_hat
  double max_abs[kSumLanes] = {};  ///< of d
  uint64_t zeroed = 0;             ///< elements with x != 0 and w_hat = +-0
  uint32_t max_bits = 0;           ///< of |w_hat|, as an integer
};
/// Adds `count` elements, a multiple of 8.
void AddErrors(const float* x, const float* w_hat, size_t count, ErrorLanes& lanes);

/// Folds lanes in index order.
inline double FoldSum(const double (&lanes)[kSumLanes]) {
  double sum = lanes[0];
  for (size_t i = 1; i < kSumLanes; ++i) sum += lanes[i];
  return sum;
}

}  // namespace moe
