#include "measure/percentiles.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <utility>

#include "measure/float_codes.h"

namespace moe {
namespace {

constexpr size_t kMostKept = size_t{1} << 17;  // 512 KiB of patterns

}  // namespace

PercentilePosition PositionOf(double percentile, uint64_t count) {
  const double position = static_cast<double>(count - 1) * (percentile / 100.0);
  const double floor = std::min(std::floor(position), static_cast<double>(count - 1));
  return {static_cast<uint64_t>(floor), position - floor};
}

PercentileSelector::PercentileSelector(uint64_t count, std::vector<double> percentiles,
                                       unsigned bin_shift)
    : count_(count), percentiles_(std::move(percentiles)), bin_shift_(bin_shift) {
  if (count_ == 0 || percentiles_.empty()) return;
  std::vector<uint64_t> ranks;
  for (const double percentile : percentiles_) {
    const uint64_t floor = PositionOf(percentile, count_).floor;
    ranks.push_back(floor);
    ranks.push_back(std::min(floor + 1, count_ - 1));
  }
  std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  for (const uint64_t rank : ranks) wanted_.push_back({rank});

  // The upper end is cut to `keep_` whenever twice as many have gathered.
  const uint64_t keep = count_ - ranks.front();
  const uint64_t capacity = keep < count_ / 2 ? 2 * keep : count_;
  if (capacity <= kMostKept) {
    keep_ = static_cast<size_t>(keep);
    capacity_ = static_cast<size_t>(capacity);
    kept_.resize(capacity_);
  } else {
    bins_.resize(size_t{1} << (31 - bin_shift_));
  }
}

void PercentileSelector::Add(std::span<const float> values) {
  if (capacity_ != 0) return Keep(values);
  if (bins_.empty()) return;
  uint32_t seen = 0;
  for (const float value : values) {
    const uint32_t pattern = MagnitudeBits(value);
    seen |= pattern;
    ++bins_[pattern >> bin_shift_];
  }
  seen_bits_ |= seen;
}

// Whatever comes is written, and stays if it is large enough: no branch would be guessed well.
void PercentileSelector::Keep(std::span<const float> values) {
  while (!values.empty()) {
    if (kept_count_ == capacity_) CutKept();
    const auto some = values.first(std::min(values.size(), capacity_ - kept_count_));
    uint32_t* end = kept_.data() + kept_count_;
    for (const uint32_t smallest = smallest_kept_; const float value : some) {
      *end = MagnitudeBits(value);
      end += *end >= smallest;
    }
    kept_count_ = static_cast<size_t>(end - kept_.data());
    values = values.subspan(some.size());
  }
}

void PercentileSelector::CutKept() {
  const auto last = kept_.begin() + static_cast<ptrdiff_t>(keep_ - 1);
  std::nth_element(kept_.begin(), last, kept_.end(), std::greater<>());
  smallest_kept_ = *last;  // `keep_` values at least as large are there
  kept_count_ = keep_;
}

void PercentileSelector::Merge(const PercentileSelector& other) {
  for (size_t i = 0; i < other.kept_count_; ++i) {
    const auto value = std::bit_cast<float>(other.kept_[i]);
    Keep({&value, 1});
  }
  for (size_t bin = 0; bin < bins_.size(); ++bin) bins_[bin] += other.bins_[bin];
  seen_bits_ |= other.seen_bits_;
}

bool PercentileSelector::NeedsSecondRead() {
  if (capacity_ != 0) {
    PlaceKept();
    return false;
  }
  if (bins_.empty()) return false;
  FindBins();
  const uint32_t low_mask = (1u << bin_shift_) - 1;
  if ((seen_bits_ & low_mask) == 0) return false;
  for (auto& table : tables_) table.resize(size_t{1} << bin_shift_);
  is_wanted_.resize(bins_.size());
  for (const uint32_t bin : wanted_bins_) is_wanted_[bin] = 1;
  return true;
}

// Brings each wanted order statistic to its place among the kept, as sorting all would.
void PercentileSelector::PlaceKept() {
  kept_.resize(kept_count_);
  auto begin = kept_.begin();
  for (const Wanted& wanted : wanted_) {
    const auto place = kept_.end() - static_cast<ptrdiff_t>(count_ - wanted.rank);
    std::nth_element(begin, place, kept_.end());
    begin = place + 1;
  }
}

void PercentileSelector::FindBins() {
  uint64_t below = 0;
  size_t next = 0;
  for (uint32_t bin = 0; next < wanted_.size() && bin < bins_.size(); ++bin) {
    const uint64_t upto = below + bins_[bin];
    for (; next < wanted_.size() && wanted_[next].rank < upto; ++next) {
      if (wanted_bins_.empty() || wanted_bins_.back() != bin) wanted_bins_.push_back(bin);
      wanted_[next].bin = bin;
      wanted_[next].table = wanted_bins_.size() - 1;
      wanted_[next].rank_in_bin = wanted_[next].rank - below;
    }
    below = upto;
  }
  tables_.resize(wanted_bins_.size());
}

void PercentileSelector::Refine(std::span<const float> values) {
  const uint32_t low_mask = (1u << bin_shift_) - 1;
  for (const float value : values) {
    const uint32_t pattern = MagnitudeBits(value);
    const uint32_t bin = pattern >> bin_shift_;
    if (is_wanted_[bin] == 0) continue;
    const auto wanted = std::ranges::lower_bound(wanted_bins_, bin);
    ++tables_[static_cast<size_t>(wanted - wanted_bins_.begin())][pattern & low_mask];
  }
}

float PercentileSelector::OrderStatistic(uint64_t rank) const {
  if (capacity_ != 0) {
    const size_t from_top = static_cast<size_t>(count_ - 1 - rank);
    return std::bit_cast<float>(kept_[kept_.size() - 1 - from_top]);
  }
  const auto wanted = std::lower_bound(wanted_.begin(), wanted_.end(), rank,
                                       [](const Wanted& w, uint64_t r) { return w.rank < r; });
  const std::vector<uint64_t>& table = tables_[wanted->table];
  uint32_t low = 0;
  if (!table.empty()) {
    // The end is guarded in case the second read saw other values than the first.
    for (uint64_t below = table[0]; below <= wanted->rank_in_bin && low + 1 < table.size();) {
      below += table[++low];
    }
  }
  return std::bit_cast<float>((wanted->bin << bin_shift_) | low);
}

std::vector<double> PercentileSelector::Values() const {
  std::vector<double> values;
  if (count_ == 0) return values;
  for (const double percentile : percentiles_) {
    const auto [floor, fraction] = PositionOf(percentile, count_);
    const double low = OrderStatistic(floor);
    const double high = OrderStatistic(std::min(floor + 1, count_ - 1));
    values.push_back(low + (high - low) * fraction);
  }
  return values;
}

}  // namespace moe
