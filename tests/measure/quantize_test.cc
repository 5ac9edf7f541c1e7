#include "moescope/quantize.h"

#include <gtest/gtest.h>

#include <cmath>

#include "measure/float_codes.h"

namespace moe {
namespace {

// Texts of mlx 0.32.4 (Python: mx.quantize(mx.zeros(shape), group_size=..., bits=..., mode=...)).
struct Refusal {
  const char* name;
  QuantScheme scheme;
  uint64_t rows, cols;
  const char* message;
};

const Refusal kRefusals[] = {
    {"UnknownMode",
     {"", "symmetric", 4, 64},
     2,
     100,
     "[quantize] Invalid quantization mode 'symmetric'."},
    {"Divisibility",
     {"", "affine", 4, 64},
     3,
     96,
     "[quantize] The last dimension of the matrix needs to be divisible by the "
     "quantization group "
     "size 64. However the provided  matrix has shape (3,96)"},
    {"DivisibilityComesBeforeGroupSize",
     {"", "affine", 7, 16},
     2,
     100,
     "[quantize] The last dimension of the matrix needs to be divisible by the "
     "quantization group "
     "size 16. However the provided  matrix has shape (2,100)"},
    {"NegativeGroupThatDoesNotDivide",
     {"", "affine", 4, -32},
     2,
     100,
     "[quantize] The last dimension of the matrix needs to be divisible by the "
     "quantization group "
     "size -32. However the provided  matrix has shape (2,100)"},
    {"AffineGroupSizeComesBeforeBits",
     {"", "affine", 7, 16},
     3,
     96,
     "[quantize] The requested group size 16 is not supported. The supported "
     "group sizes are 32, "
     "64, and 128."},
    {"AffineNegativeGroup",
     {"", "affine", 4, -32},
     3,
     96,
     "[quantize] The requested group size -32 is not supported. The supported "
     "group sizes are 32, "
     "64, and 128."},
    {"AffineGroupOfZero",
     {"", "affine", 4, 0},
     3,
     96,  // MLX itself crashes here
     "[quantize] The requested group size 0 is not supported. The supported "
     "group sizes are 32, "
     "64, and 128."},
    {"AffineBits",
     {"", "affine", 7, 32},
     3,
     96,
     "[quantize] The requested number of bits 7 is not supported. The "
     "supported bits are 1, 2, 3, "
     "4, 5, 6 and 8."},
    {"FloatModeGroupComesBeforeBits",
     {"", "mxfp4", 8, 16},
     3,
     96,
     "[quantize] mxfp4 quantization requires group size 32 but got 16."},
    {"Mxfp8Bits",
     {"", "mxfp8", 4, 32},
     3,
     96,
     "[quantize] mxfp8 quantization requires bits to be 8 but got 4."},
    {"Nvfp4Group",
     {"", "nvfp4", 4, 32},
     3,
     96,
     "[quantize] nvfp4 quantization requires group size 16 but got 32."},
    {"Nvfp4OddNumberOfGroups",
     {"", "nvfp4", 4, 16},
     5,
     48,
     "[reshape] Cannot reshape array of size 240 into shape (7,4,8)."},
};

TEST(QuantizeMatrix, RefusesWithMlxsClassAndText) {
  for (const Refusal& refusal : kRefusals) {
    SCOPED_TRACE(refusal.name);
    const std::vector<float> zeros(refusal.rows * refusal.cols);
    const auto made = QuantizeMatrix(zeros, refusal.rows, refusal.cols, refusal.scheme,
                                     QuantProfile::kMlxCpu, ComputeDType::kBF16);
    ASSERT_FALSE(made.has_value());
    EXPECT_EQ(made.error().message, refusal.message);
    EXPECT_EQ(made.error().TypeName(), "ValueError");
  }
}

TEST(QuantizeMatrix, TakesAnOddNumberOfNvfp4GroupsOnTheGpu) {
  const std::vector<float> zeros(240);
  EXPECT_TRUE(
      QuantizeMatrix(zeros, 5, 48, {"", "nvfp4", 4, 16}, QuantProfile::kMlxGpu, ComputeDType::kBF16)
          .has_value());
}

TEST(QuantizeMatrix, RefusesAnArrayThatIsNotTheShape) {
  const std::vector<float> w(64);
  for (const uint64_t rows : {uint64_t{1}, uint64_t{3}, ~uint64_t{0} / 32 + 3}) {
    EXPECT_FALSE(QuantizeMatrix(w, rows, 32, {"", "affine", 4, 32}, QuantProfile::kMlxCpu,
                                ComputeDType::kF32)
                     .has_value());
  }
}

TEST(FloatCodes, RoundTiesAsNamed) {
  EXPECT_EQ(RoundTiesEven(2.5f), 2.0f);
  EXPECT_EQ(RoundTiesEven(-3.5f), -4.0f);
  EXPECT_EQ(RoundTiesAway(2.5f), 3.0f);
  EXPECT_EQ(RoundTiesAway(-0.5f), -1.0f);
  EXPECT_EQ(RoundTiesAway(0x1.fffffep-2f), 0.0f);  // just below a half
  EXPECT_TRUE(std::signbit(RoundTiesEven(-0.25f)));
}

TEST(FloatCodes, RoundAsTheCLibraryDoes) {
  for (uint32_t bits = 0; bits < kInfinityBits; bits += 9973) {
    for (const uint32_t sign : {0u, 0x80000000u}) {
      const float value = std::bit_cast<float>(bits | sign);
      ASSERT_EQ(FloatBits(RoundTiesEven(value)), FloatBits(std::nearbyint(value))) << value;
      ASSERT_EQ(FloatBits(RoundTiesAway(value)), FloatBits(std::round(value))) << value;
    }
  }
}

TEST(FloatCodes, E4m3CodesAreTheNearestValues) {
  for (int code = 0; code < 0x7e; ++code) {
    const auto low = static_cast<uint8_t>(code);
    const float a = kE4m3Values[low], b = kE4m3Values[low + 1], middle = (a + b) / 2;
    EXPECT_EQ(E4m3FromFloat(a), low);
    EXPECT_EQ(E4m3FromFloat(std::nextafter(middle, 0.0f)), low);
    EXPECT_EQ(E4m3FromFloat(middle),
              code % 2 == 0 ? low : low + 1);  // a tie goes to even
    EXPECT_EQ(E4m3FromFloat(std::nextafter(middle, 500.0f)), low + 1);
    EXPECT_EQ(E4m3FromFloat(-a), low | 0x80);
  }
  EXPECT_EQ(kE4m3Values[0x7e], 448.0f);
  EXPECT_EQ(E4m3FromFloat(INFINITY), 0x7e);
  EXPECT_EQ(E4m3FromFloat(-1e30f), 0xfe);
}

// Upstream's argmin, literally, in T: the thresholds must agree with it on every value.
template <ComputeDType kType>
uint8_t Fp4Argmin(float y) {
  uint8_t best = 0;
  for (uint8_t code = 1; code < 16; ++code) {
    if (RoundTo<kType>(std::fabs(y - kFp4Values[code])) <
        RoundTo<kType>(std::fabs(y - kFp4Values[best]))) {
      best = code;
    }
  }
  return best;
}

TEST(FloatCodes, Fp4ThresholdsEqualTheArgminUpToTheScalesReach) {
  for (uint32_t pattern = 0; pattern < 65536; ++pattern) {
    const auto half = static_cast<uint16_t>(pattern);
    const float bf16 = BFloat16ToFloat(half), f16 = HalfToFloat(half);
    ASSERT_EQ(Fp4FirstNearest(bf16), Fp4Argmin<ComputeDType::kF32>(bf16)) << bf16;
    // A scale rounded to nearest leaves |y| below 6 * sqrt(2) * 2^(1/4).
    if (std::fabs(bf16) < 12) {
      ASSERT_EQ(Fp4FirstNearest(bf16), Fp4Argmin<ComputeDType::kBF16>(bf16));
    }
    if (std::fabs(f16) < 12) {
      ASSERT_EQ(Fp4FirstNearest(f16), Fp4Argmin<ComputeDType::kF16>(f16));
    }
  }
}

}  // namespace
}  // namespace moe
