// MLX, gpt-oss, compressed-tensors and ModelOpt: codes packed by hand, decoded, compared with the
// formulas of checkpoints.md 3, 5 and 6.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "base/test_json.h"
#include "codec/codecs.h"
#include "codec/memory_file.h"

namespace moe {
namespace {

constexpr double kE2m1[16] = {0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6};

std::vector<uint32_t> RandomCodes(size_t count, unsigned bits) {
  std::mt19937 random(11);
  std::vector<uint32_t> codes(count);
  for (uint32_t& code : codes) code = random() & ((1u << bits) - 1);
  return codes;
}

/// Rows of `cols` codes as LSB-first bit streams of whole 32-bit words, bit by bit.
std::vector<uint32_t> PackRows(const std::vector<uint32_t>& codes, uint64_t cols, unsigned bits) {
  const uint64_t rows = codes.size() / cols, words = (cols * bits + 31) / 32;
  std::vector<uint32_t> packed(rows * words);
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t k = 0; k < cols * bits; ++k) {
      const uint32_t bit = (codes[r * cols + k / bits] >> (k % bits)) & 1u;
      packed[r * words + k / 32] |= bit << (k % 32);
    }
  }
  return packed;
}

std::vector<uint8_t> AsBytes(const std::vector<uint32_t>& words) {
  std::vector<uint8_t> bytes;
  for (const uint32_t word : words) {
    for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(word >> (8 * i)));
  }
  return bytes;
}

std::vector<float> Floats(size_t count, float first) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = (i % 2 ? -1.0f : 1.0f) * (first + static_cast<float>(i) / 32);  // negative too
  }
  return values;
}

Weight MustFind(Result<std::optional<Weight>> found) {
  EXPECT_TRUE(found.has_value() && found->has_value())
      << (found ? "not taken" : found.error().Text());
  return found && *found ? std::move(**found) : Weight{};
}

std::vector<float> DecodeAll(const Weight& weight) {
  const auto array = OpenParts(weight);
  EXPECT_TRUE(array.has_value()) << array.error().Text();
  const size_t ndim = weight.shape.size();
  return ReadInTiles(**array, ndim == 3 ? weight.shape[0] : 1, weight.shape[ndim - 2],
                     weight.shape[ndim - 1], 2, 37);
}

class MlxAffine : public testing::TestWithParam<std::tuple<unsigned, uint64_t>> {};

TEST_P(MlxAffine, IsCodeTimesScalePlusBias) {
  const auto [bits, group] = GetParam();
  const uint64_t experts = 2, rows = 3, cols = 128;
  const auto codes = RandomCodes(experts * rows * cols, bits);
  const uint64_t groups = cols / group;
  const auto scales = Floats(experts * rows * groups, 0.5f);
  const auto biases = Floats(experts * rows * groups, -3.0f);
  MemoryFile file;
  file.Add("m.weight", DType::kU32, {experts, rows, cols * bits / 32}, PackRows(codes, cols, bits));
  file.Add("m.scales", DType::kF32, {experts, rows, groups}, scales);
  file.Add("m.biases", DType::kF32, {experts, rows, groups}, biases);
  // The module's own entry wins over the default.
  const Json config = {
      {"bits", 8}, {"group_size", 128}, {"m", {{"bits", bits}, {"group_size", group}}}};
  const Weight weight = MustFind(FindFirst(FindMlxWeight, file, config));
  EXPECT_EQ(weight.shape, (std::vector<uint64_t>{experts, rows, cols}));
  EXPECT_EQ(weight.storage, "affine_q" + std::to_string(bits) + "_g" + std::to_string(group));
  const auto got = DecodeAll(weight);
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i], static_cast<float>(codes[i]) * scales[i / group] + biases[i / group]) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Widths, MlxAffine,
                         testing::Combine(testing::Values(2u, 3u, 4u, 5u, 6u, 8u),
                                          testing::Values(32u, 64u, 128u)));

Json Bits(int bits, int group) { return Json{{"bits", bits}, {"group_size", group}}; }

TEST(Mlx, AsksForTheConfigWhereShapesAreAmbiguous) {
  MemoryFile file;  // 256 bits a group: 4 x 64, 8 x 32 or 2 x 128
  file.Add("m.weight", DType::kU32, {1, 16}, std::vector<uint32_t>(16));
  file.Add("m.scales", DType::kF32, {1, 2}, std::vector<float>(2));
  file.Add("m.biases", DType::kF32, {1, 2}, std::vector<float>(2));
  EXPECT_EQ(FindFirst(FindMlxWeight, file).error().code, ErrorCode::kMalformed);
  EXPECT_FALSE(FindFirst(FindMlxWeight, file, Bits(3, 64)).has_value());
  EXPECT_EQ(MustFind(FindFirst(FindMlxWeight, file, Bits(8, 32))).shape[1], 64u);
}

TEST(Mlx, RefusesWrongCompanions) {
  MemoryFile file;
  file.Add("m.weight", DType::kU32, {2, 16}, std::vector<uint32_t>(32));
  EXPECT_FALSE(FindFirst(FindMlxWeight, file).has_value());  // no scales
  file.Add("m.scales", DType::kF32, {1, 2}, std::vector<float>(2));
  EXPECT_FALSE(FindFirst(FindMlxWeight, file).has_value());  // of another shape
}

struct FloatMode {
  const char* name;
  unsigned bits;
  uint64_t group;
};

TEST(Mlx, FloatModesFollowFromTheShapes) {
  for (const FloatMode& mode : {FloatMode{"mxfp4", 4, 32}, {"nvfp4", 4, 16}, {"mxfp8", 8, 32}}) {
    const uint64_t rows = 2, cols = 64, groups = cols / mode.group;
    const std::vector<uint32_t> codes = RandomCodes(rows * cols, mode.bits == 8 ? 6 : 4);
    std::vector<uint8_t> scales(rows * groups);
    for (size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<uint8_t>(0x30 + i * 8);
    MemoryFile file;
    file.Add("m.weight", DType::kU32, {rows, cols * mode.bits / 32},
             PackRows(codes, cols, mode.bits));
    file.Add("m.scales", DType::kU8, {rows, groups}, scales);
    const Weight weight = MustFind(FindFirst(FindMlxWeight, file));
    EXPECT_EQ(weight.storage, mode.name);
    const auto got = DecodeAll(weight);
    for (size_t i = 0; i < got.size(); ++i) {
      const uint8_t byte = scales[i / mode.group];
      const double scale = mode.group == 16 ? std::ldexp(1.0, byte / 8 - 7)  // e4m3, mantissa 0
                                            : std::ldexp(1.0, byte - 127);
      const int exponent = static_cast<int>(codes[i] >> 3) & 15;
      const double mantissa = codes[i] & 7u;
      const double e4m3 =
          exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(1 + mantissa / 8, exponent - 7);
      const double element = mode.bits == 8 ? e4m3 : kE2m1[codes[i]];
      ASSERT_EQ(got[i], static_cast<float>(element * scale)) << mode.name << " " << i;
    }
  }
}

TEST(Mxfp4Blocks, HoldEvenElementsInTheLowNibble) {
  const uint64_t experts = 2, rows = 3, groups = 2;
  const auto codes = RandomCodes(experts * rows * groups * 32, 4);
  std::vector<uint8_t> blocks(codes.size() / 2);
  for (size_t i = 0; i < blocks.size(); ++i) {
    blocks[i] = static_cast<uint8_t>(codes[2 * i] | codes[2 * i + 1] << 4);
  }
  std::vector<uint8_t> scales(experts * rows * groups);
  for (size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<uint8_t>(120 + i);
  MemoryFile file;
  file.Add("e.gate_up_proj_blocks", DType::kU8, {experts, rows, groups, 16}, blocks);
  file.Add("e.gate_up_proj_scales", DType::kU8, {experts, rows, groups}, scales);
  const Weight weight = MustFind(FindFirst(FindMxfp4Blocks, file));
  EXPECT_EQ(weight.name, "e.gate_up_proj");
  EXPECT_EQ(weight.shape, (std::vector<uint64_t>{experts, rows, groups * 32}));
  const auto got = DecodeAll(weight);
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i], static_cast<float>(kE2m1[codes[i]] * std::ldexp(1.0, scales[i / 32] - 127)));
  }
  MemoryFile broken;
  broken.Add("e.gate_up_proj_blocks", DType::kU8, {experts, rows, groups, 16}, blocks);
  broken.Add("e.gate_up_proj_scales", DType::kU8, {experts, groups, rows}, scales);
  EXPECT_EQ(FindFirst(FindMxfp4Blocks, broken).error().code, ErrorCode::kMalformed);
}

/// compressed-tensors: codes of `bits`, words dense or with unused top bits, zero points or not.
void CheckPackedInts(unsigned bits, bool padded, bool zeros) {
  const uint64_t rows = 5, cols = 96, group = 32, groups = 3;
  const auto codes = RandomCodes(rows * cols, bits);
  std::vector<uint32_t> words;
  if (!padded) {
    words = PackRows(codes, cols, bits);
  } else {
    const uint64_t in_word = 32 / bits, width = (cols + in_word - 1) / in_word;
    words.resize(rows * width);
    for (size_t i = 0; i < codes.size(); ++i) {
      const uint64_t k = i % cols;
      words[i / cols * width + k / in_word] |= codes[i] << (k % in_word * bits);
    }
  }
  const auto scales = Floats(rows * groups, 1.0f);
  const auto zero_codes = RandomCodes(rows * groups, bits);
  MemoryFile file;
  file.Add("m.weight_packed", DType::kI32, {rows, words.size() / rows}, words);
  file.Add("m.weight_scale", DType::kF32, {rows, groups}, scales);
  file.Add("m.weight_shape", DType::kI64, {2}, std::vector<int64_t>{rows, cols});
  if (zeros) {
    const uint64_t word_rows = (rows * bits + 31) / 32;
    std::vector<uint32_t> packed(word_rows * groups);  // along the rows of each group's column
    for (uint64_t g = 0; g < groups; ++g) {
      for (uint64_t k = 0; k < rows * bits; ++k) {
        const uint32_t bit = (zero_codes[k / bits * groups + g] >> (k % bits)) & 1u;
        packed[k / 32 * groups + g] |= bit << (k % 32);
      }
    }
    file.Add("m.weight_zero_point", DType::kI32, {word_rows, groups}, packed);
  }
  const Json config = {{"config_groups", {{"group_0", {{"weights", {{"num_bits", bits}}}}}}}};
  const Weight weight = MustFind(FindFirst(FindPackedInts, file, config));
  EXPECT_EQ(weight.name, "m.weight");
  EXPECT_EQ(weight.storage, "int" + std::to_string(bits) + "_g32" + (zeros ? "_asym" : ""));
  const auto got = DecodeAll(weight);
  for (size_t i = 0; i < got.size(); ++i) {
    const size_t at = i / cols * groups + i % cols / group;
    const float zero =
        zeros ? static_cast<float>(zero_codes[at]) : static_cast<float>(1u << (bits - 1));
    ASSERT_EQ(got[i], (static_cast<float>(codes[i]) - zero) * scales[at]) << bits << " " << i;
  }
}

TEST(PackedInts, OfAllWidthsInBothPackingsDecode) {
  for (unsigned bits = 1; bits <= 8; ++bits) {
    for (const bool zeros : {false, true}) {
      CheckPackedInts(bits, false, zeros);
      if (32 % bits != 0 && !zeros) CheckPackedInts(bits, true, false);
    }
  }
}

TEST(PackedInts, WithoutTheirShapeOrWithAWrongOneAreRefused) {
  MemoryFile file;
  file.Add("m.weight_packed", DType::kI32, {2, 4}, std::vector<uint32_t>(8));
  file.Add("m.weight_scale", DType::kF32, {2, 1}, std::vector<float>(2));
  EXPECT_EQ(FindFirst(FindPackedInts, file).error().code, ErrorCode::kMalformed);
  for (const int64_t cols : {int64_t{0}, int64_t{1000}, int64_t{-1}}) {
    MemoryFile wrong;
    wrong.Add("m.weight_packed", DType::kI32, {2, 4}, std::vector<uint32_t>(8));
    wrong.Add("m.weight_scale", DType::kF32, {2, 1}, std::vector<float>(2));
    wrong.Add("m.weight_shape", DType::kI64, {2}, std::vector<int64_t>{2, cols});
    EXPECT_EQ(FindFirst(FindPackedInts, wrong).error().code, ErrorCode::kMalformed) << cols;
  }
}

/// NVFP4 in its two dialects: divide by weight_global_scale, or multiply with weight_scale_2.
TEST(Nvfp4, DividesOrMultipliesByItsGlobalScale) {
  const uint64_t rows = 2, cols = 32;
  const auto codes = RandomCodes(rows * cols, 4);
  const auto bytes = AsBytes(PackRows(codes, cols, 4));
  const std::vector<uint8_t> scales = {0x38, 0x40, 0x30, 0x48};  // 1, 2, 0.5, 4
  const double values[] = {1, 2, .5, 4};
  MemoryFile divided;
  divided.Add("m.weight_packed", DType::kU8, {rows, cols / 2}, bytes);
  divided.Add("m.weight_scale", DType::kF8E4M3, {rows, 2}, scales);
  divided.Add("m.weight_global_scale", DType::kF32, {1}, std::vector<float>{8});
  MemoryFile multiplied;
  multiplied.Add("m.weight", DType::kU8, {rows, cols / 2}, bytes);
  multiplied.Add("m.weight_scale", DType::kF8E4M3, {rows, 2}, scales);
  multiplied.Add("m.weight_scale_2", DType::kF32, {}, std::vector<float>{0.125f});
  for (const MemoryFile* file : {&divided, &multiplied}) {
    const Weight weight = MustFind(FindFirst(FindPackedFloats, *file));
    EXPECT_EQ(weight.name, "m.weight");
    EXPECT_EQ(weight.storage, "nvfp4");
    const auto got = DecodeAll(weight);
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i], static_cast<float>(kE2m1[codes[i]] * values[i / 16] / 8)) << i;
    }
  }
  MemoryFile zero;
  zero.Add("m.weight_packed", DType::kU8, {rows, cols / 2}, bytes);
  zero.Add("m.weight_scale", DType::kF8E4M3, {rows, 2}, scales);
  zero.Add("m.weight_global_scale", DType::kF32, {1}, std::vector<float>{0});
  EXPECT_FALSE(OpenParts(MustFind(FindFirst(FindPackedFloats, zero))).has_value());
}

TEST(Nvfp4, StacksHaveAGlobalScaleForGateAndOneForUp) {
  const uint64_t experts = 2, rows = 4, cols = 16;
  const auto codes = RandomCodes(experts * rows * cols, 4);
  MemoryFile file;
  file.Add("e.gate_up_proj", DType::kU8, {experts, rows, cols / 2},
           AsBytes(PackRows(codes, cols, 4)));
  file.Add("e.gate_up_proj_weight_scale", DType::kF8E4M3, {experts, rows, 1},
           std::vector<uint8_t>(experts * rows, 0x38));
  file.Add("e.gate_up_proj_weight_scale_2", DType::kF32, {experts, 2},
           std::vector<float>{1, 2, 4, 8});
  const auto got = DecodeAll(MustFind(FindFirst(FindPackedFloats, file)));
  for (size_t i = 0; i < got.size(); ++i) {
    const size_t row = i / cols;  // rows 0 and 1 of each expert are gate
    const double global[] = {1, 1, 2, 2, 4, 4, 8, 8};
    ASSERT_EQ(got[i], static_cast<float>(kE2m1[codes[i]] * global[row])) << i;
  }
}

TEST(Mxfp4, OfCompressedTensorsAndDeepSeekHaveAScaleFor32Inputs) {
  const uint64_t rows = 2, cols = 64;
  const auto codes = RandomCodes(rows * cols, 4);
  const auto bytes = AsBytes(PackRows(codes, cols, 4));
  const std::vector<uint8_t> scales = {127, 126, 130, 120};
  MemoryFile compressed, deepseek;
  compressed.Add("m.weight_packed", DType::kU8, {rows, cols / 2}, bytes);
  compressed.Add("m.weight_scale", DType::kU8, {rows, 2}, scales);
  deepseek.Add("m.weight", DType::kI8, {rows, cols / 2}, bytes);
  deepseek.Add("m.scale", DType::kF8E8M0, {rows, 2}, scales);
  for (const MemoryFile* file : {&compressed, &deepseek}) {
    const auto got = DecodeAll(MustFind(FindFirst(FindPackedFloats, *file)));
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i],
                static_cast<float>(kE2m1[codes[i]] * std::ldexp(1.0, scales[i / 32] - 127)));
    }
  }
}

TEST(Mxfp6, HoldsFourE2m3CodesInThreeBytes) {
  const uint64_t rows = 2, cols = 32;
  const auto codes = RandomCodes(rows * cols, 6);
  MemoryFile file;
  file.Add("m.weight_packed", DType::kU8, {rows, cols * 3 / 4}, AsBytes(PackRows(codes, cols, 6)));
  file.Add("m.weight_scale", DType::kU8, {rows, 1}, std::vector<uint8_t>{127, 128});
  const Weight weight = MustFind(FindFirst(FindPackedFloats, file));
  EXPECT_EQ(weight.storage, "mxfp6_e2m3");
  const auto got = DecodeAll(weight);
  for (size_t i = 0; i < got.size(); ++i) {
    const int exponent = static_cast<int>(codes[i] >> 3) & 3;
    const double mantissa = codes[i] & 7u;
    const double magnitude =
        exponent == 0 ? mantissa / 8 : std::ldexp(1 + mantissa / 8, exponent - 1);
    const double value = (codes[i] & 32u ? -magnitude : magnitude) * (i < cols ? 1 : 2);
    ASSERT_EQ(got[i], static_cast<float>(value)) << i;
  }
}

}  // namespace
}  // namespace moe
