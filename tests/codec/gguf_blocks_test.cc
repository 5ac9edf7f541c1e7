// Blocks of ggml laid out by hand after checkpoints.md 8.5; the whole zoo is in tests/collect.
#include <gtest/gtest.h>

#include <cmath>

#include "checkpoint/ggml_types.h"
#include "codec/codecs.h"
#include "codec/memory_file.h"

namespace moe {
namespace {

/// A tensor [matrices, rows, blocks] of the type, every block the same bytes.
MemoryFile FileOf(uint32_t type_id, const std::vector<uint8_t>& block, uint64_t rows,
                  uint64_t blocks) {
  const GgmlType type = *FindGgmlType(type_id);
  EXPECT_EQ(block.size(), type.block_bytes);
  std::vector<uint8_t> bytes;
  for (uint64_t i = 0; i < 2 * rows * blocks; ++i) {
    bytes.insert(bytes.end(), block.begin(), block.end());
  }
  MemoryFile file;
  file.Add("blk.0.ffn_up_exps.weight", DType::kU8, {bytes.size()}, bytes);
  TensorInfo& info = file.info(0);
  info.dtype = DType::kOpaque;
  info.dtype_text = std::string(type.name);
  info.ggml_type = type_id;
  info.shape = {2, rows, blocks * type.block_elements};
  return file;
}

/// The elements of one block, read over a row of two blocks in tiles that cut them.
std::vector<float> Decode(uint32_t type_id, const std::vector<uint8_t>& block) {
  const MemoryFile file = FileOf(type_id, block, 2, 2);
  const auto found = FindFirst(FindGgufBlocks, file);
  EXPECT_TRUE(found.has_value() && found->has_value());
  const Weight& weight = **found;
  const uint64_t cols = weight.shape[2];
  const auto all = ReadInTiles(**OpenParts(weight), 2, 2, cols, 2, 45);
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], all[i % (cols / 2)]) << i;
  return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(cols / 2)};
}

constexpr uint8_t kTwo[] = {0x00, 0x40};   // 2.0 as a half
constexpr uint8_t kHalf[] = {0x00, 0x38};  // 0.5

TEST(GgufBlocks, Q4_0HoldsTheHalvesOfABlockInItsNibbles) {
  std::vector<uint8_t> block = {kTwo[0], kTwo[1]};
  for (unsigned i = 0; i < 16; ++i) block.push_back(static_cast<uint8_t>(i | (15 - i) << 4));
  const auto got = Decode(2, block);
  for (int e = 0; e < 16; ++e) {
    EXPECT_EQ(got[static_cast<size_t>(e)], 2.0f * static_cast<float>(e - 8));
    EXPECT_EQ(got[static_cast<size_t>(e + 16)], 2.0f * static_cast<float>(15 - e - 8));
  }
}

TEST(GgufBlocks, Q5_1AddsTheFifthBitAndTheMinimum) {
  std::vector<uint8_t> block = {kTwo[0], kTwo[1], kHalf[0], kHalf[1], 0x01, 0, 0, 0x80};
  block.resize(24, 0x21);  // low nibble 1, high nibble 2
  const auto got = Decode(7, block);
  EXPECT_EQ(got[0], 2.0f * 17 + 0.5f);  // bit 0 of qh
  EXPECT_EQ(got[1], 2.0f * 1 + 0.5f);
  EXPECT_EQ(got[16], 2.0f * 2 + 0.5f);
  EXPECT_EQ(got[31], 2.0f * 18 + 0.5f);  // bit 31
}

TEST(GgufBlocks, Q8_0IsSigned) {
  std::vector<uint8_t> block = {kHalf[0], kHalf[1]};
  for (unsigned i = 0; i < 32; ++i) block.push_back(static_cast<uint8_t>(240 + i));
  const auto got = Decode(8, block);
  EXPECT_EQ(got[0], -8.0f);
  EXPECT_EQ(got[16], 0.0f);
  EXPECT_EQ(got[31], 7.5f);
}

TEST(GgufBlocks, Q4KHasASixBitScaleAndMinimumFor32Elements) {
  std::vector<uint8_t> block = {kTwo[0], kTwo[1], kHalf[0], kHalf[1]};
  // Sub-block 0: scale 5, minimum 3; sub-block 4: scale 0x21, minimum 0x12 over two bytes.
  const uint8_t scales[12] = {5 | 0x80, 0, 0, 0, 3 | 0x40, 0, 0, 0, 0x21, 0, 0, 0};
  block.insert(block.end(), scales, scales + 12);
  block.resize(144, 0x43);  // low nibble 3, high nibble 4
  const auto got = Decode(12, block);
  EXPECT_EQ(got[0], 2.0f * 5 * 3 - 0.5f * 3);
  EXPECT_EQ(got[32], 0.0f);
  // scale: low 4 bits of scales[8] = 1, high bits scales[0] >> 6 = 2; minimum: 2 and 1.
  EXPECT_EQ(got[128], 2.0f * (1 | 2 << 4) * 3 - 0.5f * (2 | 1 << 4));
}

TEST(GgufBlocks, Q6KKeepsItsScaleAtTheEnd) {
  std::vector<uint8_t> block(128, 0x21);      // low nibbles 1, high 2
  block.resize(192, 0xe4);                    // upper bits 0, 1, 2, 3 of the quarters
  block.resize(208, 3);                       // scales
  block.insert(block.end(), kTwo, kTwo + 2);  // d
  const auto got = Decode(14, block);
  EXPECT_EQ(got[0], 2.0f * 3 * (1 - 32));
  EXPECT_EQ(got[32], 2.0f * 3 * ((1 | 1 << 4) - 32));
  EXPECT_EQ(got[64], 2.0f * 3 * ((2 | 2 << 4) - 32));
  EXPECT_EQ(got[96], 2.0f * 3 * ((2 | 3 << 4) - 32));
}

TEST(GgufBlocks, Mxfp4AndNvfp4HoldE2m1) {
  std::vector<uint8_t> mx = {128};
  mx.resize(17, 0x97);  // low nibble 7: 6, high nibble 9: -0.5
  auto got = Decode(39, mx);
  EXPECT_EQ(got[0], 12.0f);
  EXPECT_EQ(got[16], -1.0f);
  std::vector<uint8_t> nv = {0x38, 0x40, 0x7f, 0xb8};  // 1, 2, 0 (NaN), 1 (sign stripped)
  nv.resize(36, 0x97);
  got = Decode(40, nv);
  EXPECT_EQ(got[0], 6.0f);
  EXPECT_EQ(got[8], -0.5f);
  EXPECT_EQ(got[16], 12.0f);
  EXPECT_EQ(got[32], 0.0f);
  EXPECT_EQ(got[48], 6.0f);
}

TEST(GgufBlocks, TernaryAndBinaryTypes) {
  std::vector<uint8_t> tq2(64, 0xe4);  // codes 0, 1, 2, 3
  tq2.insert(tq2.end(), kTwo, kTwo + 2);
  auto got = Decode(35, tq2);
  EXPECT_EQ(got[0], -2.0f);
  EXPECT_EQ(got[32], 0.0f);
  EXPECT_EQ(got[64], 2.0f);
  std::vector<uint8_t> q1 = {kTwo[0], kTwo[1]};
  q1.resize(18, 0x01);
  got = Decode(41, q1);
  EXPECT_EQ(got[0], 2.0f);
  EXPECT_EQ(got[1], -2.0f);
  // TQ1_0: five trits a byte, value = ceil(number * 256 / 243); all twos is 255.
  std::vector<uint8_t> tq1(52, 255);
  tq1.insert(tq1.end(), kTwo, kTwo + 2);
  got = Decode(34, tq1);
  for (const float value : got) EXPECT_EQ(value, 2.0f);
}

TEST(GgufBlocks, WithoutAFormulaAreNamed) {
  for (const uint32_t id : {9u, 15u, 16u, 17u, 18u, 19u, 21u, 22u, 29u}) {
    const MemoryFile file = FileOf(id, std::vector<uint8_t>(FindGgmlType(id)->block_bytes), 1, 1);
    const auto found = FindFirst(FindGgufBlocks, file);
    ASSERT_FALSE(found.has_value()) << id;
    EXPECT_EQ(found.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(found.error().message.find(FindGgmlType(id)->name), std::string::npos);
  }
}

}  // namespace
}  // namespace moe
