#include "base/float_convert.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace moe {
namespace {

// A 16-bit format by its definition, in double arithmetic.
struct Format {
  int exponent_bits, mantissa_bits, bias;
};
constexpr Format kHalf = {5, 10, 15};
constexpr Format kBFloat16 = {8, 7, 127};

double Value(uint16_t bits, const Format& f) {
  const int max_exponent = (1 << f.exponent_bits) - 1;
  const int exponent = (bits >> f.mantissa_bits) & max_exponent;
  const int mantissa = bits & ((1 << f.mantissa_bits) - 1);
  const double sign = (bits & 0x8000) ? -1.0 : 1.0;
  if (exponent == max_exponent) {
    return mantissa ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  }
  const int significand = exponent == 0 ? mantissa : mantissa + (1 << f.mantissa_bits);
  const int scale = (exponent == 0 ? 1 : exponent) - f.bias - f.mantissa_bits;
  return sign * std::ldexp(static_cast<double>(significand), scale);
}

// The value after the largest finite one, were the exponent range one wider: values from halfway
// to it round to infinity.
double ValueOrOverflow(uint16_t bits, const Format& f) {
  const double value = Value(bits, f);
  if (!std::isinf(value)) return value;
  return std::ldexp(1.0, (1 << f.exponent_bits) - 1 - f.bias);
}

template <class ToFloat>
void ExpectEveryPatternDecodes(const Format& format, ToFloat to_float) {
  for (uint32_t i = 0; i <= 0xffff; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const double expected = Value(bits, format);
    const float actual = to_float(bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(actual)) << i;
    } else {
      ASSERT_EQ(static_cast<double>(actual), expected) << i;
      ASSERT_EQ(std::signbit(actual), std::signbit(expected)) << i;
    }
  }
}

// Between each two neighbours: the halfway point goes to the even one, the floats next to it to
// the nearer one.
template <class FromFloat>
void ExpectNearestEvenBetweenNeighbours(const Format& format, FromFloat from_float) {
  const auto infinity =
      static_cast<uint16_t>(((1 << format.exponent_bits) - 1) << format.mantissa_bits);
  for (uint16_t low = 0; low < infinity; ++low) {
    const auto high = static_cast<uint16_t>(low + 1);
    const auto halfway =
        static_cast<float>((Value(low, format) + ValueOrOverflow(high, format)) / 2);
    const float inf = std::numeric_limits<float>::infinity();
    ASSERT_EQ(from_float(halfway), (low & 1) ? high : low) << low;
    ASSERT_EQ(from_float(std::nextafter(halfway, 0.0f)), low) << low;
    ASSERT_EQ(from_float(std::nextafter(halfway, inf)), high) << low;
    ASSERT_EQ(from_float(-halfway), ((low & 1) ? high : low) | 0x8000) << low;
  }
}

template <class ToFloat, class FromFloat>
void ExpectEveryPatternSurvivesARoundTrip(const Format& format, ToFloat to_float,
                                          FromFloat from_float) {
  for (uint32_t i = 0; i <= 0xffff; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const uint16_t back = from_float(to_float(bits));
    if (std::isnan(Value(bits, format))) {
      ASSERT_TRUE(std::isnan(Value(back, format))) << i;
      ASSERT_TRUE(back & (1 << (format.mantissa_bits - 1))) << i << " is not quiet";
    } else {
      ASSERT_EQ(back, bits);
    }
  }
}

TEST(Half, EveryPatternDecodesToItsDefinition) { ExpectEveryPatternDecodes(kHalf, HalfToFloat); }

TEST(Half, EveryPatternSurvivesARoundTrip) {
  ExpectEveryPatternSurvivesARoundTrip(kHalf, HalfToFloat, FloatToHalf);
}

TEST(Half, RoundsToNearestEven) { ExpectNearestEvenBetweenNeighbours(kHalf, FloatToHalf); }

TEST(Half, TinyFloatsBecomeSignedZero) {
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::denorm_min()), 0x0000);
  EXPECT_EQ(FloatToHalf(-0x1p-26f), 0x8000);
}

TEST(Half, HugeFloatsBecomeInfinity) {
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(FloatToHalf(-std::numeric_limits<float>::infinity()), 0xfc00);
}

TEST(Half, ANanWithLowPayloadBitsOnlyStaysANan) {
  EXPECT_TRUE(std::isnan(RoundToHalf(std::bit_cast<float>(0x7f800001u))));
}

TEST(BFloat16, EveryPatternDecodesToItsDefinition) {
  ExpectEveryPatternDecodes(kBFloat16, BFloat16ToFloat);
}

TEST(BFloat16, EveryPatternSurvivesARoundTrip) {
  ExpectEveryPatternSurvivesARoundTrip(kBFloat16, BFloat16ToFloat, FloatToBFloat16);
}

TEST(BFloat16, RoundsToNearestEven) {
  ExpectNearestEvenBetweenNeighbours(kBFloat16, FloatToBFloat16);
}

TEST(BFloat16, ANanWithLowPayloadBitsOnlyStaysANan) {
  EXPECT_TRUE(std::isnan(RoundToBFloat16(std::bit_cast<float>(0xff800001u))));
}

TEST(RoundTo16Bits, IsTheFloatOfTheEncoding) {
  EXPECT_EQ(RoundToHalf(1.0f + 0x1p-11f), 1.0f);              // a tie, 1 is even
  EXPECT_EQ(RoundToHalf(1.0f + 0x1.8p-10f), 1.0f + 0x1p-9f);  // a tie between 1 and 2 units
  EXPECT_EQ(RoundToBFloat16(std::bit_cast<float>(0x3f80ffffu)),
            std::bit_cast<float>(0x3f810000u));  // Highway 1.0.3 truncates this one
}

}  // namespace
}  // namespace moe
