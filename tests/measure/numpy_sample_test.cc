#include "measure/numpy_sample.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace moe {
namespace {

// NumPy 2.4.6: a = numpy.random.default_rng(seed).choice(n, k, replace=False); the first values,
// and the sum of (i + 1) * a[i] modulo 2^64, which depends on every value and its place.
struct Golden {
  uint64_t n, k, seed;
  std::vector<int64_t> first;
  uint64_t weighted_sum;
};

const Golden kGolden[] = {
    {8u, 3u, 0u, {4, 7, 5}, 33u},
    {10000u, 9999u, 1u, {3581, 6274, 9997}, 250592332321u},
    {10001u, 200u, 7u, {3649, 416, 303}, 102061323u},    // k = n / 50: the last of Floyd's
    {10001u, 201u, 7u, {4075, 1204, 8893}, 105810227u},  // the first of the tail shuffle's
    {50000u, 3000u, 0u, {18222, 5593, 35958}, 115824932115u},
    {50000u, 50000u, 123u, {40335, 47510, 25219}, 31200979678904u},
    {5000000000u, 4u, 42u, {4292989598, 2194392197, 3486840145}, 34621415387u},
    {4294967296u, 5u, 0u, {2735729613, 2195314463, 1158725111}, 34158019223u},
    {4294967297u, 5u, 4294967301u, {568244432, 3325181633, 3342468482}, 40276883865u},
    {1572864u, 8192u, 0u, {218847, 61375, 335422}, 26375181201919u},
    {1u, 1u, 0u, {0}, 0u},
    {2u, 2u, 9223372036854788153u, {1, 0}, 1u},
    {8589934592u, 3u, 1099511627776u, {5396542636, 8548955087, 3099330635}, 31792444715u},
};

TEST(SampleIndices, EqualNumPysChoiceWithoutReplacement) {
  for (const Golden& golden : kGolden) {
    SCOPED_TRACE(testing::Message() << golden.n << " " << golden.k << " " << golden.seed);
    const auto sample = SampleIndices(golden.n, golden.k, golden.seed);
    ASSERT_TRUE(sample.has_value());
    ASSERT_EQ(sample->size(), golden.k);
    EXPECT_TRUE(std::equal(golden.first.begin(), golden.first.end(), sample->begin()));
    uint64_t weighted_sum = 0;
    for (uint64_t i = 0; i < golden.k; ++i) {
      weighted_sum += (i + 1) * static_cast<uint64_t>((*sample)[i]);
    }
    EXPECT_EQ(weighted_sum, golden.weighted_sum);
  }
}

TEST(SampleIndices, NothingOutOfNothingIsEmpty) {
  EXPECT_TRUE(SampleIndices(0, 0, 0)->empty());
  EXPECT_TRUE(SampleIndices(5, 0, 0)->empty());
}

TEST(SampleIndices, MoreThanThereAreIsRefused) {
  EXPECT_EQ(SampleIndices(4, 5, 0).error().code, ErrorCode::kBadArgument);
  EXPECT_EQ(SampleIndices(uint64_t{1} << 63, 1, 0).error().code, ErrorCode::kBadArgument);
}

}  // namespace
}  // namespace moe
