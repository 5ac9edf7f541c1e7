// Every kernel on every SIMD target of this machine, bit for bit against plain loops.
#include "measure/kernels.h"

#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "measure/array_matrix.h"
#include "measure/float_codes.h"
#include "measure/quant_kernels.h"
#include "measure/quant_metrics.h"
#include "moescope/measure.h"

namespace moe {
namespace {

class OnTarget : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    hwy::SetSupportedTargetsForTest(GetParam());
    Choose();
  }
  void TearDown() override {
    hwy::SetSupportedTargetsForTest(0);
    Choose();
  }

 private:
  static void Choose() { hwy::GetChosenTarget().Update(hwy::SupportedTargets()); }
};

INSTANTIATE_TEST_SUITE_P(All, OnTarget, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& target) {
                           return std::string(hwy::TargetName(target.param));
                         });

// ---- data: groups of every kind that a quantizer treats in its own way ----

std::vector<float> NormalWeights() { return TestWeights(4096); }

std::vector<float> Scaled(double factor) {
  auto values = TestWeights(4096);
  for (float& value : values) value = static_cast<float>(value * factor);
  return values;
}

std::vector<float> ScaledPerGroup() {  // every exponent that keeps the weights finite
  auto values = TestWeights(64 * 270);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(std::ldexp(values[i], static_cast<int>(i / 64) - 140));
  }
  return values;
}

std::vector<float> TieHeavy() {  // quarters between -8 and 8, so most codes are ties
  auto values = TestWeights(4096);
  for (float& value : values) value = std::nearbyint(value * 160) / 4;
  return values;
}

std::vector<float> OneSided(float sign) {
  auto values = TestWeights(4096);
  for (float& value : values) value = sign * (std::fabs(value) + 1);
  return values;
}

std::vector<float> ConstantGroups() {
  std::vector<float> values(4096);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] =
        static_cast<float>(std::ldexp(i / 64 % 2 == 0 ? 1.7 : -1.3, static_cast<int>(i / 64) - 30));
  }
  return values;
}

std::vector<float> SignedZeroes() {
  std::vector<float> values(4096);
  for (size_t i = 0; i < values.size(); ++i) values[i] = i % 3 == 0 ? -0.0f : 0.0f;
  for (size_t i = 0; i < values.size(); i += 256) values[i] = 0.37f;
  return values;
}

struct Data {
  const char* name;
  std::vector<float> values;
};

std::vector<Data> FiniteData() {
  return {{"normal", NormalWeights()},
          {"huge", Scaled(1e37)},
          {"largest", Scaled(1.8e39)},
          {"tiny", Scaled(1e-6)},
          {"subnormal", Scaled(1e-38)},
          {"smallest", Scaled(1e-43)},
          {"every exponent", ScaledPerGroup()},
          {"ties", TieHeavy()},
          {"positive", OneSided(1)},
          {"negative", OneSided(-1)},
          {"constant", ConstantGroups()},
          {"zeroes", SignedZeroes()},
          {"thousands", Scaled(1e5)}};
}

bool SameBits(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof a) == 0;
}

// ---- quantizers ----

struct Made {
  explicit Made(size_t elements) : scales(elements), biases(elements), w_hat(elements) {}
  std::vector<float> scales, biases, w_hat;
  uint64_t clipped = 0;
};

template <class Run>
Made Quantized(const std::vector<float>& x, const Quantizer& quantizer, Run run_groups) {
  Made made(x.size());
  GroupRun run{x.data(),
               x.size() / quantizer.group_size,
               made.scales.data(),
               made.biases.data(),
               made.w_hat.data(),
               nullptr,
               0};
  run_groups(quantizer, run);
  made.clipped = run.clipped;
  return made;
}

std::vector<QuantScheme> AllSchemes() {
  std::vector<QuantScheme> schemes = {
      {"", "mxfp4", 4, 32}, {"", "mxfp8", 8, 32}, {"", "nvfp4", 4, 16}};
  for (const int64_t bits : {1, 2, 3, 4, 5, 6, 8}) {
    for (const int64_t group : {32, 64, 128}) schemes.push_back({"", "affine", bits, group});
  }
  return schemes;
}

std::vector<float> FiniteIn(ComputeDType dtype, std::vector<float> values) {
  RoundToComputeDType(values, dtype);
  for (float& value : values) {
    if (!std::isfinite(value)) value = 1;
  }
  return values;
}

TEST_P(OnTarget, QuantizersEqualThePortableOnes) {
  for (const Data& data : FiniteData()) {
    for (const auto dtype : {ComputeDType::kF32, ComputeDType::kF16, ComputeDType::kBF16}) {
      auto x = FiniteIn(dtype, data.values);
      x.resize(x.size() / 128 * 128);
      for (const QuantScheme& scheme : AllSchemes()) {
        for (const auto profile : {QuantProfile::kMlxCpu, QuantProfile::kMlxGpu,
                                   QuantProfile::kMlxCpuLegacy, QuantProfile::kMlxGpuLegacy}) {
          SCOPED_TRACE(testing::Message() << data.name << " " << scheme.mode << scheme.bits << " g"
                                          << scheme.group_size << " " << ComputeDTypeName(dtype)
                                          << " " << ProfileName(profile));
          const auto quantizer = MakeQuantizer(scheme, profile, dtype, 1, x.size());
          ASSERT_TRUE(quantizer.has_value());
          const Made expected = Quantized(x, *quantizer, quantizer->run);
          const Made made = Quantized(x, *quantizer, QuantizeGroups);
          EXPECT_EQ(made.clipped, expected.clipped);
          size_t differences = 0;
          for (size_t i = 0; i < x.size(); ++i) {
            differences += !SameBits(made.w_hat[i], expected.w_hat[i]);
            differences += !SameBits(made.scales[i], expected.scales[i]);
            // A zero may have another sign there.
            differences += !SameBits(made.biases[i] + 0.0f, expected.biases[i] + 0.0f);
          }
          EXPECT_EQ(differences, 0u);
        }
      }
    }
  }
}

// Every bfloat16 and every float16 in a group whose largest value sets the scale.
TEST_P(OnTarget, FloatModesEqualThePortableOnesOnEvery16BitValue) {
  for (const auto dtype : {ComputeDType::kF16, ComputeDType::kBF16}) {
    std::vector<float> x;
    for (uint32_t pattern = 0; pattern < 65536; ++pattern) {
      const auto bits = static_cast<uint16_t>(pattern);
      x.push_back(dtype == ComputeDType::kF16 ? HalfToFloat(bits) : BFloat16ToFloat(bits));
    }
    x = FiniteIn(dtype, x);
    for (size_t i = 0; i < x.size(); i += 32) x[i] = std::fabs(x[i]) < 100 ? 6 * x[i + 1] : x[i];
    x = FiniteIn(dtype, x);
    for (const QuantScheme& scheme : AllSchemes()) {
      if (scheme.mode == "affine") continue;
      for (const auto profile : {QuantProfile::kMlxCpu, QuantProfile::kMlxGpu}) {
        const auto quantizer = MakeQuantizer(scheme, profile, dtype, 1, x.size());
        const Made expected = Quantized(x, *quantizer, quantizer->run);
        const Made made = Quantized(x, *quantizer, QuantizeGroups);
        size_t differences = 0;
        for (size_t i = 0; i < x.size(); ++i) {
          differences += !SameBits(made.w_hat[i], expected.w_hat[i]);
        }
        EXPECT_EQ(differences, 0u) << scheme.mode << " " << ComputeDTypeName(dtype);
      }
    }
  }
}

// ---- sums ----

constexpr size_t kCounts[] = {1, 7, 8, 9, 31, 64, 1000, 4095};

double FoldedSum(const std::vector<float>& x, size_t count, double (*term)(double)) {
  double lanes[8] = {};
  for (size_t i = 0; i < count; ++i) lanes[i % 8] += term(x[i]);
  return ((((((lanes[0] + lanes[1]) + lanes[2]) + lanes[3]) + lanes[4]) + lanes[5]) + lanes[6]) +
         lanes[7];
}

TEST_P(OnTarget, TileSumsEqualPlainLoops) {
  for (const Data& data : FiniteData()) {
    for (const size_t count : kCounts) {
      SCOPED_TRACE(testing::Message() << data.name << " " << count);
      const auto x = FiniteIn(ComputeDType::kF32, data.values);
      const TileSums sums = SumTile(x.data(), count);
      EXPECT_EQ(sums.sum, FoldedSum(x, count, [](double v) { return v; }));
      EXPECT_EQ(sums.sum_abs, FoldedSum(x, count, [](double v) { return std::fabs(v); }));
      EXPECT_EQ(sums.sum_sq, FoldedSum(x, count, [](double v) { return v * v; }));
      EXPECT_EQ(SumSquaredDeviation(x.data(), count, 0.125),
                FoldedSum(x, count, [](double v) { return (v - 0.125) * (v - 0.125); }));
      float largest = 0;
      for (size_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(x[i]));
      EXPECT_EQ(sums.max_bits, FloatBits(largest));
      EXPECT_EQ(sums.nonfinite, 0u);
    }
  }
}

TEST_P(OnTarget, NonFiniteValuesAreCounted) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  for (const size_t count : {1u, 8u, 77u}) {
    std::vector<float> x(count, 1.0f);
    x[count - 1] = -inf;
    x[count / 2] = -nan;
    x[0] = nan;
    uint64_t expected = 0;
    for (const float value : x) expected += !std::isfinite(value);
    EXPECT_EQ(SumTile(x.data(), count).nonfinite, expected);
  }
}

TEST_P(OnTarget, GroupSumsEqualPlainLoops) {
  const auto x = TestWeights(4096);
  for (const size_t size : {8u, 32u, 64u, 1024u, 4096u}) {
    std::vector<double> sums(x.size() / size);
    std::vector<float> maxima(x.size() / size);
    SumGroups(x.data(), sums.size(), size, sums.data(), maxima.data());
    for (size_t g = 0; g < sums.size(); ++g) {
      const std::vector<float> group(x.begin() + static_cast<long>(g * size),
                                     x.begin() + static_cast<long>((g + 1) * size));
      ASSERT_EQ(sums[g], FoldedSum(group, size, [](double v) { return std::fabs(v); }));
      float largest = 0;
      for (const float value : group) largest = std::max(largest, std::fabs(value));
      ASSERT_EQ(maxima[g], largest);
    }
  }
}

TEST_P(OnTarget, ErrorSumsEqualPlainLoops) {
  for (const Data& data : FiniteData()) {
    SCOPED_TRACE(data.name);
    const auto x = FiniteIn(ComputeDType::kF32, data.values);
    auto w_hat = FiniteIn(ComputeDType::kBF16, data.values);
    for (size_t i = 0; i < w_hat.size(); i += 5) w_hat[i] = i % 2 == 0 ? 0.0f : -0.0f;
    ErrorLanes lanes;
    AddErrors(x.data(), w_hat.data(), 64, lanes);  // in two pieces: the lanes go on
    AddErrors(x.data() + 64, w_hat.data() + 64, 1000 - 64, lanes);
    ErrorLanes expected;
    for (size_t i = 0; i < 1000; ++i) {
      const double d = static_cast<double>(x[i]) - w_hat[i];
      expected.sum_sq[i % 8] += d * d;
      expected.max_abs[i % 8] = std::max(expected.max_abs[i % 8], std::fabs(d));
      expected.zeroed += x[i] != 0 && w_hat[i] == 0;
      expected.max_bits = std::max(expected.max_bits, MagnitudeBits(w_hat[i]));
    }
    EXPECT_EQ(std::memcmp(lanes.sum_sq, expected.sum_sq, sizeof lanes.sum_sq), 0);
    EXPECT_EQ(std::memcmp(lanes.max_abs, expected.max_abs, sizeof lanes.max_abs), 0);
    EXPECT_EQ(lanes.zeroed, expected.zeroed);
    EXPECT_EQ(lanes.max_bits, expected.max_bits);
  }
}

TEST_P(OnTarget, ANonFiniteReconstructionShows) {
  const std::vector<float> x(16, 1.0f);
  for (const float bad : {INFINITY, -INFINITY, NAN}) {
    auto w_hat = x;
    w_hat[11] = bad;
    ErrorLanes lanes;
    AddErrors(x.data(), w_hat.data(), 16, lanes);
    EXPECT_GE(lanes.max_bits, kInfinityBits);
  }
}

TEST_P(OnTarget, MeasurementsDoNotDependOnIt) {
  MeasureOptions options;
  options.group_sizes = {32, 48};
  options.schemes = AllSchemes();
  const ArrayMatrix matrix(TestWeights(60 * 768), 60, 768);
  const auto here = MeasureMatrix(matrix, options).value();
  EXPECT_EQ(SimdTargetName(), hwy::TargetName(GetParam()));
  TearDown();
  const auto best = MeasureMatrix(matrix, options).value();
  EXPECT_EQ(here.stats.mean, best.stats.mean);
  EXPECT_EQ(here.stats.std, best.stats.std);
  EXPECT_EQ(here.stats.rms, best.stats.rms);
  EXPECT_EQ(here.stats.percentiles, best.stats.percentiles);
  EXPECT_EQ(here.stats.groups[0].percentile, best.stats.groups[0].percentile);
  EXPECT_EQ(here.stats.groups[1].max, best.stats.groups[1].max);
  for (size_t s = 0; s < options.schemes.size(); ++s) {
    EXPECT_EQ(here.quant[s].w_rel_fro, best.quant[s].w_rel_fro);
    EXPECT_EQ(here.quant[s].w_rel_max, best.quant[s].w_rel_max);
    EXPECT_EQ(here.quant[s].sqnr_db, best.quant[s].sqnr_db);
    EXPECT_EQ(here.quant[s].scale_mean, best.quant[s].scale_mean);
    EXPECT_EQ(here.quant[s].bias_mean, best.quant[s].bias_mean);
    EXPECT_EQ(here.quant[s].clip_share, best.quant[s].clip_share);
    EXPECT_EQ(here.quant[s].zero_share, best.quant[s].zero_share);
  }
}

}  // namespace
}  // namespace moe
