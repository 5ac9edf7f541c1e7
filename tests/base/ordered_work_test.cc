#include "base/ordered_work.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>

namespace moe {
namespace {

class RunOrderedWith : public testing::TestWithParam<unsigned> {};

/// Later work is often ready first: how long a value takes differs from one to the next.
uint64_t SlowSquare(size_t i) {
  std::atomic<uint64_t> spins = 0;
  for (size_t n = (i * 7919) % 50 * 100; n > 0; --n) ++spins;
  return i * i;
}

TEST_P(RunOrderedWith, ConsumesEveryResultInOrder) {
  for (const size_t count : {0, 1, 2, 7, 500}) {
    std::vector<uint64_t> seen;
    const bool done = RunOrdered(count, GetParam(), SlowSquare, [&](size_t i, uint64_t value) {
      EXPECT_EQ(i, seen.size());
      seen.push_back(value);
      return true;
    });
    EXPECT_TRUE(done);
    ASSERT_EQ(seen.size(), count);
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(seen[i], i * i);
  }
}

TEST_P(RunOrderedWith, StopsWhenConsumeSaysSo) {
  for (const size_t last : {0, 1, 30}) {
    std::atomic<size_t> made = 0;
    size_t consumed = 0;
    const bool done = RunOrdered(
        1000, GetParam(),
        [&](size_t i) {
          ++made;
          return SlowSquare(i);
        },
        [&](size_t i, uint64_t) {
          ++consumed;
          return i < last;
        });
    EXPECT_FALSE(done);
    EXPECT_EQ(consumed, last + 1);
    EXPECT_LE(made, last + 1 + 4 * GetParam());
  }
}

TEST_P(RunOrderedWith, StoppedAtTheLastResultIsDone) {
  EXPECT_TRUE(RunOrdered(5, GetParam(), SlowSquare, [](size_t i, uint64_t) { return i < 4; }));
}

TEST_P(RunOrderedWith, NeverHoldsMoreThanFourResultsPerThread) {
  std::atomic<size_t> begun = 0;
  RunOrdered(
      300, GetParam(),
      [&](size_t i) {
        ++begun;
        return SlowSquare(i);
      },
      [&](size_t i, uint64_t) {
        EXPECT_LE(begun, i + 4 * GetParam());
        return true;
      });
}

TEST_P(RunOrderedWith, MovesResultsThatCantBeCopied) {
  size_t sum = 0;
  RunOrdered(
      20, GetParam(), [](size_t i) { return std::make_unique<size_t>(i); },
      [&](size_t, std::unique_ptr<size_t> value) {
        sum += *value;
        return true;
      });
  EXPECT_EQ(sum, 190u);  // 0 + ... + 19
}

INSTANTIATE_TEST_SUITE_P(Threads, RunOrderedWith, testing::Range(1u, 9u));

}  // namespace
}  // namespace moe
