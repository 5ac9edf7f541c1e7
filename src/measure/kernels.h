#pragma once

#include <cstddef>
#include <cstdint>

#include "moescope/quantize.h"

// The hot loops over weights, one version for each SIMD target, chosen at run time; those over
// reconstructions are in error_kernels.h.
//
// Exactness: sums are double. Element i goes to lane i % 8 whatever the target's width, and lanes
// are folded in one order; a multiply-add is fused only where the product is exact (the square of a
// float). So every target gives the same bits for finite values. Of a tile that holds NaN or Inf
// only the counts and maxima of bits mean anything.

namespace moe {

inline constexpr size_t kSumLanes = 8;

/// Folds lanes: pairs, then pairs of pairs.
inline double FoldSum(const double (&lanes)[kSumLanes]) {
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

/// Sums of one tile of weights.
struct TileSums {
  double sum = 0, sum_abs = 0, sum_sq = 0;
  uint32_t max_bits = 0;  ///< of |x|, as an integer (float_codes.h)
  uint64_t nonfinite = 0;
};
TileSums SumTile(const float* x, size_t count);

/// Sum of weights[i] x[i]^2, the product with the weight rounded to double before it is added.
double SumWeightedSquares(const float* x, const double* weights, size_t count);

/// sums[i] += x[i]^2.
void AddSquares(const float* x, size_t count, double* sums);

/// Sum of (x - mean)^2.
double SumSquaredDeviation(const float* x, size_t count, double mean);

/// Smallest, largest and sum of magnitudes (unless null) of consecutive groups of `size` elements,
/// a multiple of 8.
void SummarizeGroups(const float* x, size_t groups, size_t size, float* lo, float* hi,
                     double* sum_abs);

/// How far the largest weight of each group sticks out: largest / (sum_abs / size + eps), formed in
/// double and rounded to float32. Returns the largest of them, or 0.
float GroupRatios(const double* sum_abs, const float* largest, size_t groups, double size,
                  double eps, float* ratios);

/// Numbers of bins for the values of a 16-bit float type, widened to float32: the high bits of the
/// pattern, cut to the range that the type has.
struct BinScale {
  unsigned shift;      ///< bits of the pattern that all values of the type have 0
  uint32_t low, high;  ///< of pattern >> shift: what is below counts as low, above as high
  uint32_t per_sign() const { return high - low + 1; }
};
/// bins[i]: 0 for zero, 1 ... for larger magnitudes, + per_sign() if negative.
void FindBins(const float* x, size_t count, const BinScale& scale, uint32_t* bins);

/// Rounds x to the compute dtype, in place; no NaN.
void RoundToCompute(float* x, size_t count, ComputeDType dtype);

}  // namespace moe
