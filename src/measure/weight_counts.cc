#include "measure/weight_counts.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "measure/float_codes.h"
#include "measure/percentiles.h"

namespace moe {
namespace {

// bfloat16: the upper half of the pattern, sign and all. float16: its 10 bits of mantissa; the
// smallest subnormal, 2^-24, has exponent 103, so that exponent 102 is left to zero.
constexpr BinScale kBFloat16 = {16, 0, 0x7fff};
constexpr BinScale kHalf = {13, 102u << 10, 143u << 10};

constexpr size_t kBatch = 1024;  // their bins stay in the first cache

// Counts bin_of(0), ..., bin_of(count - 1).
template <class BinOf>
void CountEach(size_t count, const BinOf& bin_of, uint32_t* counts) {
#pragma GCC unroll 4  // one at a time takes twice as long
  for (size_t i = 0; i < count; ++i) ++counts[bin_of(i)];
}

constexpr uint32_t kRun = 64;  // most bins are empty: they are skipped by the run
bool AreZero(const uint32_t* counts) {
  uint32_t any = 0;
  for (uint32_t i = 0; i < kRun; ++i) any |= counts[i];
  return any == 0;
}

// The first bin of Inf and NaN; the last, where all magnitudes beyond the type's share one.
uint32_t FirstNonFinite(const BinScale& scale) {
  return std::min(scale.high, kInfinityBits >> scale.shift) - scale.low;
}

float ValueOfBin(const BinScale& scale, uint32_t bin) {
  if (bin == 0) return 0;
  if (bin >= FirstNonFinite(scale)) return std::numeric_limits<float>::infinity();
  return std::bit_cast<float>((bin + scale.low) << scale.shift);
}

}  // namespace

bool WeightCounts::Serves(DType storage) {
  return storage == DType::kF16 || storage == DType::kBF16;
}

WeightCounts::WeightCounts(DType storage)
    : scale_(storage == DType::kF16 ? kHalf : kBFloat16), counts_(2 * scale_.per_sign()) {}

void WeightCounts::Add(std::span<const float> weights) {
  if (unspilled_ + weights.size() > std::numeric_limits<uint32_t>::max()) Spill();
  unspilled_ += weights.size();
  if (scale_.shift == kBFloat16.shift) {
    return CountEach(
        weights.size(), [&](size_t i) { return FloatBits(weights[i]) >> kBFloat16.shift; },
        counts_.data());
  }
  uint32_t bins[kBatch];
  while (!weights.empty()) {
    const auto batch = weights.first(std::min(kBatch, weights.size()));
    FindBins(batch.data(), batch.size(), scale_, bins);
    CountEach(batch.size(), [&](size_t i) { return bins[i]; }, counts_.data());
    weights = weights.subspan(batch.size());
  }
}

bool WeightCounts::AllFinite() const {
  const uint32_t per_sign = scale_.per_sign();
  for (uint32_t bin = FirstNonFinite(scale_); bin < per_sign; ++bin) {
    if ((CountOfBin(bin) | CountOfBin(bin + per_sign)) != 0) return false;
  }
  return true;
}

void WeightCounts::Merge(const WeightCounts& other) {
  if (unspilled_ + other.unspilled_ > std::numeric_limits<uint32_t>::max()) Spill();
  unspilled_ += other.unspilled_;
  for (size_t bin = 0; bin < counts_.size(); ++bin) counts_[bin] += other.counts_[bin];
  if (other.spilled_.empty()) return;
  spilled_.resize(counts_.size());
  for (size_t bin = 0; bin < counts_.size(); ++bin) spilled_[bin] += other.spilled_[bin];
}

void WeightCounts::Spill() {
  spilled_.resize(counts_.size());
  for (size_t bin = 0; bin < counts_.size(); ++bin) spilled_[bin] += counts_[bin];
  std::fill(counts_.begin(), counts_.end(), 0);
  unspilled_ = 0;
}

std::vector<WeightCounts::Value> WeightCounts::Values() const {
  std::vector<Value> values;
  const uint32_t per_sign = scale_.per_sign();
  for (uint32_t begin = 0; begin < per_sign; begin += kRun) {
    const uint32_t end = std::min(begin + kRun, per_sign);
    if (end == begin + kRun && spilled_.empty() && AreZero(&counts_[begin]) &&
        AreZero(&counts_[begin + per_sign])) {
      continue;
    }
    for (uint32_t bin = begin; bin < end; ++bin) {
      const uint64_t positive = CountOfBin(bin), negative = CountOfBin(bin + per_sign);
      if ((positive | negative) == 0) continue;
      values.push_back({ValueOfBin(scale_, bin), positive, negative});
    }
  }
  return values;
}

CountedSums SumsOf(std::span<const WeightCounts::Value> values) {
  CountedSums sums;
  for (const auto& [value, positive, negative] : values) {
    const uint64_t both = positive + negative;
    if (std::isinf(value)) {
      sums.nonfinite += both;
      continue;
    }
    const double wide = value;
    const double times = static_cast<double>(both);
    sums.count += times;
    sums.sum += wide * (static_cast<double>(positive) - static_cast<double>(negative));
    sums.sum_abs += wide * times;
    sums.sum_sq += wide * wide * times;
    sums.max_abs = value;
  }
  const double mean = sums.sum / sums.count;
  for (const auto& [value, positive, negative] : values) {
    if (std::isinf(value)) continue;
    const double above = value - mean, below = value + mean;
    sums.sum_sq_deviation += above * above * static_cast<double>(positive) +
                             below * below * static_cast<double>(negative);
  }
  return sums;
}

std::vector<double> PercentilesOf(std::span<const WeightCounts::Value> values,
                                  std::span<const double> percentiles) {
  std::vector<uint64_t> upto;  // weights not above values[i]
  uint64_t count = 0;
  for (const auto& value : values) upto.push_back(count += value.positive + value.negative);
  const auto at_rank = [&](uint64_t rank) -> double {
    return values[static_cast<size_t>(std::upper_bound(upto.begin(), upto.end(), rank) -
                                      upto.begin())]
        .value;
  };
  std::vector<double> out;
  for (const double percentile : percentiles) {
    const PercentilePosition at = PositionOf(percentile, count);
    const double low = at_rank(at.floor), high = at_rank(std::min(at.floor + 1, count - 1));
    out.push_back(low + (high - low) * at.fraction);
  }
  return out;
}

}  // namespace moe
