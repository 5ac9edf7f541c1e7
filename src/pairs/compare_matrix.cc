#include "pairs/compare_matrix.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "measure/kernels.h"

namespace moe {
namespace {

bool IsFinite(float x) { return std::abs(x) <= std::numeric_limits<float>::max(); }

/// Four sums and a maximum over elements that are all finite.
struct Lanes {
  double aa[kSumLanes] = {}, bb[kSumLanes] = {}, ab[kSumLanes] = {}, dd[kSumLanes] = {};
  double largest[kSumLanes] = {};

  void Add(size_t lane, float x, float y) {
    const double a = x, b = y, d = a - b;
    aa[lane] += a * a;
    bb[lane] += b * b;
    ab[lane] += a * b;
    dd[lane] += d * d;
    largest[lane] = std::max(largest[lane], std::abs(d));
  }

  void AddTo(PairNumbers& numbers) const {
    numbers.sum_aa += FoldSum(aa);
    numbers.sum_bb += FoldSum(bb);
    numbers.sum_ab += FoldSum(ab);
    numbers.sum_dd += FoldSum(dd);
    numbers.max_abs_diff = std::max(numbers.max_abs_diff, *std::ranges::max_element(largest));
  }
};

std::optional<double> Ratio(double above, double below) {
  return below > 0 ? std::optional(above / below) : std::nullopt;
}

bool HasOtherThanZero(std::span<const float> x) {
  return std::ranges::any_of(x, [](float value) { return value != 0; });
}

}  // namespace

std::optional<double> PairNumbers::rel_distance() const {
  return Ratio(std::sqrt(sum_dd), std::sqrt(sum_aa));
}

std::optional<double> PairNumbers::cosine() const {
  return Ratio(sum_ab, std::sqrt(sum_aa) * std::sqrt(sum_bb));
}

std::optional<double> PairNumbers::norm_ratio() const {
  return Ratio(std::sqrt(sum_bb), std::sqrt(sum_aa));
}

void PairSums::Add(const Tile& tile, std::span<const float> a, std::span<const float> b) {
  numbers_.elements += a.size();
  const auto equal = [](float x, float y) { return x == y || (std::isnan(x) && std::isnan(y)); };
  uint64_t same = 0, zeroed = 0, odd = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    same += equal(a[i], b[i]) ? 1 : 0;
    zeroed += (b[i] == 0 && a[i] != 0) ? 1 : 0;
    odd += IsFinite(a[i]) && IsFinite(b[i]) ? 0 : 1;
  }
  numbers_.equal += same;
  numbers_.zeroed += zeroed;
  odd == 0 ? AddFinite(a, b) : AddBroken(tile, a, b);
  AddRows(tile, a, b);
}

void PairSums::AddFinite(std::span<const float> a, std::span<const float> b) {
  Lanes lanes;
  const size_t whole = a.size() / kSumLanes * kSumLanes;
  for (size_t i = 0; i < whole; i += kSumLanes) {
    for (size_t lane = 0; lane < kSumLanes; ++lane) lanes.Add(lane, a[i + lane], b[i + lane]);
  }
  for (size_t i = whole; i < a.size(); ++i) lanes.Add(i - whole, a[i], b[i]);
  lanes.AddTo(numbers_);
}

void PairSums::AddBroken(const Tile& tile, std::span<const float> a, std::span<const float> b) {
  Lanes lanes;
  for (size_t i = 0; i < a.size(); ++i) {
    const bool good_a = IsFinite(a[i]), good_b = IsFinite(b[i]);
    if (good_a && good_b) lanes.Add(i % kSumLanes, a[i], b[i]);
    numbers_.nonfinite_a += good_a ? 0 : 1;
    numbers_.nonfinite_b += good_b ? 0 : 1;
    if (!good_a || good_b) continue;
    if (numbers_.broken++ == 0) {
      numbers_.first_broken = {tile.row + i / tile.cols, tile.col + i % tile.cols};
    }
  }
  lanes.AddTo(numbers_);
}

void PairSums::AddRows(const Tile& tile, std::span<const float> a, std::span<const float> b) {
  const auto cols = static_cast<size_t>(tile.cols);
  for (uint64_t row = 0; row < tile.rows; ++row) {
    const size_t at = static_cast<size_t>(row) * cols;
    row_of_b_ = row_of_b_ || HasOtherThanZero(b.subspan(at, cols));
    row_of_a_ = row_of_a_ || (!row_of_b_ && HasOtherThanZero(a.subspan(at, cols)));
    if (tile.col + tile.cols == cols_) EndRow(tile.row + row);
  }
}

void PairSums::EndRow(uint64_t row) {
  const bool dead = row_of_a_ && !row_of_b_;
  if (dead && numbers_.dead_rows++ == 0) numbers_.first_dead_row = row;
  numbers_.dead_tail = dead ? numbers_.dead_tail + 1 : 0;
  row_of_a_ = row_of_b_ = false;
}

}  // namespace moe
