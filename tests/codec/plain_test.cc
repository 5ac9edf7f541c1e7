#include "codec/plain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "base/test_files.h"
#include "base/test_json.h"
#include "codec/codecs.h"
#include "codec/memory_file.h"
#include "codec/zoo_weights.h"

namespace moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TensorInfo Tensor(DType dtype, std::vector<uint64_t> shape) {
  TensorInfo tensor;
  tensor.name = "w";
  tensor.dtype = dtype;
  tensor.dtype_text = DTypeName(dtype);
  tensor.shape = std::move(shape);
  tensor.nbytes = DTypeBits(dtype) / 8;
  for (const uint64_t size : tensor.shape) tensor.nbytes *= size;
  return tensor;
}

/// The bytes of `values`, one byte off any alignment.
template <class T>
TensorBytes Unaligned(const std::vector<T>& values) {
  const size_t bytes = values.size() * sizeof(T);
  auto storage = std::make_shared<std::vector<std::byte>>(bytes + 1);
  std::memcpy(storage->data() + 1, values.data(), bytes);
  return {std::span<const std::byte>(*storage).subspan(1), storage};
}

Result<std::unique_ptr<MatrixSource>> OpenMatrix(const TensorInfo& tensor, TensorBytes bytes,
                                                 const MatrixView& view) {
  const auto array = OpenPlainFloats(tensor, std::move(bytes));
  if (!array) return tl::make_unexpected(array.error());
  return (*array)->Matrix(view);
}

std::vector<float> ReadTile(const MatrixSource& matrix, const Tile& tile) {
  std::vector<float> out(tile.rows * tile.cols);
  EXPECT_TRUE(matrix.Read(tile, out.data()).has_value());
  return out;
}

std::vector<float> ReadAll(const MatrixSource& matrix) {
  return ReadTile(matrix, {0, 0, matrix.rows(), matrix.cols()});
}

template <class T>
std::vector<float> Decoded(DType dtype, bool swapped, const std::vector<T>& raw) {
  TensorInfo tensor = Tensor(dtype, {1, raw.size()});
  tensor.byte_swapped = swapped;
  const auto matrix = OpenMatrix(tensor, Unaligned(raw), {1, raw.size(), 0, raw.size(), 1});
  EXPECT_TRUE(matrix.has_value()) << matrix.error().Text();
  return matrix ? ReadAll(**matrix) : std::vector<float>();
}

// Bit patterns by IEEE 754: 1.5, -2, the smallest subnormal.
TEST(PlainMatrix, DecodesEachTypeInEitherByteOrder) {
  EXPECT_THAT(Decoded<uint16_t>(DType::kF16, false, {0x3e00, 0xc000, 0x0001}),
              ElementsAre(1.5f, -2.0f, 0x1p-24f));
  EXPECT_THAT(Decoded<uint16_t>(DType::kF16, true, {0x003e, 0x00c0, 0x0100}),
              ElementsAre(1.5f, -2.0f, 0x1p-24f));
  EXPECT_THAT(Decoded<uint16_t>(DType::kBF16, false, {0x3fc0, 0xc000, 0x0001}),
              ElementsAre(1.5f, -2.0f, 0x1p-133f));
  EXPECT_THAT(Decoded<uint16_t>(DType::kBF16, true, {0xc03f}), ElementsAre(1.5f));
  EXPECT_THAT(Decoded<float>(DType::kF32, false, {1.5f, -2.0f}), ElementsAre(1.5f, -2.0f));
  EXPECT_THAT(Decoded<uint32_t>(DType::kF32, true, {0x0000c03f}), ElementsAre(1.5f));
  EXPECT_THAT(Decoded<double>(DType::kF64, false, {1.5, 1e300}),
              ElementsAre(1.5f, std::numeric_limits<float>::infinity()));
  EXPECT_THAT(Decoded<uint64_t>(DType::kF64, true, {0xf83f}), ElementsAre(1.5f));
}

TEST(PlainMatrix, RoundsDoublesToNearestEven) {
  EXPECT_THAT(Decoded<double>(DType::kF64, false, {1.0 + 0x1p-24, 1.0 + 0x1.8p-23}),
              ElementsAre(1.0f, 1.0f + 0x1p-22f));
}

// The tensor holds its own element numbers, so a read value says where it came from.
std::vector<float> Counting(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i);
  return values;
}

struct ViewCase {
  const char* name;
  MatrixView view;
};

// Views of a tensor [4, 40, 300].
const ViewCase kViews[] = {
    {"OneExpert", {40, 300, 2 * 12000, 300, 1}},
    {"Transposed", {300, 40, 12000, 1, 300}},
    {"EverySecondRow", {20, 300, 300, 600, 1}},
    {"EverySecondColumn", {40, 150, 12000, 300, 2}},
    {"EverySecondRowTransposed", {300, 20, 300, 1, 600}},
    {"ExpertsAsRows", {4, 300, 300, 12000, 1}},
    {"OneRow", {1, 300, 600, 0, 1}},
    {"OneColumn", {40, 1, 7, 300, 0}},
    {"OneElement", {1, 1, 47999, 12000, 300}},
    {"HalfOfAnAxis", {40, 150, 150, 300, 1}},
};

class PlainView : public testing::TestWithParam<ViewCase> {};

TEST_P(PlainView, ReadsTheElementsOfItsFormula) {
  const MatrixView& view = GetParam().view;
  const auto matrix =
      OpenMatrix(Tensor(DType::kF32, {4, 40, 300}), Unaligned(Counting(48000)), view);
  ASSERT_TRUE(matrix.has_value()) << matrix.error().Text();
  const std::vector<float> all = ReadAll(**matrix);
  for (uint64_t r = 0; r < view.rows; ++r) {
    for (uint64_t c = 0; c < view.cols; ++c) {
      const uint64_t element = view.offset + r * view.row_stride + c * view.col_stride;
      ASSERT_EQ(all[r * view.cols + c], static_cast<float>(element)) << r << ", " << c;
    }
  }
}

TEST_P(PlainView, ReadsTheSameFromFortranOrder) {
  const std::vector<uint64_t> shape = {4, 40, 300};
  const std::vector<float> c_order = Counting(48000);
  std::vector<float> fortran(48000);
  for (uint64_t e = 0, i = 0; e < shape[0]; ++e) {
    for (uint64_t r = 0; r < shape[1]; ++r) {
      for (uint64_t c = 0; c < shape[2]; ++c, ++i) {
        fortran[e + shape[0] * (r + shape[1] * c)] = c_order[i];
      }
    }
  }
  TensorInfo tensor = Tensor(DType::kF32, shape);
  tensor.fortran_order = true;
  const auto expected = OpenMatrix(Tensor(DType::kF32, shape), Unaligned(c_order), GetParam().view);
  const auto actual = OpenMatrix(tensor, Unaligned(fortran), GetParam().view);
  ASSERT_TRUE(expected.has_value() && actual.has_value());
  EXPECT_EQ(ReadAll(**actual), ReadAll(**expected));
}

TEST_P(PlainView, ReadsATileAsAPartOfTheWhole) {
  const MatrixView& view = GetParam().view;
  const auto matrix =
      OpenMatrix(Tensor(DType::kF32, {4, 40, 300}), Unaligned(Counting(48000)), view);
  ASSERT_TRUE(matrix.has_value());
  const Tile tile = {view.rows / 3, view.cols / 3, (view.rows + 1) / 2, (view.cols + 1) / 2};
  const std::vector<float> all = ReadAll(**matrix), part = ReadTile(**matrix, tile);
  for (uint64_t r = 0; r < tile.rows; ++r) {
    for (uint64_t c = 0; c < tile.cols; ++c) {
      ASSERT_EQ(part[r * tile.cols + c], all[(tile.row + r) * view.cols + tile.col + c]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, PlainView, testing::ValuesIn(kViews),
                         [](const auto& test) { return test.param.name; });

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

// Views that leave a tensor [4, 6].
const ViewCase kBrokenViews[] = {
    {"OneRowTooMany", {5, 6, 0, 6, 1}},
    {"OffsetTooLarge", {4, 6, 1, 6, 1}},
    {"StrideTooLarge", {4, 6, 0, 7, 1}},
    {"OffsetOverflow", {1, 2, kHuge, 0, 1}},
    {"RowsOverflow", {kHuge, 1, 0, 2, 0}},
    {"ProductOverflow", {kHuge, 2, 0, 0, 0}},
    {"MoreElementsThanTheTensor", {100, 100, 0, 0, 0}},
    {"EmptyBeyondTheEnd", {0, 6, 25, 6, 1}},
};

class BrokenView : public testing::TestWithParam<ViewCase> {};

TEST_P(BrokenView, IsRefused) {
  const auto matrix =
      OpenMatrix(Tensor(DType::kF32, {4, 6}), Unaligned(Counting(24)), GetParam().view);
  ASSERT_FALSE(matrix.has_value());
  EXPECT_EQ(matrix.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(matrix.error().Text(), HasSubstr("'w'"));
}

INSTANTIATE_TEST_SUITE_P(All, BrokenView, testing::ValuesIn(kBrokenViews),
                         [](const auto& test) { return test.param.name; });

TEST(OpenMatrix, TakesAnEmptyView) {
  const auto matrix = OpenMatrix(Tensor(DType::kF32, {4, 0}), {}, {4, 0, 0, 0, 1});
  ASSERT_TRUE(matrix.has_value()) << matrix.error().Text();
  EXPECT_THAT(ReadAll(**matrix), testing::IsEmpty());
}

TEST(OpenMatrix, RefusesBytesThatDoNotFitTheShape) {
  const auto matrix =
      OpenMatrix(Tensor(DType::kF32, {4, 6}), Unaligned(Counting(23)), {4, 6, 0, 6, 1});
  ASSERT_FALSE(matrix.has_value());
  EXPECT_THAT(matrix.error().message, HasSubstr("does not fit its 92 bytes"));
}

TEST(OpenMatrix, NamesTheStorageThatItCannotDecode) {
  const auto matrix = OpenMatrix(Tensor(DType::kF8E4M3, {1, 1}), {}, {1, 1, 0, 1, 1});
  ASSERT_FALSE(matrix.has_value());
  EXPECT_EQ(matrix.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(matrix.error().message,
              HasSubstr("float8_e4m3fn elements are no weights by themselves"));
}

TEST(OpenMatrix, RefusesAFortranOrderViewAcrossAxes) {
  TensorInfo tensor = Tensor(DType::kF32, {4, 6, 5});
  tensor.fortran_order = true;
  const auto matrix = OpenMatrix(tensor, Unaligned(Counting(120)), {24, 5, 0, 5, 1});
  ASSERT_FALSE(matrix.has_value());
  EXPECT_EQ(matrix.error().code, ErrorCode::kUnsupported);
}

TEST(FindWeight, TakesPlainFloatsLikeAnyOtherStorage) {
  MemoryFile file;
  file.Add("m.weight", DType::kF32, {2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
  TensorIndex tensors;
  tensors.Add(file);
  const auto weight = FindWeight({&file, 0}, tensors);
  ASSERT_TRUE(weight.has_value() && weight->has_value());
  EXPECT_TRUE((*weight)->is_plain());
  EXPECT_EQ((*weight)->storage, "float32");
  EXPECT_EQ((*weight)->bits_per_weight, 32);
  const auto turned = OpenMatrix(**weight, {3, 2, 0, 1, 3});
  ASSERT_TRUE(turned.has_value()) << turned.error().Text();
  EXPECT_THAT(ReadAll(**turned), ElementsAre(1, 4, 2, 5, 3, 6));
}

// ---- Real checkpoints: every plain expert matrix of the zoo against its expected.json.

struct Sums {
  double sum = 0, sum_sq = 0, max_abs = 0, row_weighted = 0, col_weighted = 0;
};

Sums SumsOf(const std::vector<float>& values, uint64_t cols) {
  Sums sums;
  for (size_t i = 0; i < values.size(); ++i) {
    const double x = values[i];
    sums.sum += x;
    sums.sum_sq += x * x;
    sums.max_abs = std::max(sums.max_abs, std::abs(x));
    sums.row_weighted += static_cast<double>(i / cols + 1) * x;
    sums.col_weighted += static_cast<double>(i % cols + 1) * x;
  }
  return sums;
}

void ExpectAsExpected(const MatrixSource& matrix, const Json& expected) {
  ASSERT_EQ(matrix.rows(), expected["rows"].get<uint64_t>());
  ASSERT_EQ(matrix.cols(), expected["cols"].get<uint64_t>());
  const std::vector<float> values = ReadAll(matrix);
  const Sums sums = SumsOf(values, matrix.cols());
  const double tolerance = 1e-9;
  EXPECT_NEAR(sums.sum, expected["sum"].get<double>(), tolerance);
  EXPECT_NEAR(sums.sum_sq, expected["sum_sq"].get<double>(), tolerance);
  EXPECT_EQ(sums.max_abs, expected["max_abs"].get<double>());
  EXPECT_NEAR(sums.row_weighted, expected["row_weighted_sum"].get<double>(), tolerance);
  EXPECT_NEAR(sums.col_weighted, expected["col_weighted_sum"].get<double>(), tolerance);
  EXPECT_EQ(values.back(), expected["last"].get<float>());
}

/// Checks the plain matrices of one zoo folder; returns how many there were.
size_t CheckZooFolder(const std::filesystem::path& folder) {
  const Json expected = JsonOfFile(folder / "expected.json");
  std::map<std::string, std::unique_ptr<TensorFile>> files;
  size_t checked = 0;
  if (expected["format"] == "gguf") return checked;
  for (const auto& expert : expected["experts"]) {
    const std::string tensor_name = expert["source_tensor"].text();
    const std::string file_name = expert.contains("file") ? expert["file"].text() : "weights.npz";
    auto& file = files[file_name];
    if (!file) file = *OpenTensorFile(folder / file_name);
    const auto tensors = file->tensors();
    const auto tensor = std::find_if(tensors.begin(), tensors.end(), [&](const TensorInfo& info) {
      return info.name == tensor_name;
    });
    if (tensor == tensors.end() || !IsPlainFloat(tensor->dtype)) continue;
    SCOPED_TRACE(folder.filename().string() + " " + tensor_name);
    const auto matrix =
        OpenMatrix(*tensor, *file->Bytes(static_cast<size_t>(tensor - tensors.begin())),
                   ViewOf(expert["view"], tensor->shape));
    EXPECT_TRUE(matrix.has_value());
    if (matrix) ExpectAsExpected(**matrix, expert);
    ++checked;
  }
  return checked;
}

TEST(PlainMatrix, ReadsEveryPlainMatrixOfTheZoo) {
  size_t checked = 0;
  for (const auto& entry : std::filesystem::directory_iterator(TestData() / "zoo")) {
    if (entry.is_directory()) checked += CheckZooFolder(entry.path());
  }
  EXPECT_GE(checked, 300u);
}

}  // namespace
}  // namespace moe
