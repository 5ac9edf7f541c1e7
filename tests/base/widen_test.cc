// Every pattern of both 16-bit types on every SIMD target of this machine, at odd addresses.
#include "base/widen.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/float_convert.h"
#include "base/kernel_targets.h"

namespace moe {
namespace {

class WidenOnTarget : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { UseTarget(GetParam()); }
  void TearDown() override { UseTarget(0); }
};

INSTANTIATE_TEST_SUITE_P(All, WidenOnTarget, testing::ValuesIn(KernelTargets()), TargetNameOf());

// The bytes of all patterns, from an odd address on.
std::vector<std::byte> AllPatterns() {
  std::vector<std::byte> bytes(1 + 2 * 65536);
  for (uint32_t pattern = 0; pattern < 65536; ++pattern) {
    const auto raw = static_cast<uint16_t>(pattern);
    std::memcpy(&bytes[1 + 2 * pattern], &raw, sizeof raw);
  }
  return bytes;
}

template <class Widen, class One>
void ExpectEveryValue(Widen widen, One one) {
  const auto bytes = AllPatterns();
  constexpr size_t kCount = 65536 - 3;  // no whole number of vectors
  std::vector<float> out(kCount);
  widen(bytes.data() + 1, kCount, out.data());
  size_t differences = 0;
  for (size_t i = 0; i < kCount; ++i) {
    const float expected = one(static_cast<uint16_t>(i));
    differences += std::memcmp(&out[i], &expected, sizeof expected) != 0;
  }
  EXPECT_EQ(differences, 0u);
}

TEST_P(WidenOnTarget, BFloat16EqualsThePlainConversion) {
  ExpectEveryValue(WidenBFloat16, BFloat16ToFloat);
}

TEST_P(WidenOnTarget, HalfEqualsThePlainConversion) { ExpectEveryValue(WidenHalf, HalfToFloat); }

}  // namespace
}  // namespace moe
