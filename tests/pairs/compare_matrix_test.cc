#include "pairs/compare_matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace moe {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

PairNumbers Compare(uint64_t cols, const std::vector<float>& a, const std::vector<float>& b) {
  PairSums sums(cols);
  sums.Add({0, 0, a.size() / cols, cols}, a, b);
  return sums.numbers();
}

TEST(PairSums, DistanceCosineAndNormsFollowTheirFormulas) {
  const auto numbers = Compare(2, {3, 4, 0, 0}, {3, 0, 0, 0});
  EXPECT_EQ(numbers.elements, 4u);
  EXPECT_EQ(numbers.equal, 3u);
  EXPECT_DOUBLE_EQ(*numbers.rel_distance(), 4.0 / 5.0);
  EXPECT_DOUBLE_EQ(*numbers.cosine(), 9.0 / 15.0);
  EXPECT_DOUBLE_EQ(*numbers.norm_ratio(), 3.0 / 5.0);
  EXPECT_EQ(numbers.max_abs_diff, 4);
  EXPECT_EQ(numbers.zeroed, 1u);
}

TEST(PairSums, RatiosOfZeroMatricesAreUnknown) {
  const auto numbers = Compare(2, {0, 0}, {0, 1});
  EXPECT_FALSE(numbers.rel_distance());
  EXPECT_FALSE(numbers.cosine());
  EXPECT_FALSE(numbers.norm_ratio());
}

TEST(PairSums, WhatIsNotFiniteIsCountedPlacedAndLeftOutOfSums) {
  const auto numbers = Compare(3, {1, kNan, 2, 3, 4, 5}, {1, kNan, 2, 3, 4, kNan});
  EXPECT_EQ(numbers.nonfinite_a, 1u);
  EXPECT_EQ(numbers.nonfinite_b, 2u);
  EXPECT_EQ(numbers.broken, 1u);
  EXPECT_EQ(numbers.first_broken, (std::pair<uint64_t, uint64_t>(1, 2)));
  EXPECT_EQ(numbers.equal, 5u);  // NaN is as good as NaN
  EXPECT_DOUBLE_EQ(numbers.sum_aa, 1 + 4 + 9 + 16);
}

TEST(PairSums, DeadRowsAreThoseThatBecameZero) {
  // Row 0 was 0 before; rows 1, 3 and 4 died.
  const auto numbers = Compare(1, {0, 1, 1, 1, 1}, {0, 0, 1, 0, 0});
  EXPECT_EQ(numbers.dead_rows, 3u);
  EXPECT_EQ(numbers.first_dead_row, 1u);
  EXPECT_EQ(numbers.dead_tail, 2u);
}

TEST(PairSums, ARowMayComeInPieces) {
  PairSums sums(4);
  const std::vector<float> a = {1, 1}, zero = {0, 0};
  sums.Add({0, 0, 1, 2}, a, zero);
  sums.Add({0, 2, 1, 2}, a, a);  // not dead: its end is there
  sums.Add({1, 0, 1, 2}, a, zero);
  sums.Add({1, 2, 1, 2}, zero, zero);
  EXPECT_EQ(sums.numbers().dead_rows, 1u);
  EXPECT_EQ(sums.numbers().first_dead_row, 1u);
}

}  // namespace
}  // namespace moe
