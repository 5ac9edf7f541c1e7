// Every kernel on every SIMD target of this machine, bit for bit against plain loops.
#include "measure/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "base/kernel_targets.h"
#include "measure/array_matrix.h"
#include "measure/encode.h"
#include "measure/error_kernels.h"
#include "measure/float_codes.h"
#include "measure/quant_metrics.h"
#include "measure/weight_counts.h"
#include "moescope/measure.h"

namespace moe {
namespace {

class OnTarget : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { UseTarget(GetParam()); }
  void TearDown() override { UseTarget(0); }
};

INSTANTIATE_TEST_SUITE_P(All, OnTarget, testing::ValuesIn(KernelTargets()), TargetNameOf());

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

// ---- quantizers ----

std::vector<QuantScheme> AllSchemes() {
  std::vector<QuantScheme> schemes;
  for (const QuantMode& mode : QuantModes()) {
    for (const int64_t bits : mode.bits) {
      for (const int64_t group : mode.group_sizes) {
        schemes.push_back({"", std::string(mode.name), bits, group});
      }
    }
  }
  return schemes;
}

// Not MLX's: e4m3 codes under a float32 scale, amax / 448, as FP8 checkpoints have. Its row names
// no kernel.
void RunFp8(const Quantizer& quantizer, GroupRun& run) {
  const size_t size = quantizer.group_size;
  for (size_t g = 0; g < run.groups; ++g) {
    float largest = 0;
    for (size_t i = 0; i < size; ++i) largest = std::max(largest, std::fabs(run.x[g * size + i]));
    const float scale = run.scales[g] = largest / 448;
    for (size_t i = 0; i < size; ++i) {
      const uint8_t code = scale == 0 ? 0 : E4m3FromFloat(run.x[g * size + i] / scale);
      run.w_hat[g * size + i] = kE4m3Values[code] * scale;
      if (run.codes != nullptr) run.codes[g * size + i] = code;
    }
  }
}
constexpr QuantEncoders kFp8Encoders = {{{RunFp8}, {RunFp8}, {RunFp8}}};
constexpr int64_t kFp8Bits[] = {8}, kFp8Groups[] = {16, 32, 128};
constexpr QuantMode kFp8 = {.name = "fp8",
                            .bits = kFp8Bits,
                            .group_sizes = kFp8Groups,
                            .default_bits = 8,
                            .default_group_size = 128,
                            .scale_bits = 32,
                            .largest = 448,
                            .cpu = &kFp8Encoders,
                            .gpu = &kFp8Encoders};

std::vector<float> FiniteIn(ComputeDType dtype, std::vector<float> values) {
  for (float& value : values) {
    if (dtype == ComputeDType::kF16) value = RoundToHalf(value);
    if (dtype == ComputeDType::kBF16) value = RoundToBFloat16(value);
    if (!std::isfinite(value)) value = 1;
  }
  return values;
}

// What plain loops say of d = x - w_hat.
void AddPlainly(ComputeDType dtype, const float* x, const float* w_hat, const double* importance,
                size_t count, ErrorSums& sums) {
  for (size_t i = 0; i < count; ++i) {
    const double d = dtype == ComputeDType::kF32 ? static_cast<double>(x[i]) - w_hat[i]
                                                 : static_cast<double>(x[i] - w_hat[i]);
    sums.sum_sq[i % 8] += d * d;
    sums.weighted_sq[i % 8] += d * d * importance[i];
    sums.max_abs = std::max(sums.max_abs, std::fabs(d));
    sums.zeroed += x[i] != 0 && w_hat[i] == 0;
    sums.nonfinite |= !std::isfinite(w_hat[i]);
  }
}

void AddPlainly(double stored, size_t lane, StoredSums& sums) {
  sums.sum[lane] += stored;
  sums.sum_abs[lane] += std::fabs(stored);
  sums.max[lane] = std::max(sums.max[lane], stored);
  sums.max_abs[lane] = std::max(sums.max_abs[lane], std::fabs(stored));
}

bool SameBits(const double (&a)[8], const double (&b)[8]) {
  for (size_t i = 0; i < 8; ++i) {
    const double plus_zero[] = {a[i] + 0.0, b[i] + 0.0};  // a zero may have another sign
    if (std::memcmp(&plus_zero[0], &plus_zero[1], sizeof(double)) != 0) return false;
  }
  return true;
}

bool Same(const StoredSums& a, const StoredSums& b) {
  return SameBits(a.sum, b.sum) && SameBits(a.sum_abs, b.sum_abs) && SameBits(a.max, b.max) &&
         SameBits(a.max_abs, b.max_abs);
}

// The sums are compared group by group, so that no error can hide in them.
void ExpectPlainSums(const Quantizer& quantizer, const std::vector<float>& x) {
  const size_t size = quantizer.group_size;
  size_t differences = 0;
  const auto importance = TestImportance(size);
  for (size_t at = 0; at + size <= x.size(); at += size) {
    float scale = 0, bias = 0, lo = 0, hi = 0;
    std::vector<float> w_hat(size);
    GroupRun run{&x[at], 1, &scale, &bias, w_hat.data(), nullptr, 0};
    quantizer.encoder.run(quantizer, run);
    ErrorSums expected, made, weighted;
    AddPlainly(quantizer.dtype, &x[at], w_hat.data(), importance.data(), size, expected);
    AddPlainly(quantizer.DecodedScale(scale), 0, expected.scales);
    if (quantizer.mode->has_bias) AddPlainly(bias, 0, expected.biases);
    SummarizeGroups(&x[at], 1, size, &lo, &hi, nullptr);
    const std::vector<float> low(8, lo), high(8, hi);  // vectors read beyond the last group
    AddGroupErrors(quantizer, {&x[at], 1, low.data(), high.data()}, made);
    AddGroupErrors(quantizer, {&x[at], 1, low.data(), high.data(), importance.data()}, weighted);
    differences += weighted.clipped != made.clipped || !Same(weighted.scales, made.scales);
    differences += made.nonfinite != expected.nonfinite || made.clipped != run.clipped;
    differences += !Same(made.scales, expected.scales) || !Same(made.biases, expected.biases);
    if (expected.nonfinite) continue;
    differences += !SameBits(made.sum_sq, expected.sum_sq) || made.max_abs != expected.max_abs ||
                   made.zeroed != expected.zeroed || !SameBits(made.weighted_sq, {});
    differences += !SameBits(weighted.sum_sq, expected.sum_sq) ||
                   !SameBits(weighted.weighted_sq, expected.weighted_sq) ||
                   weighted.max_abs != expected.max_abs || weighted.zeroed != expected.zeroed;
  }
  EXPECT_EQ(differences, 0u);
}

TEST_P(OnTarget, ErrorsOfSchemesEqualThePortableQuantizers) {
  for (const Data& data : FiniteData()) {
    for (const auto dtype : {ComputeDType::kF32, ComputeDType::kF16, ComputeDType::kBF16}) {
      const auto x = FiniteIn(dtype, data.values);
      for (const QuantScheme& scheme : AllSchemes()) {
        for (const auto profile : {QuantProfile::kMlxCpu, QuantProfile::kMlxGpu,
                                   QuantProfile::kMlxCpuLegacy, QuantProfile::kMlxGpuLegacy}) {
          SCOPED_TRACE(testing::Message() << data.name << " " << scheme.mode << scheme.bits << " g"
                                          << scheme.group_size << " " << ComputeDTypeName(dtype)
                                          << " " << ProfileName(profile));
          const auto quantizer = MakeQuantizer(scheme, profile, dtype, 1, x.size() / 128 * 128);
          ASSERT_TRUE(quantizer.has_value());
          ExpectPlainSums(*quantizer, x);
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
        SCOPED_TRACE(testing::Message() << scheme.mode << " " << ComputeDTypeName(dtype) << " "
                                        << ProfileName(profile));
        ExpectPlainSums(*MakeQuantizer(scheme, profile, dtype, 1, x.size()), x);
      }
    }
  }
}

// A mode that names no kernel, and one whose kernel does not take groups so small.
TEST_P(OnTarget, AModeWithoutAKernelHasThePortableSums) {
  QuantMode small = *FindQuantMode("affine");
  constexpr int64_t kSmall[] = {16};
  small.group_sizes = kSmall;
  for (const Data& data : FiniteData()) {
    for (const auto dtype : {ComputeDType::kF32, ComputeDType::kF16, ComputeDType::kBF16}) {
      const auto x = FiniteIn(dtype, data.values);
      for (const QuantMode* mode : {&kFp8, static_cast<const QuantMode*>(&small)}) {
        for (const int64_t group : mode->group_sizes) {
          SCOPED_TRACE(testing::Message() << mode->name << " g" << group << " " << data.name << " "
                                          << ComputeDTypeName(dtype));
          const auto quantizer =
              MakeQuantizer(*mode, {"", "", 8, group}, QuantProfile::kMlxCpu, dtype, 1, 4096);
          ASSERT_TRUE(quantizer.has_value());
          ExpectPlainSums(*quantizer, x);
        }
      }
    }
  }
}

// By hand: the scale is 448 / 448, e4m3 has 16 and 18, 288 and 320, 0 and 2^-9.
TEST_P(OnTarget, AModeWithoutAKernelIsMeasured) {
  std::vector<float> x(32);
  x[0] = 448;
  x[1] = 17;        // a tie, to 16
  x[2] = -300;      // to -288
  x[3] = 0x1p-10f;  // a tie, to 0
  std::vector<float> lo(8), hi(8);
  SummarizeGroups(x.data(), 2, 16, lo.data(), hi.data(), nullptr);
  const auto quantizer = MakeQuantizer(kFp8, {"", "fp8", 8, 16}, QuantProfile::kMlxCpu,
                                       ComputeDType::kBF16, 1, x.size());
  ASSERT_TRUE(quantizer.has_value());
  QuantErrorSums sums(*quantizer);
  sums.AddGroups({x.data(), 2, lo.data(), hi.data()});
  sums.EndTile();
  WeightTotals weights;
  weights.AddTile(SumTile(x.data(), x.size()), 0);
  const QuantError error = sums.Finish(weights, 0, std::nullopt);
  EXPECT_EQ(error.w_rel_fro,
            std::sqrt(1 + 144 + 0x1p-20) / std::sqrt(448 * 448 + 17 * 17 + 300 * 300 + 0x1p-20));
  EXPECT_EQ(error.max_abs_err, 12);
  EXPECT_EQ(error.w_rel_max, 12.0 / 448);
  EXPECT_EQ(error.zero_share, 1.0 / 32);
  EXPECT_EQ(error.clip_share, 0);
  EXPECT_EQ(error.scale_mean, 0.5);  // the second group is zero
  EXPECT_EQ(error.scale_max, 1);
  EXPECT_EQ(error.bias_mean, std::nullopt);
  EXPECT_EQ(error.bits_per_weight, 8 + 32.0 / 16);
}

TEST(Quantizer, WhatTheLoopsHaveNoRoomForIsRefused) {
  constexpr int64_t kTooLarge[] = {256}, kTooSmall[] = {8}, kOdd[] = {24}, kNone[] = {0},
                    kSixteen[] = {16}, kSixteenBits[] = {16};
  QuantMode mode = kFp8;
  for (const std::span<const int64_t> groups :
       {std::span(kTooLarge), std::span(kTooSmall), std::span(kOdd), std::span(kNone)}) {
    mode.group_sizes = groups;
    EXPECT_FALSE(MakeQuantizer(mode, {"", "fp8", 8, groups[0]}, QuantProfile::kMlxCpu,
                               ComputeDType::kF32, 1, 768));
  }
  mode.group_sizes = kSixteen;
  mode.bits = kSixteenBits;
  EXPECT_FALSE(
      MakeQuantizer(mode, {"", "fp8", 16, 16}, QuantProfile::kMlxCpu, ComputeDType::kF32, 1, 768));
}

// Sums go on over the groups of a batch, portable ones among them.
TEST_P(OnTarget, ABatchIsTheSumOfItsGroups) {
  auto x = NormalWeights();
  for (size_t i = 320; i < 352; ++i) x[i] = std::ldexp(x[i], -135);  // its scale is odd
  std::vector<float> lo(128), hi(128);
  SummarizeGroups(x.data(), 128, 32, lo.data(), hi.data(), nullptr);
  const auto importance = TestImportance(x.size());
  for (const QuantScheme& scheme : {QuantScheme{"", "affine", 4, 32}, {"", "mxfp4", 4, 32}}) {
    const auto quantizer =
        MakeQuantizer(scheme, QuantProfile::kMlxCpu, ComputeDType::kF32, 1, x.size()).value();
    ErrorSums expected, made;
    for (size_t g = 0; g < 125; ++g) {  // no whole number of vectors
      float scale = 0, bias = 0, w_hat[32];
      GroupRun run{&x[g * 32], 1, &scale, &bias, w_hat, nullptr, 0};
      quantizer.encoder.run(quantizer, run);
      AddPlainly(quantizer.dtype, &x[g * 32], w_hat, &importance[g * 32], 32, expected);
      AddPlainly(quantizer.DecodedScale(scale), g % 8, expected.scales);
      if (quantizer.mode->has_bias) AddPlainly(bias, g % 8, expected.biases);
    }
    AddGroupErrors(quantizer, {x.data(), 125, lo.data(), hi.data(), importance.data()}, made);
    EXPECT_TRUE(SameBits(made.sum_sq, expected.sum_sq));
    EXPECT_TRUE(SameBits(made.weighted_sq, expected.weighted_sq));
    EXPECT_EQ(made.max_abs, expected.max_abs);
    EXPECT_EQ(made.zeroed, expected.zeroed);
    EXPECT_TRUE(Same(made.scales, expected.scales));
    EXPECT_TRUE(Same(made.biases, expected.biases));
  }
}

// ---- codes ----

struct Encoded {
  std::vector<std::byte> codes, scales, biases;
  bool operator==(const Encoded&) const = default;
};

using EncodeFunction = void (*)(const Quantizer&, const float*, size_t, const EncodedGroups&);

Encoded EncodedBy(const Quantizer& quantizer, const std::vector<float>& x,
                  EncodeFunction encode = EncodeGroups) {
  const GroupBytes each = GroupBytesOf(quantizer);
  const size_t groups = x.size() / quantizer.group_size;
  Encoded out = {std::vector<std::byte>(groups * each.codes),
                 std::vector<std::byte>(groups * each.scale),
                 std::vector<std::byte>(groups * each.bias)};
  encode(quantizer, x.data(), groups, {out.codes.data(), out.scales.data(), out.biases.data()});
  return out;
}

// By the mode's own encoder, bit by bit.
Encoded EncodedPlainly(const Quantizer& quantizer, const std::vector<float>& x) {
  const size_t size = quantizer.group_size, groups = x.size() / size;
  const GroupBytes each = GroupBytesOf(quantizer);
  std::vector<float> scales(groups), biases(groups), w_hat(x.size());
  std::vector<uint8_t> codes(x.size());
  GroupRun run{x.data(), groups, scales.data(), biases.data(), w_hat.data(), codes.data(), 0};
  quantizer.encoder.run(quantizer, run);
  Encoded out;
  out.codes.resize(groups * each.codes);
  for (size_t bit = 0; bit < out.codes.size() * 8; ++bit) {
    const int value = codes[bit / quantizer.bits] >> bit % quantizer.bits & 1;
    out.codes[bit / 8] |= static_cast<std::byte>(value << bit % 8);
  }
  for (size_t g = 0; g < groups; ++g) {
    std::byte bytes[4];
    if (quantizer.mode->scale_bits == 8) {
      out.scales.push_back(static_cast<std::byte>(scales[g]));
    } else {
      StoreFloat(quantizer.dtype, scales[g], bytes);
      out.scales.insert(out.scales.end(), bytes, bytes + each.scale);
    }
    if (!quantizer.mode->has_bias) continue;
    StoreFloat(quantizer.dtype, biases[g], bytes);
    out.biases.insert(out.biases.end(), bytes, bytes + each.bias);
  }
  return out;
}

std::vector<Data> AnyData() {
  auto data = FiniteData();
  auto odd = TestWeights(4096);
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  odd[5] = inf;
  odd[300] = -inf;
  odd[640] = nan;
  odd[1200] = -nan;
  odd[1201] = inf;
  for (size_t i = 2048; i < 2176; ++i) odd[i] = nan;
  data.push_back({"not finite", odd});
  return data;
}

std::vector<float> RoundedTo(ComputeDType dtype, std::vector<float> values) {
  for (float& value : values) {
    if (dtype == ComputeDType::kF16) value = RoundToHalf(value);
    if (dtype == ComputeDType::kBF16) value = RoundToBFloat16(value);
  }
  return values;
}

TEST_P(OnTarget, CodesScalesAndBiasesEqualThePortableQuantizers) {
  for (const Data& data : AnyData()) {
    for (const auto dtype : {ComputeDType::kF32, ComputeDType::kF16, ComputeDType::kBF16}) {
      const auto x = RoundedTo(dtype, data.values);
      for (const QuantScheme& scheme : AllSchemes()) {
        for (const auto profile : {QuantProfile::kMlxCpu, QuantProfile::kMlxGpu,
                                   QuantProfile::kMlxCpuLegacy, QuantProfile::kMlxGpuLegacy}) {
          if (IsLegacy(profile) && !scheme.mode.starts_with("mx")) continue;  // as today's
          SCOPED_TRACE(testing::Message() << data.name << " " << scheme.mode << scheme.bits << " g"
                                          << scheme.group_size << " " << ComputeDTypeName(dtype)
                                          << " " << ProfileName(profile));
          const auto quantizer = MakeQuantizer(scheme, profile, dtype, 1, x.size());
          ASSERT_TRUE(quantizer.has_value());
          EXPECT_TRUE(EncodedBy(*quantizer, x) == EncodedPlainly(*quantizer, x));
        }
      }
    }
  }
}

float FloatAt(ComputeDType dtype, const std::vector<std::byte>& bytes, size_t index) {
  const size_t size = BytesOf(dtype);
  uint32_t bits = 0;
  std::memcpy(&bits, bytes.data() + index * size, size);
  if (dtype == ComputeDType::kF32) return std::bit_cast<float>(bits);
  const auto half = static_cast<uint16_t>(bits);
  return dtype == ComputeDType::kF16 ? HalfToFloat(half) : BFloat16ToFloat(half);
}

// Squared error of group `g` as MLX decodes it (mlx-quantization.md sections 3 and 4).
double ErrorOf(const Quantizer& quantizer, const Encoded& encoded, const std::vector<float>& x,
               size_t g) {
  const auto rounded = [&](float value) { return RoundedTo(quantizer.dtype, {value}).front(); };
  double sum = 0;
  for (size_t i = g * quantizer.group_size; i < (g + 1) * quantizer.group_size; ++i) {
    unsigned code = 0;
    for (unsigned bit = 0; bit < quantizer.bits; ++bit) {
      const size_t at = i * quantizer.bits + bit;
      code |= (std::to_integer<unsigned>(encoded.codes[at / 8]) >> at % 8 & 1) << bit;
    }
    float w_hat = 0;
    if (quantizer.mode->has_bias) {
      const float scale = FloatAt(quantizer.dtype, encoded.scales, g);
      w_hat = rounded(rounded(static_cast<float>(code) * scale) +
                      FloatAt(quantizer.dtype, encoded.biases, g));
    } else {
      const auto byte = std::to_integer<size_t>(encoded.scales[g]);
      const float value = quantizer.bits == 8 ? kE4m3Values[code] : kFp4Values[code];
      w_hat = rounded(value * rounded((*quantizer.mode->scale_values)[byte]));
    }
    sum += (double{x[i]} - w_hat) * (double{x[i]} - w_hat);
  }
  return sum;
}

TEST(SearchGroups, IsNeverWorseThanMlxAndOftenBetter) {
  for (const Data& data : FiniteData()) {
    const bool is_normal = data.name == std::string("normal");
    for (const auto dtype : {ComputeDType::kF32, ComputeDType::kF16, ComputeDType::kBF16}) {
      if (!is_normal && dtype == ComputeDType::kF16) continue;
      const auto x = FiniteIn(dtype, data.values);
      for (const QuantScheme& scheme : AllSchemes()) {
        if (scheme.group_size >= 64) continue;  // as 32
        SCOPED_TRACE(testing::Message() << data.name << " " << scheme.mode << scheme.bits << " g"
                                        << scheme.group_size << " " << ComputeDTypeName(dtype));
        const auto quantizer =
            MakeQuantizer(scheme, QuantProfile::kMlxCpu, dtype, 1, x.size()).value();
        const Encoded usual = EncodedBy(quantizer, x),
                      searched = EncodedBy(quantizer, x, SearchGroups);
        size_t worse = 0, better = 0;
        const size_t groups = x.size() / quantizer.group_size;
        for (size_t g = 0; g < groups; ++g) {
          const double before = ErrorOf(quantizer, usual, x, g);
          const double after = ErrorOf(quantizer, searched, x, g);
          worse += after > before * (1 + 1e-6);
          better += after < before;
        }
        EXPECT_EQ(worse, 0u);
        EXPECT_GE(better, is_normal && scheme.bits <= 4 ? groups / 20 : 0);
      }
    }
  }
}

TEST(SearchGroups, GivesTheSameBytesOnAllTargets) {
  for (const Data& data : AnyData()) {
    for (const QuantScheme& scheme : AllSchemes()) {
      SCOPED_TRACE(testing::Message() << data.name << " " << scheme.mode << scheme.bits);
      const auto x = RoundedTo(ComputeDType::kBF16, data.values);
      const auto quantizer =
          MakeQuantizer(scheme, QuantProfile::kMlxCpu, ComputeDType::kBF16, 1, x.size()).value();
      std::vector<Encoded> made;
      for (const int64_t target : KernelTargets()) {
        UseTarget(target);
        made.push_back(EncodedBy(quantizer, x, SearchGroups));
      }
      for (const Encoded& one : made) EXPECT_TRUE(one == made.front());
    }
  }
  UseTarget(0);
}

TEST(SearchGroups, AreDecodedAsMlxDoes) {
  for (const auto dtype : {ComputeDType::kF32, ComputeDType::kF16, ComputeDType::kBF16}) {
    const auto x = RoundedTo(dtype, NormalWeights());
    for (QuantScheme scheme : AllSchemes()) {
      SCOPED_TRACE(testing::Message() << scheme.mode << scheme.bits << " g" << scheme.group_size
                                      << " " << ComputeDTypeName(dtype));
      scheme.name = "s+search";
      const auto quantizer =
          MakeQuantizer(scheme, QuantProfile::kMlxGpu, dtype, 1, x.size()).value();
      const auto made =
          QuantizeMatrix(x, 1, x.size(), scheme, QuantProfile::kMlxGpu, dtype).value();
      const Encoded searched = EncodedBy(quantizer, x, SearchGroups);
      for (size_t g = 0; g < x.size() / quantizer.group_size; ++g) {
        double sum = 0;
        for (size_t i = g * quantizer.group_size; i < (g + 1) * quantizer.group_size; ++i) {
          sum += (double{x[i]} - made.w_hat[i]) * (double{x[i]} - made.w_hat[i]);
        }
        EXPECT_EQ(sum, ErrorOf(quantizer, searched, x, g));
      }
    }
  }
}

TEST_P(OnTarget, AModeWithoutAKernelIsEncoded) {
  const auto x = NormalWeights();
  const auto quantizer =
      MakeQuantizer(kFp8, {"", "fp8", 8, 16}, QuantProfile::kMlxCpu, ComputeDType::kF32, 1, 4096);
  ASSERT_TRUE(quantizer.has_value());
  EXPECT_TRUE(EncodedBy(*quantizer, x) == EncodedPlainly(*quantizer, x));
}

// ---- sums ----

constexpr size_t kCounts[] = {1, 7, 8, 9, 31, 64, 1000, 4095};

double FoldedSum(const std::vector<float>& x, size_t count, double (*term)(double)) {
  double lanes[8] = {};
  for (size_t i = 0; i < count; ++i) lanes[i % 8] += term(x[i]);
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
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
      const auto weights = TestImportance(count);
      double lanes[8] = {};
      std::vector<double> squares(count, 0.5), expected(count);
      for (size_t i = 0; i < count; ++i) {
        lanes[i % 8] += double{x[i]} * x[i] * weights[i];
        expected[i] = 0.5 + double{x[i]} * x[i];
      }
      EXPECT_EQ(SumWeightedSquares(x.data(), weights.data(), count), FoldSum(lanes));
      AddSquares(x.data(), count, squares.data());
      EXPECT_EQ(squares, expected);
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
    EXPECT_GE(SumTile(x.data(), count).max_bits, kInfinityBits);
  }
}

TEST_P(OnTarget, GroupSummariesEqualPlainLoops) {
  const auto x = TestWeights(4096);
  for (const size_t size : {8u, 16u, 32u, 64u, 1024u, 4096u}) {
    const size_t groups = x.size() / size;
    std::vector<double> sums(groups);
    std::vector<float> lo(groups), hi(groups), ratios(groups);
    SummarizeGroups(x.data(), groups, size, lo.data(), hi.data(), sums.data());
    const float largest = GroupRatios(sums.data(), hi.data(), groups, static_cast<double>(size),
                                      1e-12, ratios.data());
    EXPECT_EQ(largest, *std::max_element(ratios.begin(), ratios.end()));
    for (size_t g = 0; g < groups; ++g) {
      const std::vector<float> group(x.begin() + static_cast<long>(g * size),
                                     x.begin() + static_cast<long>((g + 1) * size));
      ASSERT_EQ(sums[g], FoldedSum(group, size, [](double v) { return std::fabs(v); }));
      ASSERT_EQ(lo[g], *std::min_element(group.begin(), group.end()));
      ASSERT_EQ(hi[g], *std::max_element(group.begin(), group.end()));
      ASSERT_EQ(ratios[g],
                static_cast<float>(hi[g] / (sums[g] / static_cast<double>(size) + 1e-12)));
    }
  }
}

TEST_P(OnTarget, ErrorSumsEqualPlainLoops) {
  for (const Data& data : FiniteData()) {
    for (const auto dtype : {ComputeDType::kF32, ComputeDType::kBF16}) {
      SCOPED_TRACE(testing::Message() << data.name << " " << ComputeDTypeName(dtype));
      const auto x = FiniteIn(ComputeDType::kF32, data.values);
      auto w_hat = FiniteIn(ComputeDType::kBF16, data.values);
      for (size_t i = 0; i < w_hat.size(); i += 5) w_hat[i] = i % 2 == 0 ? 0.0f : -0.0f;
      ErrorSums sums, expected;
      const auto a = TestImportance(1000);
      // In two pieces: the lanes go on.
      AddErrors(dtype, x.data(), w_hat.data(), a.data(), 64, sums);
      AddErrors(dtype, x.data() + 64, w_hat.data() + 64, a.data() + 64, 1000 - 64, sums);
      AddPlainly(dtype, x.data(), w_hat.data(), a.data(), 1000, expected);
      EXPECT_TRUE(SameBits(sums.weighted_sq, expected.weighted_sq));
      EXPECT_TRUE(SameBits(sums.sum_sq, expected.sum_sq));
      EXPECT_EQ(sums.max_abs, expected.max_abs);
      EXPECT_EQ(sums.zeroed, expected.zeroed);
      EXPECT_FALSE(sums.nonfinite);
    }
  }
}

TEST_P(OnTarget, ANonFiniteReconstructionShows) {
  const std::vector<float> x(16, 1.0f);
  for (const float bad : {INFINITY, -INFINITY, NAN}) {
    auto w_hat = x;
    w_hat[11] = bad;
    ErrorSums sums;
    AddErrors(ComputeDType::kF32, x.data(), w_hat.data(), nullptr, 16, sums);
    EXPECT_TRUE(sums.nonfinite);
  }
}

TEST_P(OnTarget, RoundingEqualsThePortableOne) {
  for (const Data& data : FiniteData()) {
    for (const auto dtype : {ComputeDType::kF16, ComputeDType::kBF16}) {
      auto x = FiniteIn(ComputeDType::kF32, data.values);
      x.resize(1003);
      auto expected = x;
      for (float& value : expected) {
        value = dtype == ComputeDType::kF16 ? RoundToHalf(value) : RoundToBFloat16(value);
      }
      RoundToCompute(x.data(), x.size(), dtype);
      EXPECT_EQ(std::memcmp(x.data(), expected.data(), x.size() * sizeof(float)), 0) << data.name;
    }
  }
}

// Every value of the two types, thrice: 3 - 65536 / 8 elements are no whole vectors.
TEST_P(OnTarget, CountsOfValuesAreExact) {
  for (const auto dtype : {DType::kF16, DType::kBF16}) {
    std::map<float, std::pair<uint64_t, uint64_t>> expected;
    std::vector<float> x = {0.0f, -0.0f, 1.0f};
    for (uint32_t pattern = 0; pattern < 65536; ++pattern) {
      const auto bits = static_cast<uint16_t>(pattern);
      x.push_back(dtype == DType::kF16 ? HalfToFloat(bits) : BFloat16ToFloat(bits));
    }
    for (const float value : x) {
      auto& count = expected[std::isfinite(value) ? std::fabs(value) : INFINITY];
      ++(std::signbit(value) ? count.second : count.first);
    }
    WeightCounts counts(dtype), rest(dtype);
    counts.Add(std::span(x).first(40001));
    rest.Add(std::span(x).subspan(40001));
    counts.Merge(rest);
    std::map<float, std::pair<uint64_t, uint64_t>> made;
    for (const auto& v : counts.Values()) {
      made[v.value].first += v.positive;
      made[v.value].second += v.negative;
    }
    EXPECT_EQ(made, expected);
  }
}

TEST_P(OnTarget, CountsTellFiniteFromInfAndNan) {
  for (const auto dtype : {DType::kF16, DType::kBF16}) {
    WeightCounts all_finite(dtype);
    for (uint32_t pattern = 0; pattern < 65536; ++pattern) {
      const auto bits = static_cast<uint16_t>(pattern);
      const float value = dtype == DType::kF16 ? HalfToFloat(bits) : BFloat16ToFloat(bits);
      if (std::isfinite(value)) {
        all_finite.Add({&value, 1});
      } else if (pattern % 64 < 2) {  // Inf and some NaNs, in both signs
        WeightCounts one(dtype);
        one.Add({&value, 1});
        EXPECT_FALSE(one.AllFinite()) << pattern;
      }
    }
    EXPECT_TRUE(all_finite.AllFinite());
  }
}

TEST_P(OnTarget, MeasurementsDoNotDependOnIt) {
  MeasureOptions options;
  options.group_sizes = {32, 48};
  options.schemes = AllSchemes();
  const ArrayMatrix matrix(TestWeights(60 * 768), 60, 768);
  const auto importance = TestImportance(768);
  MeasureInput input(matrix);
  input.importance = importance;
  input.square_sums = {SquareSums::Of::kRows, importance};
  const auto here = MeasureMatrix(input, options).value();
  EXPECT_EQ(SimdTargetName(), hwy::TargetName(GetParam()));
  TearDown();
  const auto best = MeasureMatrix(input, options).value();
  EXPECT_EQ(here.energy, best.energy);
  EXPECT_EQ(here.square_sums, best.square_sums);
  EXPECT_EQ(here.stats.mean, best.stats.mean);
  EXPECT_EQ(here.stats.std, best.stats.std);
  EXPECT_EQ(here.stats.rms, best.stats.rms);
  EXPECT_EQ(here.stats.percentiles, best.stats.percentiles);
  EXPECT_EQ(here.stats.groups[0].percentile, best.stats.groups[0].percentile);
  EXPECT_EQ(here.stats.groups[1].max, best.stats.groups[1].max);
  for (size_t s = 0; s < options.schemes.size(); ++s) {
    EXPECT_EQ(here.quant[s].w_rel_fro, best.quant[s].w_rel_fro);
    EXPECT_EQ(here.quant[s].act_rel_fro, best.quant[s].act_rel_fro);
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
