#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "measure/kernels.h"
#include "measure/percentiles.h"

namespace moe {

/// How far the largest weight of each group sticks out of its group: max|w| / (mean|w| + eps),
/// formed in double and rounded to float32. Groups are runs of `group_size` elements of the
/// row-major stream; `group_size` divides the row, so none crosses a row.
class GroupOutliers {
 public:
  GroupOutliers(uint64_t group_size, uint64_t elements, double percentile, double eps);

  /// First read: all elements in order, in pieces of any size.
  void Add(std::span<const float> x);
  /// As PercentileSelector: true if the elements must come again, through Refine().
  bool NeedsSecondRead();
  void Refine(std::span<const float> x);

  double percentile() const { return selector_.Values().front(); }
  double max() const { return max_; }

 private:
  template <class Sink>
  void ForRatios(std::span<const float> x, Sink sink);
  size_t FillOpenGroup(std::span<const float> x);
  float Ratio(double sum_abs, float max_abs) const;

  uint64_t group_size_;
  double eps_;
  PercentileSelector selector_;
  float max_ = 0;

  // A group that has begun but not ended.
  uint64_t filled_ = 0;
  double open_lanes_[kSumLanes] = {};
  float open_max_ = 0;
};

}  // namespace moe
