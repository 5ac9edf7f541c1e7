#include "measure/group_outliers.h"

#include <algorithm>
#include <cmath>

namespace moe {
namespace {

constexpr unsigned kBinShift = 16;  // 2^15 bins: ratios need a second read in any case
constexpr size_t kBatch = 256;      // ratios handed on at a time

}  // namespace

GroupOutliers::GroupOutliers(uint64_t group_size, uint64_t elements, double percentile, double eps)
    : group_size_(group_size),
      eps_(eps),
      selector_(elements / group_size, {percentile}, kBinShift) {}

void GroupOutliers::Add(std::span<const float> x) {
  ForRatios(x, [this](std::span<const float> ratios) {
    selector_.Add(ratios);
    for (const float ratio : ratios) max_ = std::max(max_, ratio);
  });
}

bool GroupOutliers::NeedsSecondRead() { return selector_.NeedsSecondRead(); }

void GroupOutliers::Refine(std::span<const float> x) {
  ForRatios(x, [this](std::span<const float> ratios) { selector_.Refine(ratios); });
}

float GroupOutliers::Ratio(double sum_abs, float max_abs) const {
  const double mean = sum_abs / static_cast<double>(group_size_);
  return static_cast<float>(max_abs / (mean + eps_));
}

// Whole groups go through the kernel; what begins or ends inside `x` goes to the open group.
template <class Sink>
void GroupOutliers::ForRatios(std::span<const float> x, Sink sink) {
  float ratios[kBatch];
  double sums[kBatch];
  float maxima[kBatch];
  while (!x.empty()) {
    size_t groups = std::min<size_t>(x.size() / group_size_, kBatch);
    if (filled_ == 0 && groups > 0 && group_size_ % kSumLanes == 0) {
      SumGroups(x.data(), groups, static_cast<size_t>(group_size_), sums, maxima);
      for (size_t g = 0; g < groups; ++g) ratios[g] = Ratio(sums[g], maxima[g]);
      x = x.subspan(groups * static_cast<size_t>(group_size_));
    } else {
      groups = 0;
      while (!x.empty() && groups < kBatch) {
        x = x.subspan(FillOpenGroup(x));
        if (filled_ != group_size_) continue;
        ratios[groups++] = Ratio(FoldSum(open_lanes_), open_max_);
        filled_ = 0;
        std::fill(std::begin(open_lanes_), std::end(open_lanes_), 0.0);
        open_max_ = 0;
      }
    }
    sink(std::span<const float>(ratios, groups));
  }
}

// Takes what the open group still lacks; returns how many elements that were.
size_t GroupOutliers::FillOpenGroup(std::span<const float> x) {
  const auto count = static_cast<size_t>(std::min<uint64_t>(x.size(), group_size_ - filled_));
  for (const float value : x.first(count)) {
    open_lanes_[filled_++ % kSumLanes] += std::fabs(static_cast<double>(value));
    open_max_ = std::max(open_max_, std::fabs(value));
  }
  return count;
}

}  // namespace moe
