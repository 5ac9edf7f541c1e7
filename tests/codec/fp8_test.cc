// FP8 weights with every shape of scale, against the formula written out (formats.md 4 and 6.2).
#include <cmath>
#include <random>

#include "codec/codecs.h"
#include "codec/memory_file.h"

namespace moe {
namespace {

using Json = nlohmann::ordered_json;

/// e4m3fn by its definition (formats.md 11), not by the table that the codec uses.
double E4m3(uint8_t code) {
  const int exponent = (code >> 3) & 15, mantissa = code & 7;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(1 + mantissa / 8.0, exponent - 7);
  return code & 0x80 ? -magnitude : magnitude;
}

std::vector<uint8_t> Codes(size_t count) {
  std::mt19937 random(7);
  std::vector<uint8_t> codes(count);
  for (uint8_t& code : codes) {
    do code = static_cast<uint8_t>(random());
    while ((code & 0x7f) == 0x7f);  // NaN
  }
  return codes;
}

std::vector<float> Scales(size_t count) {
  std::vector<float> scales(count);
  for (size_t i = 0; i < count; ++i) scales[i] = 0.25f + static_cast<float>(i) / 64;
  return scales;
}

struct Case {
  const char* name;
  std::string weight, scale;
  std::vector<uint64_t> shape, scale_shape;
  uint64_t block_rows, block_cols;  // of the last two axes
  bool shared;                      // one scale for all matrices
  const char* config;
  const char* storage;
};

const Case kCases[] = {
    {"Tensor", "x.weight", "x.weight_scale_inv", {5, 6}, {}, 5, 6, true, "null", "fp8_tensor"},
    {"Channel", "x.weight", "x.weight_scale", {5, 6}, {5, 1}, 1, 6, false, "null", "fp8_channel"},
    {"Block128",
     "x.weight",
     "x.weight_scale_inv",
     {144, 136},
     {2, 2},
     128,
     128,
     false,
     R"({"weight_block_size": [128, 128]})",
     "fp8_block128"},
    {"BlockWithoutConfig",
     "x.weight",
     "x.scale",
     {144, 136},
     {2, 2},
     128,
     128,
     false,
     "null",
     "fp8_block128"},
    {"BlockRagged",
     "x.weight",
     "x.weight_scale",
     {10, 9},
     {3, 2},
     4,
     8,
     false,
     R"({"config_groups": {"group_0": {"weights": {"block_structure": [4, 8]}}}})",
     "fp8_block4x8"},
    {"StackBlock",
     "m.gate_up_proj",
     "m.gate_up_proj_scale_inv",
     {3, 40, 70},
     {3, 2, 3},
     32,
     32,
     false,
     R"({"weight_block_size": [32, 32]})",
     "fp8_block32"},
    {"StackTensor",
     "m.gate_proj.weight",
     "m.gate_proj.weight_scale",
     {3, 4, 5},
     {3, 1, 1},
     4,
     5,
     false,
     "null",
     "fp8_tensor"},
    {"StackColumn",
     "m.gate_up_proj",
     "m.gate_up_proj_scale",
     {3, 4, 5},
     {3, 1, 5},
     4,
     1,
     false,
     "null",
     "fp8_column"},
    {"FbgemmDown",
     "m.down_proj",
     "m.down_proj_scale",
     {3, 4, 5},
     {3, 5, 1},
     4,
     1,
     false,
     "null",
     "fp8_column"},
};

class Fp8 : public testing::TestWithParam<Case> {};

TEST_P(Fp8, IsCodeTimesTheScaleOfItsBlock) {
  const Case& c = GetParam();
  const size_t ndim = c.shape.size();
  const uint64_t matrices = ndim == 3 ? c.shape[0] : 1;
  const uint64_t rows = c.shape[ndim - 2], cols = c.shape[ndim - 1];
  const uint64_t grid_rows = (rows + c.block_rows - 1) / c.block_rows;
  const uint64_t grid_cols = (cols + c.block_cols - 1) / c.block_cols;
  const auto codes = Codes(matrices * rows * cols);
  const auto scales = Scales((c.shared ? 1 : matrices) * grid_rows * grid_cols);
  MemoryFile file;
  file.Add(c.weight, DType::kF8E4M3, c.shape, codes);
  file.Add(c.scale, DType::kF32, c.scale_shape, scales);
  const auto found = FindFirst(FindFp8Weight, file, Json::parse(c.config));
  ASSERT_TRUE(found.has_value() && found->has_value());
  const Weight& weight = **found;
  EXPECT_EQ(weight.name, c.weight);
  EXPECT_EQ(weight.shape, c.shape);
  EXPECT_EQ(weight.storage, c.storage);
  const auto array = OpenParts(weight);
  ASSERT_TRUE(array.has_value());
  const auto got = ReadInTiles(**array, matrices, rows, cols, 3, 7);
  for (uint64_t m = 0; m < matrices; ++m) {
    for (uint64_t r = 0; r < rows; ++r) {
      for (uint64_t k = 0; k < cols; ++k) {
        const uint64_t at = (m * rows + r) * cols + k;
        const uint64_t scale =
            ((c.shared ? 0 : m) * grid_rows + r / c.block_rows) * grid_cols + k / c.block_cols;
        ASSERT_EQ(got[at], static_cast<float>(E4m3(codes[at]) * double{scales[scale]}))
            << m << " " << r << " " << k;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Scales, Fp8, testing::ValuesIn(kCases),
                         [](const auto& row) { return row.param.name; });

TEST(Fp8Scales, OfOneByteArePowersOfTwoForEach32Inputs) {
  MemoryFile file;
  file.Add("x.weight", DType::kF8E4M3, {2, 64}, std::vector<uint8_t>(128, 0x38));  // 1.0
  file.Add("x.weight_scale_inv", DType::kU8, {2, 2}, std::vector<uint8_t>{127, 128, 126, 255});
  const auto found = FindFirst(FindFp8Weight, file);
  ASSERT_TRUE(found.has_value() && found->has_value());
  EXPECT_EQ((*found)->storage, "mxfp8");
  const auto array = OpenParts(**found);
  const auto got = ReadInTiles(**array, 1, 2, 64, 2, 40);
  EXPECT_EQ(got[31], 1.0f);
  EXPECT_EQ(got[32], 2.0f);
  EXPECT_EQ(got[64], 0.5f);
  EXPECT_TRUE(std::isnan(got[127]));  // OCP MX: 255 is NaN
}

TEST(Fp8Scales, ThatDoNotFitAreRefusedWithBothShapes) {
  const std::pair<std::vector<uint64_t>, const char*> cases[] = {
      {{2, 3}, R"({"weight_block_size": [128, 128]})"},  // 144 x 136 has a 2 x 2 grid
      {{4, 4}, "null"},
      {{144}, R"({"weight_block_size": [128, 128]})"},  // accepted: a row's
  };
  for (const auto& [shape, config] : cases) {
    uint64_t count = 1;
    for (const uint64_t size : shape) count *= size;
    MemoryFile file;
    file.Add("x.weight", DType::kF8E4M3, {144, 136}, Codes(144 * 136));
    file.Add("x.weight_scale_inv", DType::kF32, shape, Scales(count));
    const auto found = FindFirst(FindFp8Weight, file, Json::parse(config));
    EXPECT_EQ(found.has_value(), shape.size() == 1) << count;
    if (found) continue;
    EXPECT_NE(found.error().message.find("144, 136"), std::string::npos);
  }
  MemoryFile alone;
  alone.Add("x.weight", DType::kF8E4M3, {4, 4}, Codes(16));
  EXPECT_EQ(FindFirst(FindFp8Weight, alone).error().code, ErrorCode::kMalformed);
}

TEST(Int8, IsCodeMinusZeroTimesScale) {
  MemoryFile file;
  file.Add("x.weight", DType::kI8, {2, 4}, std::vector<int8_t>{-128, 0, 5, 127, 1, 2, 3, 4});
  file.Add("x.weight_scale", DType::kF32, {2, 1}, std::vector<float>{0.5f, 2.0f});
  file.Add("x.weight_zero_point", DType::kI8, {2, 1}, std::vector<int8_t>{-3, 1});
  const auto found = FindFirst(FindInt8Weight, file);
  ASSERT_TRUE(found.has_value() && found->has_value());
  EXPECT_EQ((*found)->storage, "int8_channel_asym");
  const auto got = ReadInTiles(**OpenParts(**found), 1, 2, 4, 1, 3);
  EXPECT_EQ(got, (std::vector<float>{-62.5f, 1.5f, 4.0f, 65.0f, 0, 2, 4, 6}));
}

TEST(Int8, OfBitsandbytesIsScaledBy127) {
  MemoryFile file;
  file.Add("x.weight", DType::kI8, {2, 2}, std::vector<int8_t>{127, -127, 1, 0});
  file.Add("x.SCB", DType::kF32, {2}, std::vector<float>{3.0f, 254.0f});
  const auto found = FindFirst(FindInt8Weight, file);
  ASSERT_TRUE(found.has_value() && found->has_value());
  EXPECT_EQ((*found)->storage, "bnb_int8");
  const auto got = ReadInTiles(**OpenParts(**found), 1, 2, 2, 2, 2);
  const std::vector<float> want = {3.0f, -3.0f, 2.0f, 0.0f};
  for (size_t i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(got[i], want[i]);
}

TEST(Int8, WithoutAFittingScaleIsRefused) {
  MemoryFile file;
  file.Add("x.weight", DType::kI8, {2, 4}, std::vector<int8_t>(8));
  file.Add("x.weight_scale", DType::kF32, {3, 1}, std::vector<float>(3));
  EXPECT_EQ(FindFirst(FindInt8Weight, file).error().code, ErrorCode::kMalformed);
}

}  // namespace
}  // namespace moe
