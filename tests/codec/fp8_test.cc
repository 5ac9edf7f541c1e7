// FP8 weights with every shape of scale, against the formula written out (checkpoints.md 4
// and 6.2).
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/test_json.h"
#include "codec/codecs.h"
#include "codec/memory_file.h"
#include "codec/zoo_weights.h"

namespace moe {
namespace {

/// e4m3fn by its definition (checkpoints.md 11), not by the table that the codec uses.
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
    {"StackShared",
     "m.up_proj",
     "m.up_proj_scale_inv",
     {3, 40, 70},
     {1, 2, 3},
     32,
     32,
     true,
     "null",
     "fp8_block32"},
    {"StackRows",
     "m.up_proj.weight",
     "m.up_proj.weight_scale_inv",
     {3, 4, 5},
     {3, 4},
     1,
     5,
     false,
     "null",
     "fp8_channel"},
    {"FbgemmDownSquare",
     "m.down_proj",
     "m.down_proj_scale",
     {3, 5, 5},
     {3, 5, 1},
     5,
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

// ModelOpt keeps the axes that its blocks were reduced over.
const Case kReducedAxes[] = {
    {"ModelOptBlock",
     "x.weight",
     "x.weight_scale",
     {144, 136},
     {2, 1, 2, 1},
     128,
     128,
     false,
     R"({"quant_method": "modelopt", "quant_algo": "FP8_PB_WO"})",
     "fp8_block128"},
    {"BlockOfRank4WithoutConfig",
     "x.weight",
     "x.weight_scale",
     {144, 136},
     {2, 1, 2, 1},
     128,
     128,
     false,
     "null",
     "fp8_block128"},
    {"StackOfRank5",
     "m.up_proj",
     "m.up_proj_scale_inv",
     {3, 40, 70},
     {3, 2, 1, 3, 1},
     32,
     32,
     false,
     R"({"weight_block_size": [32, 32]})",
     "fp8_block32"},
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
  const auto found = FindFirst(FindFp8Weight, file, AsJson(c.config));
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
INSTANTIATE_TEST_SUITE_P(ReducedAxes, Fp8, testing::ValuesIn(kReducedAxes),
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
      {{144}, R"({"weight_block_size": [128, 128]})"},  // a row's: not what the config says
  };
  for (const auto& [shape, config] : cases) {
    uint64_t count = 1;
    for (const uint64_t size : shape) count *= size;
    MemoryFile file;
    file.Add("x.weight", DType::kF8E4M3, {144, 136}, Codes(144 * 136));
    file.Add("x.weight_scale_inv", DType::kF32, shape, Scales(count));
    const auto found = FindFirst(FindFp8Weight, file, AsJson(config));
    ASSERT_FALSE(found.has_value()) << count;
    EXPECT_NE(found.error().message.find("144, 136"), std::string::npos);
  }
  MemoryFile alone;
  alone.Add("x.weight", DType::kF8E4M3, {4, 4}, Codes(16));
  EXPECT_EQ(FindFirst(FindFp8Weight, alone).error().code, ErrorCode::kMalformed);
}

TEST(Fp8Scales, OfABlockGridAreNotTakenForColumns) {
  // 128 columns and ceil(16257 / 128) = 128 scale rows: [128, 1] is no scale for each column.
  MemoryFile file;
  file.Add("x.weight", DType::kF8E4M3, {16257, 128}, std::vector<uint8_t>(16257 * 128, 0x38));
  file.Add("x.weight_scale_inv", DType::kF32, {128, 1}, Scales(128));
  for (const char* config : {"null", R"({"weight_block_size": [128, 128]})"}) {
    const auto found = FindFirst(FindFp8Weight, file, AsJson(config));
    ASSERT_TRUE(found.has_value() && found->has_value());
    EXPECT_EQ((*found)->storage, "fp8_block128");
    float value = 0;
    const auto matrix = OpenMatrix(**found, {16257, 128, 0, 128, 1});
    ASSERT_TRUE(matrix.has_value()) << matrix.error().Text();
    ASSERT_TRUE((*matrix)->Read({16256, 5, 1, 1}, &value).has_value());
    EXPECT_EQ(value, Scales(128)[127]);
  }
}

TEST(Fp8Scales, AreOfTheConfigGroupThatFits) {
  const auto config = AsJson(R"({"config_groups": {
    "group_0": {"weights": {"num_bits": 4, "strategy": "group"}}, "W4A16": ["Linear"],
    "group_1": {"weights": {"block_structure": [2, 2]}},
    "group_2": {"weights": {"block_structure": [4, 8]}}}})");
  MemoryFile file;
  file.Add("x.weight", DType::kF8E4M3, {10, 9}, Codes(90));
  file.Add("x.weight_scale", DType::kF32, {3, 2}, Scales(6));
  const auto found = FindFirst(FindFp8Weight, file, config);
  ASSERT_TRUE(found.has_value() && found->has_value());
  EXPECT_EQ((*found)->storage, "fp8_block4x8");
}

TEST(Fp8Scales, KeepTheirBlocksNameWhereOneBlockHoldsTheMatrix) {
  MemoryFile file;
  file.Add("x.weight", DType::kF8E4M3, {64, 96}, Codes(64 * 96));
  file.Add("x.weight_scale", DType::kF32, {1, 1}, Scales(1));
  const auto config = AsJson(R"({"weight_block_size": [128, 128]})");
  EXPECT_EQ((*FindFirst(FindFp8Weight, file, config))->storage, "fp8_block128");
  EXPECT_EQ((*FindFirst(FindFp8Weight, file))->storage, "fp8_tensor");
}

TEST(Fp8Scales, OfGateAndUpApartAreRefused) {
  // I = 160: gate and up apart have 2 * 2 rows of scales, one grid over both has 3.
  MemoryFile file;
  file.Add("m.gate_up_proj", DType::kF8E4M3, {2, 320, 128}, Codes(2 * 320 * 128));
  file.Add("m.gate_up_proj_scale_inv", DType::kF32, {2, 4, 1}, Scales(8));
  const auto config = AsJson(R"({"weight_block_size": [128, 128]})");
  const auto found = FindFirst(FindFp8Weight, file, config);
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().code, ErrorCode::kMalformed);
  EXPECT_NE(found.error().message.find("3 rows of scales"), std::string::npos);
  EXPECT_NE(found.error().message.find("gate and up apart"), std::string::npos);
}

TEST(Fp8Scales, Of16BitFloatsAreValues) {
  for (const auto& [dtype, half] : {std::pair{DType::kF16, uint16_t{0x3e00}},
                                    std::pair{DType::kBF16, uint16_t{0x3fc0}}}) {  // 1.5
    MemoryFile file;
    file.Add("x.weight", DType::kF8E4M3, {1, 2}, std::vector<uint8_t>{0x38, 0xc0});  // 1, -2
    file.Add("x.qscale_weight", dtype, {}, std::vector<uint16_t>{half});
    const auto found = FindFirst(FindFp8Weight, file);
    ASSERT_TRUE(found.has_value() && found->has_value());
    EXPECT_EQ((*found)->float_dtype, dtype);
    EXPECT_EQ(ReadInTiles(**OpenParts(**found), 1, 1, 2, 1, 1), (std::vector<float>{1.5f, -3.0f}));
  }
}

TEST(Fp8, E5m2IsTheUpperByteOfAHalf) {
  MemoryFile file;
  file.Add("x.weight", DType::kF8E5M2, {1, 4}, std::vector<uint8_t>{0x3c, 0xc1, 0x01, 0x7c});
  file.Add("x.weight_scale", DType::kF32, {1}, std::vector<float>{2.0f});
  const auto found = FindFirst(FindFp8Weight, file);
  ASSERT_TRUE(found.has_value() && found->has_value());
  EXPECT_EQ((*found)->storage, "fp8_e5m2_tensor");
  EXPECT_EQ((*found)->float_dtype, DType::kOpaque);
  // 1, -2 * 1.25, 2^-16 (the smallest), infinity
  EXPECT_EQ(ReadInTiles(**OpenParts(**found), 1, 1, 4, 1, 3),
            (std::vector<float>{2.0f, -5.0f, 0x1p-15f, INFINITY}));
}

TEST(Fp8, OfFnuzKindsIsRefusedByName) {
  for (const DType dtype : {DType::kF8E4M3Fnuz, DType::kF8E5M2Fnuz}) {
    MemoryFile file;
    file.Add("x.weight", dtype, {1, 4}, std::vector<uint8_t>(4));
    file.Add("x.weight_scale", DType::kF32, {1}, std::vector<float>{1.0f});
    const auto found = FindFirst(FindFp8Weight, file);
    ASSERT_FALSE(found.has_value());
    EXPECT_EQ(found.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(found.error().message.find(DTypeName(dtype)), std::string::npos);
  }
}

TEST(Fp8, ScalesOfOtherTypesAreRefused) {
  MemoryFile file;
  file.Add("x.weight", DType::kF8E4M3, {2, 2}, Codes(4));
  file.Add("x.weight_scale", DType::kI32, {2, 1}, std::vector<int32_t>{1, 1});
  EXPECT_EQ(FindFirst(FindFp8Weight, file).error().code, ErrorCode::kMalformed);
}

TEST(Fp8, HostileConfigsAreIgnoredOrRefused) {
  MemoryFile file;
  file.Add("x.weight", DType::kF8E4M3, {144, 136}, Codes(144 * 136));
  file.Add("x.weight_scale_inv", DType::kF32, {2, 2}, Scales(4));
  for (const char* config :
       {"[]", "7", R"({"weight_block_size": null, "config_groups": [1]})",
        R"({"config_groups": {"a": 1, "b": {"weights": 2}, "c": {"weights": {}}}})"}) {
    EXPECT_TRUE(FindFirst(FindFp8Weight, file, AsJson(config)).has_value()) << config;
  }
  for (const char* config :
       {R"({"weight_block_size": [18446744073709551615, 1]})", R"({"weight_block_size": [0, 128]})",
        R"({"weight_block_size": [-1, "a"]})"}) {
    const auto found = FindFirst(FindFp8Weight, file, AsJson(config));
    ASSERT_FALSE(found.has_value()) << config;
    EXPECT_EQ(found.error().code, ErrorCode::kMalformed);
  }
}

TEST(Fp8, DecodesTheZooAsItsLibrariesDo) {
  for (const char* name :
       {"fp8_deepseek_v3", "fp8_qwen3_moe", "ct_fp8_block_qwen2_moe", "ct_fp8_dynamic_qwen2_moe"}) {
    ExpectZooDecodes(name, FindFp8Weight);
  }
}

}  // namespace
}  // namespace moe
