#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "measure/kernels.h"
#include "measure/quantizer.h"

// The error of a scheme, summed as the weights pass; one version for each SIMD target. Nothing is
// materialised: a vector of weights is reconstructed and compared while it is in registers.
//
// Exactness: d = x - w_hat is taken in float32 where T is a 16-bit type (exact, unless one of the
// two is 2^12 times the other) and in double where T is float32; d^2, its product with the
// importance (never fused) and all sums are double.
// Element i of a call goes to lane i % 8, group g to lane g % 8. Fused multiply-add serves only
// where the product is exact, so that fusing it changes no bit: the square of a float in double (48
// bits), and a power of two times a constant.

namespace moe {

/// Sums over stored scales or biases.
struct StoredSums {
  static constexpr double kNone = -std::numeric_limits<double>::infinity();
  double sum[kSumLanes] = {}, sum_abs[kSumLanes] = {};
  double max[kSumLanes] = {kNone, kNone, kNone, kNone, kNone, kNone, kNone, kNone};
  double max_abs[kSumLanes] = {};
};

/// Running sums of one scheme.
struct ErrorSums {
  double sum_sq[kSumLanes] = {};       ///< of d
  double weighted_sq[kSumLanes] = {};  ///< of d, each times its importance; 0 without
  double max_abs = 0;                  ///< of d
  uint64_t zeroed = 0;                 ///< elements with x != 0 and w_hat = +-0
  uint64_t clipped = 0;                ///< elements outside the codes' range (D24)
  bool nonfinite = false;              ///< some w_hat is Inf or NaN: the five above mean nothing
  StoredSums scales, biases;           ///< decoded scales
};

/// Consecutive groups of finite weights in T, with the smallest and largest of each.
struct GroupBatch {
  static constexpr size_t kMostGroups = 256;
  const float* x = nullptr;  ///< [groups * group_size]
  size_t groups = 0;         ///< at most kMostGroups
  const float* lo = nullptr;
  const float* hi = nullptr;
  const double* importance = nullptr;  ///< [groups * group_size]; null: errors are not weighted
};

/// Adds the errors, scales and biases of `batch`: the same bits as the portable encoder and
/// plain loops.
void AddGroupErrors(const Quantizer& quantizer, const GroupBatch& batch, ErrorSums& sums);

/// Adds what something else has reconstructed; `count` is a multiple of 8. `importance`: [count],
/// or null.
void AddErrors(ComputeDType dtype, const float* x, const float* w_hat, const double* importance,
               size_t count, ErrorSums& sums);

/// Adds `groups` decoded scales, or biases.
void AddStored(const double* values, size_t groups, StoredSums& sums);

}  // namespace moe
