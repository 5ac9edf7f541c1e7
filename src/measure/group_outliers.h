#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "measure/kernels.h"
#include "measure/percentiles.h"

namespace moe {

/// Some consecutive blocks of kBlock weights each.
struct BlockSums {
  static constexpr size_t kBlock = 32;
  static constexpr size_t kMost = 128;
  size_t blocks = 0;
  float lo[kMost] = {}, hi[kMost] = {};
  double sum_abs[kMost] = {};
};

/// How far the largest weight of each group sticks out of its group: max|w| / (mean|w| + eps),
/// formed in double and rounded to float32. Groups are runs of `group_size` elements of the
/// row-major stream; `group_size` divides the row, so none crosses a row.
class GroupOutliers {
 public:
  GroupOutliers(uint64_t group_size, uint64_t elements, double percentile, double eps);

  /// First read: all elements in order, in pieces of any size, finite. `blocks`: of the same
  /// elements, where they are whole blocks; else null.
  void Add(std::span<const float> x, const BlockSums* blocks);
  /// Takes over what `other` was given: whole groups.
  void Merge(const GroupOutliers& other);
  /// As PercentileSelector: true if the elements must come again, through Refine().
  bool NeedsSecondRead();
  void Refine(std::span<const float> x, const BlockSums* blocks);

  double percentile() const { return selector_.Values().front(); }
  double max() const { return max_; }

 private:
  static constexpr size_t kBatch = 256;  // groups handed on at a time

  template <class Sink>
  void ForRatios(std::span<const float> x, const BlockSums* blocks, Sink sink);
  template <class Sink>
  void Emit(size_t groups, Sink sink);
  void Close(double sum, size_t& groups);

  uint64_t group_size_;
  double eps_;
  PercentileSelector selector_;
  float max_ = 0;

  // Groups that are complete, until they are handed on.
  double sums_[kBatch];
  float maxima_[kBatch];

  // A group that has begun but not ended: how many of its elements came, and what they gave.
  uint64_t filled_ = 0;
  double open_lanes_[kSumLanes] = {};
  double open_sum_ = 0;  // of its whole blocks
  float open_max_ = 0;
};

}  // namespace moe
