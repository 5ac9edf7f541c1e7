#include "measure/group_outliers.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace moe {
namespace {

constexpr unsigned kBinShift = 16;  // 2^15 bins: ratios need a second read in any case

}  // namespace

GroupOutliers::GroupOutliers(uint64_t group_size, uint64_t elements, double percentile, double eps)
    : group_size_(group_size),
      eps_(eps),
      selector_(elements / group_size, {percentile}, kBinShift) {}

void GroupOutliers::Add(std::span<const float> x, const BlockSums* blocks) {
  ForRatios(x, blocks, [this](std::span<const float> ratios) { selector_.Add(ratios); });
}

void GroupOutliers::Merge(const GroupOutliers& other) {
  selector_.Merge(other.selector_);
  max_ = std::max(max_, other.max_);
}

bool GroupOutliers::NeedsSecondRead() { return selector_.NeedsSecondRead(); }

void GroupOutliers::Refine(std::span<const float> x, const BlockSums* blocks) {
  ForRatios(x, blocks, [this](std::span<const float> ratios) { selector_.Refine(ratios); });
}

// Groups of whole blocks are put together from those, all others element by element.
template <class Sink>
void GroupOutliers::ForRatios(std::span<const float> x, const BlockSums* blocks, Sink sink) {
  size_t groups = 0;
  if (blocks != nullptr && group_size_ % BlockSums::kBlock == 0) {
    const auto per_group = static_cast<size_t>(group_size_ / BlockSums::kBlock);
    if (filled_ == 0 && blocks->blocks % per_group == 0) {  // whole groups
      for (size_t b = 0; b < blocks->blocks; b += per_group, ++groups) {
        double sum = 0;
        float largest = 0;
        for (size_t i = b; i < b + per_group; ++i) {
          sum += blocks->sum_abs[i];
          largest = std::max({largest, -blocks->lo[i], blocks->hi[i]});
        }
        sums_[groups] = sum;
        maxima_[groups] = largest;
      }
      return Emit(groups, sink);
    }
    for (size_t b = 0; b < blocks->blocks;) {
      const uint64_t missing = (group_size_ - filled_) / BlockSums::kBlock;
      const size_t end = b + static_cast<size_t>(std::min<uint64_t>(missing, blocks->blocks - b));
      filled_ += (end - b) * BlockSums::kBlock;
      for (; b < end; ++b) {
        open_sum_ += blocks->sum_abs[b];
        open_max_ = std::max({open_max_, -blocks->lo[b], blocks->hi[b]});
      }
      if (filled_ == group_size_) Close(open_sum_, groups);
    }
    return Emit(groups, sink);
  }
  for (const float value : x) {
    open_lanes_[filled_++ % kSumLanes] += std::fabs(static_cast<double>(value));
    open_max_ = std::max(open_max_, std::fabs(value));
    if (filled_ == group_size_) {
      Close(FoldSum(open_lanes_), groups);
      std::fill(std::begin(open_lanes_), std::end(open_lanes_), 0.0);
    }
    if (groups == kBatch) Emit(std::exchange(groups, 0), sink);
  }
  Emit(groups, sink);
}

// The open group is complete: it becomes number `groups` of those to hand on.
void GroupOutliers::Close(double sum, size_t& groups) {
  sums_[groups] = sum;
  maxima_[groups++] = open_max_;
  filled_ = 0;
  open_sum_ = 0;
  open_max_ = 0;
}

template <class Sink>
void GroupOutliers::Emit(size_t groups, Sink sink) {
  float ratios[kBatch];
  max_ = std::max(
      max_, GroupRatios(sums_, maxima_, groups, static_cast<double>(group_size_), eps_, ratios));
  sink(std::span<const float>(ratios, groups));
}

}  // namespace moe
