// The checkpoints of tests/data/zoo: exactly the matrices of expected.json, bit for bit where the
// scheme is, and their weighted sums, which catch transposed, permuted or interleaved matrices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <tuple>

#include "base/test_files.h"
#include "base/test_json.h"
#include "model/model_files.h"
#include "moescope/model.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

// tensor, layer, proj, expert, shared, stack (encoder or decoder); several shared experts of one
// tensor have one key, in order.
using Key = std::tuple<std::string, int64_t, std::string, int64_t, bool, std::string>;

struct Sums {
  uint64_t rows = 0, cols = 0;
  double sum = 0, sum_sq = 0, max_abs = 0, row_weighted = 0, col_weighted = 0;
  std::vector<float> first, last;
};

fs::path Zoo() { return TestData() / "zoo"; }

Json Expected(const std::string& folder) { return JsonOfFile((Zoo() / folder / "expected.json")); }

std::vector<std::string> Folders() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(Zoo())) {
    const std::string name = entry.path().filename().string();
    if (fs::exists(entry.path() / "expected.json") && Expected(name).contains("experts")) {
      names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Reads in tiles that fit no block size, as a codec's caller may.
Sums Measure(const MatrixSource& matrix) {
  Sums s;
  s.rows = matrix.rows();
  s.cols = matrix.cols();
  constexpr uint64_t kRows = 7, kCols = 45;
  std::vector<float> tile(kRows * kCols);
  for (uint64_t row = 0; row < s.rows; row += kRows) {
    for (uint64_t col = 0; col < s.cols; col += kCols) {
      const Tile at{row, col, std::min(kRows, s.rows - row), std::min(kCols, s.cols - col)};
      EXPECT_TRUE(matrix.Read(at, tile.data()).has_value());
      for (uint64_t r = 0; r < at.rows; ++r) {
        for (uint64_t c = 0; c < at.cols; ++c) {
          const double v = tile[r * at.cols + c];
          s.sum += v;
          s.sum_sq += v * v;
          s.max_abs = std::max(s.max_abs, std::abs(v));
          s.row_weighted += static_cast<double>(row + r + 1) * v;
          s.col_weighted += static_cast<double>(col + c + 1) * v;
        }
      }
    }
  }
  s.first.resize(4);
  s.last.resize(1);
  EXPECT_TRUE(matrix.Read({0, 0, 1, 4}, s.first.data()).has_value());
  EXPECT_TRUE(matrix.Read({s.rows - 1, s.cols - 1, 1, 1}, s.last.data()).has_value());
  return s;
}

std::map<Key, std::vector<Sums>> MeasureAll(const Model& model) {
  std::map<Key, std::vector<Sums>> found;
  for (uint64_t i = 0; i < model.matrices(); ++i) {
    const ExpertMatrix stored = model.matrix(i);
    const MatrixKey key = stored.key();
    const bool shown = key.stack == "encoder" || key.stack == "decoder";
    const auto matrix = model.OpenMatrix(i);
    EXPECT_TRUE(matrix.has_value()) << matrix.error().Text();
    if (!matrix) continue;
    found[{stored.weight().parts[0].info().name, key.layer, key.proj,
           stored.bank->ExpertIdAt(stored.expert_pos), key.shared, shown ? key.stack : ""}]
        .push_back(Measure(**matrix));
  }
  return found;
}

Result<Model> OpenZoo(const std::string& folder, bool with_config) {
  const ModelOptions options;
  auto files = std::make_shared<ModelFiles>(FindModelFiles((Zoo() / folder).string(), options));
  EXPECT_FALSE(files->fault.has_value());
  if (!with_config) files->metadata = {};
  return Model::Open(std::move(files), options);
}

// The sums of signed values nearly cancel: their error is relative to their terms, not to the sum.
void ExpectSameSums(const Sums& got, const Json& want) {
  const auto expect = [&](double value, const char* field, double scale) {
    const double wanted = want[field].get<double>();
    EXPECT_NEAR(value, wanted, 1e-6 * std::max(std::abs(wanted), scale)) << field;
  };
  const double size = std::sqrt(want["sum_sq"].get<double>());
  EXPECT_EQ(got.rows, want["rows"]);
  EXPECT_EQ(got.cols, want["cols"]);
  expect(got.sum, "sum", size);
  expect(got.sum_sq, "sum_sq", 0);
  expect(got.max_abs, "max_abs", 0);
  expect(got.row_weighted, "row_weighted_sum", size);
  expect(got.col_weighted, "col_weighted_sum", size);
  for (size_t i = 0; i < 4; ++i) {
    const double wanted = want["first4"][i].get<double>();
    EXPECT_NEAR(got.first[i], wanted, 1e-6 * std::abs(wanted));
  }
  const double wanted = want["last"].get<double>();
  EXPECT_NEAR(got.last[0], wanted, 1e-6 * std::abs(wanted));
}

void ExpectWholeZoo(const std::string& folder, bool with_config) {
  const Json expected = Expected(folder)["experts"];
  const auto model = OpenZoo(folder, with_config);
  ASSERT_TRUE(model.has_value()) << model.error().Text();
  for (const ModelTensor& tensor : model->tensors()) {
    EXPECT_EQ(tensor.found.unmatched_reason, std::nullopt) << tensor.info().name;
  }
  auto found = MeasureAll(*model);
  size_t count = 0;
  for (const auto& [key, sums] : found) count += sums.size();
  EXPECT_EQ(count, expected.size());
  std::map<Key, size_t> next;
  for (const Json& want : expected) {
    const Key key{want["source_tensor"].text(),
                  want["layer"].get<int64_t>(),
                  want["proj"].text(),
                  want["expert_id"].get<int64_t>(),
                  want["is_shared_expert"].get<bool>(),
                  want["stack"].text()};
    const size_t position = next[key]++;
    const auto place = found.find(key);
    ASSERT_TRUE(place != found.end() && position < place->second.size()) << want.Text();
    SCOPED_TRACE(want.Text());
    ExpectSameSums(place->second[position], want);
  }
}

class ZooFolder : public testing::TestWithParam<std::string> {};

TEST_P(ZooFolder, GivesExactlyItsExpectedMatrices) { ExpectWholeZoo(GetParam(), true); }

TEST_P(ZooFolder, GivesThemWithoutItsConfigToo) {
  // Shapes give affine MLX only the product of bits and group size; which pair, the config says.
  const Json experts = Expected(GetParam())["experts"];
  for (const Json& want : experts) {
    const bool affine = want["quant"]["mode"] == "affine";
    if (affine) GTEST_SKIP() << "bits and group size stand in the config alone";
  }
  ExpectWholeZoo(GetParam(), false);
}

INSTANTIATE_TEST_SUITE_P(All, ZooFolder, testing::ValuesIn(Folders()),
                         [](const auto& row) { return row.param; });

}  // namespace
}  // namespace moe
