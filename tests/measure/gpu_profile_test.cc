// The GPU profiles against a second quantizer, written from mlx-quantization.md section 6 in
// another way: values are looked up by exhaustive search over the code tables, in double.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "measure/oracle.h"

namespace moe {
namespace {

float InType(double value, ComputeDType dtype) {  // `value` is a float32 value
  const auto narrow = static_cast<float>(value);
  if (dtype == ComputeDType::kF16) return RoundToHalf(narrow);
  if (dtype == ComputeDType::kBF16) return RoundToBFloat16(narrow);
  return narrow;
}

// Code whose table value is nearest to |y|; of two equally near the even code.
unsigned NearestEvenCode(double y, const std::vector<double>& magnitudes) {
  const double target = std::min(std::abs(y), 1000.0);  // above the tables; distances stay exact
  unsigned best = 0;
  for (unsigned code = 1; code < magnitudes.size(); ++code) {
    const double gain = std::abs(target - magnitudes[best]) - std::abs(target - magnitudes[code]);
    if (gain > 0 || (gain == 0 && code % 2 == 0)) best = code;
  }
  return best;
}

std::vector<double> E4m3Magnitudes() {  // codes 0..126
  std::vector<double> values;
  for (int code = 0; code < 127; ++code) {
    const int e = code / 8, m = code % 8;
    values.push_back(e == 0 ? std::ldexp(m, -9) : std::ldexp(8 + m, e - 10));
  }
  return values;
}

const std::vector<double> kFp4Magnitudes = {0, 0.5, 1, 1.5, 2, 3, 4, 6};

struct Expected {
  std::vector<unsigned> codes;
  std::vector<float> scales, biases, w_hat;
};

void FloatModeGroup(const float* x, const oracle::Case& c, Expected& out) {
  const auto elements = c.scheme.bits == 4 ? kFp4Magnitudes : E4m3Magnitudes();
  float largest = 0;
  for (int64_t i = 0; i < c.scheme.group_size; ++i) largest = std::max(largest, std::abs(x[i]));
  const float wanted = largest / static_cast<float>(elements.back());
  double scale = 0;
  unsigned byte = 0;
  if (c.scheme.mode == "nvfp4") {
    byte = NearestEvenCode(std::min(wanted, 448.0f), E4m3Magnitudes());
    scale = E4m3Magnitudes()[byte];
  } else if (c.profile == QuantProfile::kMlxGpu) {
    while (byte < 254 && std::ldexp(1.0, static_cast<int>(byte) - 127) < wanted) ++byte;
    scale = std::ldexp(1.0, static_cast<int>(byte) - 127);
  } else {
    double nearest = wanted == 0 ? -127 : std::rint(std::log2(wanted));
    nearest = std::min(127.0, std::max(-127.0, nearest));
    byte = static_cast<unsigned>(nearest + 127);
    scale = std::ldexp(1.0, static_cast<int>(nearest));
  }
  out.scales.push_back(static_cast<float>(byte));
  const float multiplier = scale == 0 ? 0.0f : 1.0f / static_cast<float>(scale);
  for (int64_t i = 0; i < c.scheme.group_size; ++i) {
    const float y = x[i] * multiplier;
    const unsigned code = NearestEvenCode(y, elements);
    const bool negative = std::signbit(y);
    const double value = negative ? -elements[code] : elements[code];
    out.codes.push_back(code + (negative ? 1u << (c.scheme.bits - 1) : 0));
    out.w_hat.push_back(InType(value * scale, c.dtype));
  }
}

void AffineGroup(const float* x, const oracle::Case& c, Expected& out) {
  const float n = std::ldexp(1.0f, static_cast<int>(c.scheme.bits)) - 1;
  float lo = x[0], hi = 0;
  for (int64_t i = 0; i < c.scheme.group_size; ++i) {
    lo = std::fmin(lo, x[i]);
    hi = std::fmax(hi, x[i]);
  }
  float scale = std::fmax(c.scheme.bits == 1 ? hi - lo : (hi - lo) / n, 1e-7f);
  float bias = lo;
  if (c.scheme.bits > 1) {
    const bool low_end = -lo > std::abs(hi) || lo > std::abs(hi);
    const float edge = low_end ? lo : hi;
    if (!low_end) scale = -scale;
    const float steps = std::round(edge / scale);
    bias = steps == 0 ? 0.0f : edge;
    if (steps != 0) scale = edge / steps;
  }
  const float stored_scale = InType(scale, c.dtype), stored_bias = InType(bias, c.dtype);
  out.scales.push_back(stored_scale);
  out.biases.push_back(stored_bias);
  for (int64_t i = 0; i < c.scheme.group_size; ++i) {
    const float level = std::fmin(std::round((x[i] - bias) / scale), n);
    out.codes.push_back(static_cast<unsigned>(level));
    const float product = InType(level * stored_scale, c.dtype);
    out.w_hat.push_back(InType(product + stored_bias, c.dtype));
  }
}

unsigned UnpackedCode(const std::vector<uint32_t>& words, size_t i, unsigned bits) {
  unsigned code = 0;
  for (unsigned b = 0; b < bits; ++b) {
    const size_t bit = i * bits + b;
    code |= ((words[bit / 32] >> (bit % 32)) & 1u) << b;
  }
  return code;
}

bool SameBits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

TEST(GpuProfiles, EqualASecondQuantizerOnTheFiniteOracleInputs) {
  for (auto c : oracle::AllCases()) {
    if (c.metrics["w_contains_nonfinite"].get<bool>()) continue;
    c.profile =
        c.profile == QuantProfile::kMlxCpu ? QuantProfile::kMlxGpu : QuantProfile::kMlxGpuLegacy;
    SCOPED_TRACE(c.Label());
    const auto w = oracle::FileOf(c).Floats(c.name + ".w");
    Expected expected;
    for (size_t i = 0; i < w.size(); i += static_cast<size_t>(c.scheme.group_size)) {
      (c.scheme.mode == "affine" ? AffineGroup : FloatModeGroup)(&w[i], c, expected);
    }
    const auto made = QuantizeMatrix(w, c.rows, c.cols, c.scheme, c.profile, c.dtype);
    ASSERT_TRUE(made.has_value()) << made.error().Text();
    size_t differences = 0;
    for (size_t g = 0; g < expected.scales.size(); ++g) {
      differences += !SameBits(made->scales[g], expected.scales[g]);
      if (!expected.biases.empty()) differences += made->biases[g] != expected.biases[g];
    }
    for (size_t i = 0; i < w.size(); ++i) {
      const auto bits = static_cast<unsigned>(c.scheme.bits);
      differences += UnpackedCode(made->codes, i, bits) != expected.codes[i];
      const bool both_nan = std::isnan(made->w_hat[i]) && std::isnan(expected.w_hat[i]);
      differences += !both_nan && !SameBits(made->w_hat[i], expected.w_hat[i]);
    }
    EXPECT_EQ(differences, 0u);
  }
}

// The probe rows of mlx-quantization.md section 6, with the codes named there.
struct Probe {
  const char* name;
  const char* mode;
  std::vector<float> row;  // the rest of the 32 values is 0
  std::vector<unsigned> cpu_codes, gpu_codes;
};

std::vector<float> HalvesThen15() {
  std::vector<float> row;
  for (int k = 0; k < 31; ++k) row.push_back(static_cast<float>(k) / 2);
  row.push_back(15);
  return row;
}

const Probe kProbes[] = {
    {"AffineTies",
     "affine",
     HalvesThen15(),
     {15, 14, 14, 14, 13, 12, 12, 12},
     {15, 15, 14, 14, 13, 13}},
    {"Fp4TiesAndNegativeZero",
     "mxfp4",
     {6, .25f, .75f, 1.25f, 1.75f, 2.5f, 3.5f, 5, -.1f},
     {7, 0, 1, 2, 3, 4, 5, 6, 0},
     {7, 0, 2, 2, 4, 4, 6, 6, 8}},
};

TEST(GpuProfiles, AnswerTheProbeRowsAsTheSpecificationSays) {
  for (const Probe& probe : kProbes) {
    std::vector<float> row = probe.row;
    row.resize(32);
    const QuantScheme scheme{"probe", probe.mode, 4, 32};
    for (const bool gpu : {false, true}) {
      SCOPED_TRACE(std::string(probe.name) + (gpu ? " gpu" : " cpu"));
      const auto profile = gpu ? QuantProfile::kMlxGpu : QuantProfile::kMlxCpu;
      const auto made = QuantizeMatrix(row, 1, 32, scheme, profile, ComputeDType::kF32);
      ASSERT_TRUE(made.has_value());
      const auto& expected = gpu ? probe.gpu_codes : probe.cpu_codes;
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_EQ(UnpackedCode(made->codes, i, 4), expected[i]) << "element " << i;
      }
    }
  }
}

TEST(GpuProfiles, GiveZeroGroupsTheSmallestMxScale) {
  const std::vector<float> zeros(32);
  for (const char* mode : {"mxfp4", "mxfp8"}) {
    const QuantScheme scheme{"zero", mode, mode[4] - '0', 32};
    for (const auto& [profile, byte] :
         {std::pair{QuantProfile::kMlxCpu, 127.0f}, std::pair{QuantProfile::kMlxGpu, 0.0f},
          std::pair{QuantProfile::kMlxGpuLegacy, 0.0f}}) {
      const auto made = QuantizeMatrix(zeros, 1, 32, scheme, profile, ComputeDType::kBF16);
      ASSERT_TRUE(made.has_value());
      EXPECT_EQ(made->scales[0], byte) << mode << " " << ProfileName(profile);
    }
  }
}

// bf16, one group whose fit is scale 0.0100097656 and bias -0.75: code 75
// reconstructs to 0 with two roundings (a fusing GPU would give
// 0.000732421875).
TEST(GpuProfiles, RoundAffineReconstructionTwice) {
  const float scale = RoundToBFloat16(0.0100097656f);
  const float product = RoundToBFloat16(75 * scale);
  EXPECT_EQ(RoundToBFloat16(product - 0.75f), 0.0f);
  std::vector<float> row(32, 0.0f);
  row[0] = -0.75f;
  row[1] = RoundToBFloat16(180 * scale);  // range / 255 puts code 75 at zero
  const auto made = QuantizeMatrix(row, 1, 32, {"a8", "affine", 8, 32}, QuantProfile::kMlxGpu,
                                   ComputeDType::kBF16);
  ASSERT_TRUE(made.has_value());
  for (size_t i = 0; i < row.size(); ++i) {
    const auto code = static_cast<float>(UnpackedCode(made->codes, i, 8));
    EXPECT_EQ(made->w_hat[i],
              RoundToBFloat16(RoundToBFloat16(code * made->scales[0]) + made->biases[0]));
  }
}

}  // namespace
}  // namespace moe
