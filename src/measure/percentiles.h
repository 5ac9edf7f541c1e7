#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace moe {

/// Where percentile q of `count` sorted values lies: between ranks floor and floor + 1.
struct PercentilePosition {
  uint64_t floor;
  double fraction;
};
PercentilePosition PositionOf(double percentile, uint64_t count);

/// Exact percentiles of the magnitudes of a stream whose length is known, NumPy's linear
/// interpolation, in bounded memory.
///
/// Few values, or only the upper end of many, are kept as they are. Else the first read counts
/// bit patterns in bins; where the values have more bits than the bins tell apart, a second read
/// of the same stream counts the wanted bins' patterns one by one.
/// NaN and Inf are counted as patterns above every number.
class PercentileSelector {
 public:
  /// `percentiles`: each in [0, 100]. `bin_shift`: low bits of the float32 pattern that share a
  /// bin (13 leaves one of 8192 to a second read).
  PercentileSelector(uint64_t count, std::vector<double> percentiles, unsigned bin_shift);

  /// First read. In all `count` values must be added.
  void Add(std::span<const float> values);

  /// Takes over what `other`, a selector made alike, was given.
  void Merge(const PercentileSelector& other);

  /// True if the stream must be read again, through Refine(). Call when all values were added.
  bool NeedsSecondRead();
  void Refine(std::span<const float> values);

  /// One value for each percentile, in order.
  std::vector<double> Values() const;

 private:
  struct Wanted {      // an order statistic that some percentile needs
    uint64_t rank;     // 0 is the smallest
    size_t table = 0;  // of its bin
    uint64_t rank_in_bin = 0;
    uint32_t bin = 0;
  };

  void Keep(std::span<const float> values);
  void CutKept();
  void PlaceKept();
  void FindBins();
  float OrderStatistic(uint64_t rank) const;

  uint64_t count_;
  std::vector<double> percentiles_;
  unsigned bin_shift_;
  std::vector<Wanted> wanted_;  // by rank, distinct

  // Kept patterns: the largest `keep_` seen so far, and some more until the next cut.
  size_t keep_ = 0, capacity_ = 0, kept_count_ = 0;
  uint32_t smallest_kept_ = 0;
  std::vector<uint32_t> kept_;  // of `capacity_`

  std::vector<uint64_t> bins_;                 // counts
  uint32_t seen_bits_ = 0;                     // all patterns, or-ed
  std::vector<uint8_t> is_wanted_;             // of each bin; bytes stay in the nearest cache
  std::vector<uint32_t> wanted_bins_;          // in order
  std::vector<std::vector<uint64_t>> tables_;  // counts of the wanted bins' low bits
};

}  // namespace moe
