// Weight::ranges_of: bytes outside of a matrix's ranges do not matter, and there are few inside.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/test_files.h"
#include "base/test_json.h"
#include "codec/companions.h"
#include "codec/memory_file.h"
#include "codec/zoo_weights.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

/// `bytes` with something else outside of `ranges` of part `part`.
TensorBytes Garbled(const TensorBytes& bytes, const std::vector<PartRange>& ranges, size_t part) {
  auto copy = std::make_shared<std::vector<std::byte>>(bytes.data.size(), std::byte{0xa7});
  for (const PartRange& range : ranges) {
    if (range.part != part) continue;
    EXPECT_LT(range.begin, range.end);
    EXPECT_LE(range.end, copy->size());
    const auto kept = bytes.data.subspan(range.begin, range.end - range.begin);
    std::ranges::copy(kept, copy->begin() + static_cast<ptrdiff_t>(range.begin));
  }
  return {*copy, copy};
}

std::vector<uint32_t> BitsOf(const Result<std::unique_ptr<MatrixSource>>& matrix) {
  EXPECT_TRUE(matrix.has_value()) << matrix.error().Text();
  if (!matrix) return {};
  const uint64_t rows = (*matrix)->rows(), cols = (*matrix)->cols();
  std::vector<float> values(rows * cols);
  EXPECT_TRUE((*matrix)->Read({0, 0, rows, cols}, values.data()).has_value());
  std::vector<uint32_t> bits(values.size());
  std::memcpy(bits.data(), values.data(), bits.size() * sizeof(float));
  return bits;
}

/// What opens when all but the ranges of `view` is garbage.
std::vector<uint32_t> BitsFromRanges(const Weight& weight, const MatrixView& view) {
  const auto ranges = weight.ranges_of(view);
  std::vector<TensorBytes> bytes = *ReadParts(weight);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = Garbled(bytes[i], ranges, i);
  const auto array = weight.open(std::move(bytes));
  EXPECT_TRUE(array.has_value()) << array.error().Text();
  return array ? BitsOf((*array)->Matrix(view)) : std::vector<uint32_t>();
}

uint64_t BytesIn(const std::vector<PartRange>& ranges, size_t part) {
  uint64_t bytes = 0;
  for (const PartRange& range : ranges) bytes += range.part == part ? range.end - range.begin : 0;
  return bytes;
}

/// The bound: of the payload a matrix needs its share of the bytes, times the step of its columns
/// or rows where these are taken in steps, and of each line at most a block more at either end.
void ExpectFew(const Weight& weight, const MatrixView& view) {
  constexpr uint64_t kMostOfABlock = 32;
  const auto ranges = weight.ranges_of(view);
  uint64_t elements = 1;
  for (const uint64_t size : weight.shape) elements *= size;
  const uint64_t step = std::max<uint64_t>(1, std::min(view.row_stride, view.col_stride));
  const uint64_t share = weight.parts[0].info().nbytes * view.rows * view.cols / elements;
  const uint64_t lines = std::max(view.rows, view.cols);
  const bool whole_rows = view.col_stride == 1 && view.cols == weight.shape.back();
  EXPECT_LE(BytesIn(ranges, 0), share * step + (whole_rows ? 0 : lines * kMostOfABlock));
  EXPECT_GE(BytesIn(ranges, 0), share);
}

class ZooRanges : public testing::TestWithParam<std::string> {};

TEST_P(ZooRanges, HoldAllThatEachMatrixNeedsAndLittleElse) {
  const ZooCheckpoint zoo(GetParam());
  const QuantConfig config(zoo.quantization);
  size_t tried = 0;
  for (const auto& expert : zoo.expected["experts"]) {
    SCOPED_TRACE(expert.Text().substr(0, 300));
    const auto payload = zoo.tensors.Find(expert["source_tensor"].get<std::string>());
    ASSERT_TRUE(payload.has_value());
    const auto weight = FindWeight(*payload, zoo.tensors, config);
    ASSERT_TRUE(weight.has_value() && weight->has_value());
    const MatrixView view = ViewOf(expert["view"], (*weight)->shape);
    EXPECT_EQ(BitsFromRanges(**weight, view), BitsOf(OpenMatrix(**weight, view)));
    ExpectFew(**weight, view);
    ++tried;
  }
  EXPECT_GT(tried, 0u);
}

std::vector<std::string> ZooNames() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(TestData() / "zoo")) {
    const fs::path expected = entry.path() / "expected.json";
    if (!fs::exists(expected) || !JsonOfFile(expected).contains("experts")) continue;
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, ZooRanges, testing::ValuesIn(ZooNames()),
                         [](const auto& test) { return test.param; });

Weight PlainOf(const MemoryFile& file) {
  TensorIndex tensors;
  tensors.Add(file);
  return **FindWeight({&file, 0}, tensors);
}

using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;

Ranges RangesOf(const Weight& weight, const MatrixView& view) {
  Ranges found;
  for (const PartRange& range : weight.ranges_of(view)) found.push_back({range.begin, range.end});
  return found;
}

TEST(PlainRanges, AreThoseOfTheRowsOrOfTheColumnsWhereTheseLieCloser) {
  MemoryFile file;  // two matrices of 4 x 6 float32
  file.Add("w", DType::kF32, {2, 4, 6}, std::vector<float>(48));
  const Weight weight = PlainOf(file);
  EXPECT_EQ(RangesOf(weight, {4, 6, 24, 6, 1}), (Ranges{{96, 192}}));
  EXPECT_EQ(RangesOf(weight, {2, 6, 24, 12, 1}), (Ranges{{96, 120}, {144, 168}}));
  EXPECT_EQ(RangesOf(weight, {4, 3, 3, 6, 1}), (Ranges{{12, 24}, {36, 48}, {60, 72}, {84, 96}}));
  EXPECT_EQ(RangesOf(weight, {6, 4, 24, 1, 6}), (Ranges{{96, 192}}));
  EXPECT_EQ(RangesOf(weight, {3, 4, 0, 2, 6}),
            (Ranges{{0, 20}, {24, 44}, {48, 68}, {72, 92}}));  // columns 0, 2, 4: covered
  EXPECT_EQ(RangesOf(weight, {1, 1, 47, 0, 0}), (Ranges{{188, 192}}));
  EXPECT_EQ(RangesOf(weight, {4, 6, 25, 6, 1}), Ranges{});  // leaves it
  EXPECT_EQ(RangesOf(weight, {0, 6, 0, 6, 1}), Ranges{});
}

TEST(PlainRanges, FollowFortranOrder) {
  MemoryFile file;
  file.Add("w", DType::kF16, {4, 6}, std::vector<uint16_t>(24));
  file.info(0).fortran_order = true;
  const Weight weight = PlainOf(file);
  EXPECT_EQ(RangesOf(weight, {4, 3, 0, 6, 1}), (Ranges{{0, 24}}));
  EXPECT_EQ(RangesOf(weight, {2, 6, 0, 6, 1}),
            (Ranges{{0, 4}, {8, 12}, {16, 20}, {24, 28}, {32, 36}, {40, 44}}));
}

TEST(ScaledRanges, AreOfTheRowsOfOneMatrixAndTheirScales) {
  MemoryFile file;  // MLX: 2 experts, 4 rows of 64 codes of 4 bits in two groups of 32
  file.Add("m.weight", DType::kU32, {2, 4, 8}, std::vector<uint32_t>(64));
  file.Add("m.scales", DType::kF16, {2, 4, 2}, std::vector<uint16_t>(16));
  file.Add("m.biases", DType::kF16, {2, 4, 2}, std::vector<uint16_t>(16));
  const auto weight = FindFirst(FindMlxWeight, file, {{"bits", 4}, {"group_size", 32}});
  ASSERT_TRUE(weight.has_value() && weight->has_value());
  // The second half of the rows of the second expert.
  EXPECT_EQ(RangesOf(**weight, {2, 64, 256 + 128, 64, 1}),
            (Ranges{{128 + 64, 256}, {16 + 8, 32}, {16 + 8, 32}}));
  // Every second row of the first one.
  EXPECT_EQ(RangesOf(**weight, {2, 64, 64, 128, 1}),
            (Ranges{{32, 64}, {96, 128}, {4, 8}, {12, 16}, {4, 8}, {12, 16}}));
}

TEST(QweightRanges, AreHalvesOfLinesForHalfOfTheOutputs) {
  MemoryFile file;  // GPTQ: 64 inputs in two groups, 16 outputs of 4 bits
  file.Add("m.qweight", DType::kI32, {8, 16}, std::vector<uint32_t>(128));
  file.Add("m.qzeros", DType::kI32, {2, 2}, std::vector<uint32_t>(4));
  file.Add("m.scales", DType::kF16, {2, 16}, std::vector<uint16_t>(32));
  const auto weight = FindFirst(FindGptqWeight, file, {{"bits", 4}, {"group_size", 32}});
  ASSERT_TRUE(weight.has_value() && weight->has_value());
  const auto ranges = (*weight)->ranges_of({8, 64, 8 * 64, 64, 1});
  EXPECT_EQ(BytesIn(ranges, 0), 8u * 8 * 4);
  EXPECT_EQ(BytesIn(ranges, 1), 16u);
  EXPECT_EQ(BytesIn(ranges, 2), 2u * 8 * 2);
}

}  // namespace
}  // namespace moe
