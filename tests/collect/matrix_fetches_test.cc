#include "collect/matrix_fetches.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/test_files.h"
#include "moescope/model.h"

namespace moe {
namespace {

/// Float32 [2, rows, cols] that lies at byte 100 of its file.
class OneTensor : public TensorFile {
 public:
  OneTensor(uint64_t rows, uint64_t cols) {
    info_.name = "w";
    info_.dtype = DType::kF32;
    info_.shape = {2, rows, cols};
    info_.nbytes = 8 * rows * cols;
  }
  const std::filesystem::path& path() const override { return path_; }
  std::span<const TensorInfo> tensors() const override { return {&info_, 1}; }
  Result<TensorBytes> Bytes(size_t) const override { return TensorBytes{}; }
  std::optional<uint64_t> PositionOf(size_t) const override { return 100; }

 private:
  std::filesystem::path path_ = "memory";
  TensorInfo info_;
};

Weight WeightOf(const TensorFile& file) {
  TensorIndex tensors;
  tensors.Add(file);
  return **FindWeight({&file, 0}, tensors);
}

using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;

Ranges Next(MatrixFetches& fetches, const Weight& weight, const MatrixView& view) {
  Ranges ranges;
  for (const FileRange& range : fetches.Next(weight, view)) {
    ranges.push_back({range.begin, range.end});
  }
  return ranges;
}

// Gate is the first 4 of 8 rows of each of two matrices, up the others.
TEST(MatrixFetches, OfTwoHalvesOfATensorFetchEachByteOnce) {
  const OneTensor file(8, 2000);
  const Weight weight = WeightOf(file);
  MatrixFetches fetches;
  EXPECT_EQ(Next(fetches, weight, {4, 2000, 0, 2000, 1}), (Ranges{{100, 32100}}));
  EXPECT_EQ(Next(fetches, weight, {4, 2000, 16000, 2000, 1}), (Ranges{{64100, 96100}}));
  EXPECT_EQ(Next(fetches, weight, {4, 2000, 8000, 2000, 1}), (Ranges{{32100, 64100}}));
  EXPECT_EQ(Next(fetches, weight, {4, 2000, 24000, 2000, 1}), (Ranges{{96100, 128100}}));
}

TEST(MatrixFetches, OfRowsInTurnFetchThePagesOfBothWithTheFirst) {
  const OneTensor file(8, 500);  // rows of 2000 bytes
  const Weight weight = WeightOf(file);
  MatrixFetches fetches;
  EXPECT_EQ(Next(fetches, weight, {4, 500, 0, 1000, 1}), (Ranges{{100, 14100}}));
  EXPECT_EQ(Next(fetches, weight, {4, 500, 500, 1000, 1}), (Ranges{{14100, 16100}}));
}

TEST(MatrixFetches, OfRowsInTurnThatAreLongKeepThemApart) {
  const OneTensor file(4, 2000);  // rows of 8000 bytes
  const Weight weight = WeightOf(file);
  MatrixFetches fetches;
  EXPECT_EQ(Next(fetches, weight, {2, 2000, 0, 4000, 1}), (Ranges{{100, 8100}, {16100, 24100}}));
  EXPECT_EQ(Next(fetches, weight, {2, 2000, 2000, 4000, 1}),
            (Ranges{{8100, 16100}, {24100, 32100}}));
}

TEST(MatrixFetches, OfAnotherWeightBeginAnew) {
  const OneTensor file(8, 500);
  const Weight one = WeightOf(file), other = WeightOf(file);
  MatrixFetches fetches;
  EXPECT_EQ(Next(fetches, one, {8, 500, 0, 500, 1}), (Ranges{{100, 16100}}));
  EXPECT_EQ(Next(fetches, one, {8, 500, 0, 500, 1}), Ranges{});
  EXPECT_EQ(Next(fetches, other, {8, 500, 0, 500, 1}), (Ranges{{100, 16100}}));
}

// All matrices of a model that is read from its files as they are: every byte of every expert's
// tensor, once.
TEST(MatrixFetches, OfAFusedModelAreItsExpertsTensorsAndNoByteTwice) {
  for (const char* name : {"hf5fused_mixtral", "gpt_oss_mxfp4", "hf4_gpt_oss", "fp8_qwen3_moe"}) {
    SCOPED_TRACE(name);
    const auto model = Model::Open((TestData() / "zoo" / name).string());
    ASSERT_TRUE(model.has_value()) << model.error().Text();
    uint64_t expected = 0, fetched = 0;
    for (const ModelTensor& tensor : model->tensors()) {
      if (tensor.found.banks.empty()) continue;
      for (const TensorRef& part : tensor.weight->parts) expected += part.info().nbytes;
    }
    MatrixFetches fetches;
    for (uint64_t i = 0; i < model->matrices(); ++i) {
      const ExpertMatrix matrix = model->matrix(i);
      for (const FileRange& range : fetches.Next(matrix.weight(), matrix.view())) {
        fetched += range.end - range.begin;
      }
    }
    EXPECT_EQ(fetched, expected);
  }
}

}  // namespace
}  // namespace moe
