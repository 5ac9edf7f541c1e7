// Global scales, companions and dtypes of NVFP4, MXFP4 and MXFP6 (checkpoints.md 4.2 and 6.2);
// their codes are decoded in packed_test.cc.
#include <gtest/gtest.h>

#include <cmath>

#include "codec/memory_file.h"
#include "codec/zoo_weights.h"

namespace moe {
namespace {

constexpr uint64_t kExperts = 3, kRows = 4, kCols = 64;

/// What each matrix's rows are of where all codes are 1 (two 0x2 nibbles) and all scales 1.
std::vector<std::vector<float>> RowValues(const Result<std::optional<Weight>>& found) {
  std::vector<std::vector<float>> rows;
  EXPECT_TRUE(found.has_value()) << found.error().Text();
  if (!found || !*found) return rows;
  const Weight& weight = **found;
  const auto array = OpenParts(weight);
  EXPECT_TRUE(array.has_value()) << array.error().Text();
  if (!array) return rows;
  const size_t ndim = weight.shape.size();
  EXPECT_EQ(weight.shape[ndim - 1], kCols);
  const uint64_t matrices = ndim == 3 ? weight.shape[0] : 1, height = weight.shape[ndim - 2];
  const auto all = ReadInTiles(**array, matrices, height, kCols, 3, 23);
  for (size_t i = 0; i < all.size(); ++i) {
    if (i % (height * kCols) == 0) rows.emplace_back();
    if (i % kCols == 0) rows.back().push_back(all[i]);
    EXPECT_EQ(all[i], rows.back().back()) << i;
  }
  return rows;
}

std::vector<uint64_t> Stack(uint64_t cols) { return {kExperts, kRows, cols}; }

/// A stack of ModelOpt's or compressed-tensors' NVFP4 with `globals`.
MemoryFile Nvfp4(const std::string& payload, const std::string& scale, const std::string& global,
                 std::vector<uint64_t> shape, const std::vector<float>& globals) {
  MemoryFile file;
  file.Add(payload, DType::kU8, Stack(kCols / 2),
           std::vector<uint8_t>(kExperts * kRows * kCols / 2, 0x22));
  file.Add(scale, DType::kF8E4M3, Stack(kCols / 16),
           std::vector<uint8_t>(kExperts * kRows * kCols / 16, 0x38));
  file.Add(global, DType::kF32, std::move(shape), globals);
  return file;
}

MemoryFile ModelOpt(std::vector<uint64_t> shape, const std::vector<float>& globals) {
  return Nvfp4("e.gate_up_proj", "e.gate_up_proj_weight_scale", "e.gate_up_proj_weight_scale_2",
               std::move(shape), globals);
}

MemoryFile Compressed(std::vector<uint64_t> shape, const std::vector<float>& globals) {
  return Nvfp4("e.weight_packed", "e.weight_scale", "e.weight_global_scale", std::move(shape),
               globals);
}

using Rows = std::vector<std::vector<float>>;

TEST(PackedFloats, StacksHaveOneGlobalScaleOrOneAMatrix) {
  const Rows each = {{1, 1, 1, 1}, {2, 2, 2, 2}, {4, 4, 4, 4}}, same(3, {8, 8, 8, 8});
  for (const std::vector<uint64_t>& shape : {std::vector<uint64_t>{3}, {3, 1}, {3, 1, 1}}) {
    EXPECT_EQ(RowValues(FindFirst(FindPackedFloats, ModelOpt(shape, {1, 2, 4}))), each);
    EXPECT_EQ(RowValues(FindFirst(FindPackedFloats, Compressed(shape, {1, .5f, .25f}))), each);
  }
  for (const std::vector<uint64_t>& shape : {std::vector<uint64_t>{}, {1}, {1, 1}}) {
    EXPECT_EQ(RowValues(FindFirst(FindPackedFloats, ModelOpt(shape, {8}))), same);
    EXPECT_EQ(RowValues(FindFirst(FindPackedFloats, Compressed(shape, {.125f}))), same);
  }
  EXPECT_EQ(RowValues(FindFirst(FindPackedFloats, ModelOpt({3, 2}, {1, 2, 3, 4, 5, 6}))),
            (Rows{{1, 1, 2, 2}, {3, 3, 4, 4}, {5, 5, 6, 6}}));
}

TEST(PackedFloats, GlobalScalesOfOtherShapesAreRefused) {
  const std::vector<float> six(6, 1.0f);
  for (const std::vector<uint64_t>& shape : {std::vector<uint64_t>{6}, {2, 3}, {1, 3, 2}}) {
    EXPECT_FALSE(FindFirst(FindPackedFloats, ModelOpt(shape, six)).has_value());
  }
  EXPECT_FALSE(FindFirst(FindPackedFloats, Compressed({3, 2}, six)).has_value());
  EXPECT_FALSE(FindFirst(FindPackedFloats, ModelOpt({2}, {1, 1})).has_value());
  MemoryFile down = ModelOpt({3, 2}, six);  // is not of two halves
  for (size_t part = 0; part < 3; ++part) down.info(part).name.replace(2, 7, "down");
  EXPECT_FALSE(FindFirst(FindPackedFloats, down).has_value());
  MemoryFile one_row;  // has no halves
  one_row.Add("e.gate_up_proj", DType::kU8, {1, 1, 8}, std::vector<uint8_t>(8));
  one_row.Add("e.gate_up_proj_weight_scale", DType::kF8E4M3, {1, 1, 1}, std::vector<uint8_t>(1));
  one_row.Add("e.gate_up_proj_weight_scale_2", DType::kF32, {1, 2}, std::vector<float>(2));
  EXPECT_FALSE(FindFirst(FindPackedFloats, one_row).has_value());
}

TEST(PackedFloats, GlobalScalesMustBeThereAndFiniteAndPositive) {
  for (const bool compressed : {false, true}) {
    const MemoryFile file = compressed ? Compressed({3}, {1, 2, 3}) : ModelOpt({3}, {1, 2, 3});
    MemoryFile lost = file, strange = file, other_scales = file;
    lost.info(2).name = "e.lost";
    strange.info(2).dtype = DType::kI32;
    other_scales.info(1).dtype = DType::kF16;
    for (const MemoryFile* broken : {&lost, &strange, &other_scales}) {
      const auto found = FindFirst(FindPackedFloats, *broken);
      ASSERT_FALSE(found.has_value());
      EXPECT_EQ(found.error().code, ErrorCode::kMalformed);
    }
  }
  const float infinite = HUGE_VALF, nan = std::nanf("");
  for (const float bad : {infinite, -infinite, nan, -1.0f}) {
    for (const MemoryFile& file : {ModelOpt({3}, {1, bad, 1}), Compressed({3}, {1, 1, bad})}) {
      const auto found = FindFirst(FindPackedFloats, file);
      ASSERT_TRUE(found.has_value());
      EXPECT_FALSE(OpenParts(**found).has_value()) << bad;
    }
  }
}

/// Payload of ones, one matrix of kRows: `cols` stored columns, and scales of 2 in byte 128.
MemoryFile Mx(const std::string& payload, DType dtype, uint64_t cols, const std::string& scale,
              DType scale_dtype, uint64_t groups, uint8_t code = 0x22) {
  MemoryFile file;
  const uint64_t bytes = kRows * cols * DTypeBits(dtype) / 8;
  file.Add(payload, dtype, {kRows, cols}, std::vector<uint8_t>(bytes, code));
  file.Add(scale, scale_dtype, {kRows, groups}, std::vector<uint8_t>(kRows * groups, 128));
  return file;
}

TEST(PackedFloats, Fp4ExpertsAreTakenInEveryDtypeAndNameOfTheirScales) {
  for (const DType dtype : {DType::kI8, DType::kU8, DType::kF4}) {
    for (const char* scale : {"m.scale", "m.weight_scale_inv"}) {
      for (const DType scale_dtype : {DType::kU8, DType::kF8E8M0}) {
        const uint64_t cols = dtype == DType::kF4 ? kCols : kCols / 2;
        const MemoryFile file = Mx("m.weight", dtype, cols, scale, scale_dtype, 2);
        const auto found = FindFirst(FindPackedFloats, file);
        EXPECT_EQ(RowValues(found), (Rows{{2, 2, 2, 2}}));
        EXPECT_EQ((*found)->storage, "mxfp4");
        EXPECT_EQ((*found)->float_dtype, DType::kOpaque);
      }
    }
  }
}

TEST(PackedFloats, ScalesOfOtherGridsAreRefused) {
  for (const uint64_t groups : {1, 3, 4}) {
    EXPECT_FALSE(FindFirst(FindPackedFloats,
                           Mx("m.weight", DType::kI8, kCols / 2, "m.scale", DType::kF8E8M0, groups))
                     .has_value());
    EXPECT_FALSE(FindFirst(FindPackedFloats, Mx("m.weight_packed", DType::kU8, kCols / 2,
                                                "m.weight_scale", DType::kU8, groups))
                     .has_value());
  }
  EXPECT_FALSE(FindFirst(FindPackedFloats, Mx("m.weight_packed", DType::kU8, kCols / 2,
                                              "m.lost_scale", DType::kU8, 2))
                   .has_value());
}

TEST(PackedFloats, LeavesOtherTensorsAlone) {
  const MemoryFile companion = Mx("m.weight_scale", DType::kU8, 2, "m.x", DType::kU8, 2);
  const MemoryFile bytes = Mx("m.weight", DType::kU8, 32, "m.weight_scale", DType::kU8, 2);
  const MemoryFile words = Mx("m.weight_packed", DType::kI32, 8, "m.x", DType::kU8, 2);
  for (const MemoryFile* file : {&companion, &bytes, &words}) {
    const auto found = FindFirst(FindPackedFloats, *file);
    ASSERT_TRUE(found.has_value()) << found.error().Text();
    EXPECT_FALSE(found->has_value());
  }
}

TEST(PackedFloats, ZooDecodes) {
  ExpectZooDecodes("ct_nvfp4_deepseek_v3", FindPackedFloats);
  ExpectZooDecodes("ct_mxfp4_qwen3_moe", FindPackedFloats);
}

}  // namespace
}  // namespace moe
