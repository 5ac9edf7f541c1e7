// Integers of 8 bits against the formulas written out (checkpoints.md 6.2 and 7.3).
#include <gtest/gtest.h>

#include <random>

#include "base/test_json.h"
#include "codec/codecs.h"
#include "codec/memory_file.h"
#include "codec/zoo_weights.h"

namespace moe {
namespace {

struct Case {
  const char* name;
  std::vector<uint64_t> shape, scale_shape;
  uint64_t group_rows, group_cols;  // weights that share a scale
  bool asymmetric;
  const char* config;
  const char* storage;
};

constexpr const char* kNaiveInt4 = R"({"format": "naive-quantized",
    "config_groups": {"group_0": {"weights": {"num_bits": 4}}}})";
// The first group is of other modules.
constexpr const char* kMixed = R"({"format": "mixed-precision",
    "config_groups": {"group_0": {"weights": {"num_bits": 4}, "targets": ["re:.*attn"]}}})";

const Case kCases[] = {
    {"Channel", {5, 300}, {5, 1}, 1, 300, false, "null", "int8_channel"},
    {"ChannelOfRank1", {5, 7}, {5}, 1, 7, true, "null", "int8_channel_asym"},
    {"Tensor", {5, 7}, {}, 5, 7, true, "null", "int8_tensor_asym"},
    {"TensorOfRank1", {5, 7}, {1}, 5, 7, false, "null", "int8_tensor"},
    {"Group", {3, 96}, {3, 3}, 1, 32, true, "null", "int8_g32_asym"},
    {"Stack", {4, 3, 10}, {4, 3, 2}, 1, 5, true, "null", "int8_g5_asym"},
    {"NaiveInt4", {2, 6}, {2, 1}, 1, 6, false, kNaiveInt4, "int4_channel"},
    {"Mixed", {2, 6}, {2, 1}, 1, 6, false, kMixed, "int8_channel"},
};

class Int8 : public testing::TestWithParam<Case> {};

TEST_P(Int8, IsCodeMinusZeroTimesScale) {
  const Case& c = GetParam();
  const size_t ndim = c.shape.size();
  const uint64_t matrices = ndim == 3 ? c.shape[0] : 1;
  const uint64_t rows = c.shape[ndim - 2], cols = c.shape[ndim - 1];
  const uint64_t grid_rows = rows / c.group_rows, grid_cols = cols / c.group_cols;
  std::mt19937 random(3);
  std::vector<int8_t> codes(matrices * rows * cols), zeros(matrices * grid_rows * grid_cols);
  std::vector<float> scales(zeros.size());
  for (int8_t& code : codes) code = static_cast<int8_t>(random());
  for (int8_t& zero : zeros) zero = static_cast<int8_t>(random());
  for (size_t i = 0; i < scales.size(); ++i) scales[i] = 0.1f + static_cast<float>(i) / 7;
  MemoryFile file;
  file.Add("x.weight", DType::kI8, c.shape, codes);
  file.Add("x.weight_scale", DType::kF32, c.scale_shape, scales);
  if (c.asymmetric) file.Add("x.weight_zero_point", DType::kI8, c.scale_shape, zeros);
  const auto found = FindFirst(FindInt8Weight, file, AsJson(c.config));
  ASSERT_TRUE(found.has_value() && found->has_value());
  EXPECT_EQ((*found)->name, "x.weight");
  EXPECT_EQ((*found)->shape, c.shape);
  EXPECT_EQ((*found)->storage, c.storage);
  EXPECT_EQ((*found)->float_dtype, DType::kOpaque);
  const auto got = ReadInTiles(**OpenParts(**found), matrices, rows, cols, 2, 7);
  for (uint64_t i = 0; i < got.size(); ++i) {
    const uint64_t m = i / (rows * cols), r = i / cols % rows, k = i % cols;
    const uint64_t at = (m * grid_rows + r / c.group_rows) * grid_cols + k / c.group_cols;
    const int zero = c.asymmetric ? zeros[at] : 0;
    ASSERT_EQ(got[i], static_cast<float>(codes[i] - zero) * scales[at]) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Scales, Int8, testing::ValuesIn(kCases),
                         [](const auto& row) { return row.param.name; });

struct BrokenCase {
  const char* name;
  std::vector<uint64_t> scale_shape;
  DType scale_dtype;
  std::vector<uint64_t> zero_shape;
  DType zero_dtype;
};

const BrokenCase kBroken[] = {
    {"OtherRows", {3, 1}, DType::kF32, {3, 1}, DType::kI8},
    {"UnevenGroups", {2, 3}, DType::kF32, {2, 3}, DType::kI8},
    {"NoGroups", {2, 0}, DType::kF32, {2, 0}, DType::kI8},
    {"IntegerScale", {2, 1}, DType::kI32, {2, 1}, DType::kI8},
    {"OtherZeros", {2, 1}, DType::kF32, {2, 2}, DType::kI8},
    {"WideZeros", {2, 1}, DType::kF32, {2, 1}, DType::kI32},
};

class BrokenInt8 : public testing::TestWithParam<BrokenCase> {};

void AddZeros(MemoryFile& file, const char* name, DType dtype, const std::vector<uint64_t>& shape) {
  uint64_t bytes = DTypeBits(dtype) / 8;
  for (const uint64_t size : shape) bytes *= size;
  file.Add(name, dtype, shape, std::vector<uint8_t>(bytes));
}

TEST_P(BrokenInt8, IsRefused) {
  const BrokenCase& c = GetParam();
  MemoryFile file;
  AddZeros(file, "x.weight", DType::kI8, {2, 4});
  AddZeros(file, "x.weight_scale", c.scale_dtype, c.scale_shape);
  AddZeros(file, "x.weight_zero_point", c.zero_dtype, c.zero_shape);
  EXPECT_EQ(FindFirst(FindInt8Weight, file).error().code, ErrorCode::kMalformed);
}

INSTANTIATE_TEST_SUITE_P(Companions, BrokenInt8, testing::ValuesIn(kBroken),
                         [](const auto& row) { return row.param.name; });

TEST(Int8Weight, WithoutAScaleIsRefused) {
  MemoryFile file;
  AddZeros(file, "x.weight", DType::kI8, {2, 4});
  EXPECT_EQ(FindFirst(FindInt8Weight, file).error().code, ErrorCode::kMalformed);
}

TEST(Int8Weight, LeavesPairsOfFp4Alone) {
  for (const char* scale : {"x.scale", "x.weight_scale_inv"}) {
    MemoryFile file;
    AddZeros(file, "x.weight", DType::kI8, {2, 16});
    AddZeros(file, scale, DType::kU8, {2, 1});
    const auto found = FindFirst(FindInt8Weight, file);
    ASSERT_TRUE(found.has_value());
    EXPECT_FALSE(found->has_value());
  }
}

TEST(Int8Weight, OfNpzInOtherOrdersIsRefused) {
  for (const size_t part : {0, 1}) {
    MemoryFile file;
    AddZeros(file, "x.weight", DType::kI8, {2, 4});
    AddZeros(file, "x.weight_scale", DType::kF32, {2, 1});
    if (part == 0) file.info(part).fortran_order = true;
    if (part == 1) file.info(part).byte_swapped = true;
    EXPECT_FALSE(FindFirst(FindInt8Weight, file).has_value()) << part;
  }
}

struct Bitsandbytes8 {
  MemoryFile file;
  std::vector<int8_t> codes = std::vector<int8_t>(3 * 255);
  std::vector<float> scb = {0.3f, 254.0f, 1e-3f};

  Bitsandbytes8() {
    for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<int8_t>(i % 255 - 127);
    file.Add("x.weight", DType::kI8, {3, 255}, codes);
    file.Add("x.SCB", DType::kF32, {3}, scb);
  }
};

TEST(Bitsandbytes8Weight, IsScaledBySCBAndThenByTheReciprocalOf127) {
  Bitsandbytes8 made;
  made.file.Add("x.weight_format", DType::kU8, {}, std::vector<uint8_t>{0});
  const auto found = FindFirst(FindInt8Weight, made.file);
  ASSERT_TRUE(found.has_value() && found->has_value());
  EXPECT_EQ((*found)->storage, "bnb_int8");
  const auto got = ReadInTiles(**OpenParts(**found), 1, 3, 255, 2, 100);
  for (size_t i = 0; i < got.size(); ++i) {
    // bitsandbytes: A * stats.view(-1, 1) * 7.874015718698502e-3, in float32
    const float scaled = static_cast<float>(made.codes[i]) * made.scb[i / 255];
    ASSERT_EQ(got[i], scaled * 7.874015718698502e-3f) << i;
  }
}

TEST(Bitsandbytes8Weight, InTilesOfAProcessorIsRefused) {
  Bitsandbytes8 made;
  made.file.Add("x.weight_format", DType::kF32, {}, std::vector<float>{1.0f});  // ends in 0x3f
  const auto found = FindFirst(FindInt8Weight, made.file);
  ASSERT_TRUE(found.has_value() && found->has_value());
  const auto array = OpenParts(**found);
  ASSERT_FALSE(array.has_value());
  EXPECT_EQ(array.error().code, ErrorCode::kUnsupported);
}

TEST(Bitsandbytes8Weight, WithOtherCompanionsIsRefused) {
  MemoryFile rows;
  AddZeros(rows, "x.weight", DType::kI8, {2, 4});
  AddZeros(rows, "x.SCB", DType::kF32, {3});
  EXPECT_EQ(FindFirst(FindInt8Weight, rows).error().code, ErrorCode::kMalformed);
  Bitsandbytes8 formats;
  AddZeros(formats.file, "x.weight_format", DType::kU8, {2});
  EXPECT_EQ(FindFirst(FindInt8Weight, formats.file).error().code, ErrorCode::kMalformed);
}

TEST(Int8Weight, DecodesTheZooAsItsLibraryDoes) {
  ExpectZooDecodes("ct_int8_w8a8_mixtral", FindInt8Weight);
}

}  // namespace
}  // namespace moe
