// The checkpoints of tests/data/zoo: exactly the matrices of expected.json, bit for bit where the
// scheme is, and their weighted sums, which catch transposed, permuted or interleaved matrices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/test_files.h"
#include "collect/memory_sink.h"
#include "collect/plan.h"
#include "model/reading.h"
#include "moescope/weight.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// tensor, layer, proj, expert, shared, stack (encoder or decoder); several shared experts of one
// tensor have one key, in order.
using Key = std::tuple<std::string, int64_t, std::string, int64_t, bool, std::string>;

struct Sums {
  uint64_t rows = 0, cols = 0;
  double sum = 0, sum_sq = 0, max_abs = 0, row_weighted = 0, col_weighted = 0;
  std::vector<float> first, last;
};

fs::path Zoo() { return TestData() / "zoo"; }

Json Expected(const std::string& folder) {
  return Json::parse(std::ifstream(Zoo() / folder / "expected.json"));
}

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

std::map<Key, std::vector<Sums>> MeasureAll(const CollectPlan& plan) {
  std::map<Key, std::vector<Sums>> found;
  for (const PlannedBank& planned : plan.banks) {
    const ExpertBank& bank = planned.bank;
    const std::string stack = bank.stack.value_or("");
    const bool shown = stack == "encoder" || stack == "decoder";
    for (uint64_t l = 0; l < bank.layers; ++l) {
      for (uint64_t e = 0; e < bank.experts; ++e) {
        const MatrixView view{bank.rows, bank.cols,
                              bank.offset + l * bank.layer_stride + e * bank.expert_stride,
                              bank.row_stride, bank.col_stride};
        const auto matrix = OpenMatrix(*planned.weight, view);
        EXPECT_TRUE(matrix.has_value()) << matrix.error().Text();
        if (!matrix) continue;
        found[{planned.weight->parts[0].info().name, bank.LayerAt(l), bank.proj, bank.ExpertIdAt(e),
               bank.is_shared_expert, shown ? stack : ""}]
            .push_back(Measure(**matrix));
      }
    }
  }
  return found;
}

CollectPlan PlanOf(const std::string& folder, bool with_config) {
  const fs::path path = Zoo() / folder;
  ModelMetadata metadata;
  if (with_config) metadata = ReadModelMetadata(path, std::nullopt);
  const IndexSummary index = FindShardIndex(path, {});
  const auto scan = PlanScan(path, {}, index);
  EXPECT_TRUE(scan.has_value()) << scan.error().Text();
  const auto never = [] { return false; };
  auto checkpoint = OpenCheckpoint(*scan, index, WordsOf(metadata), false, never);
  EXPECT_TRUE(checkpoint.has_value()) << checkpoint.error().Text();
  const auto extractor = Extractor::Create(
      ExtractOptionsFor(DefaultExtractOptions(), metadata, *checkpoint), checkpoint->AllShapes());
  MemorySink inventory, unmatched;
  auto plan = MakePlan(std::move(*checkpoint), index, *extractor, {}, inventory, unmatched, never);
  EXPECT_TRUE(plan.has_value()) << plan.error().Text();
  return std::move(*plan);
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
  const CollectPlan plan = PlanOf(folder, with_config);
  EXPECT_THAT(plan.unmatched_examples, testing::IsEmpty());
  auto found = MeasureAll(plan);
  size_t count = 0;
  for (const auto& [key, sums] : found) count += sums.size();
  EXPECT_EQ(count, expected.size());
  std::map<Key, size_t> next;
  for (const Json& want : expected) {
    const Key key{want["source_tensor"],
                  want["layer"],
                  want["proj"],
                  want["expert_id"],
                  want["is_shared_expert"],
                  want.contains("stack") ? want["stack"].get<std::string>() : ""};
    const size_t position = next[key]++;
    const auto place = found.find(key);
    ASSERT_TRUE(place != found.end() && position < place->second.size()) << want.dump();
    SCOPED_TRACE(want.dump());
    ExpectSameSums(place->second[position], want);
  }
}

class ZooFolder : public testing::TestWithParam<std::string> {};

TEST_P(ZooFolder, GivesExactlyItsExpectedMatrices) { ExpectWholeZoo(GetParam(), true); }

TEST_P(ZooFolder, GivesThemWithoutItsConfigToo) {
  // Shapes give affine MLX only the product of bits and group size; which pair, the config says.
  const Json experts = Expected(GetParam())["experts"];
  for (const Json& want : experts) {
    const bool affine = want.contains("quant") && want["quant"].value("mode", "") == "affine";
    if (affine) GTEST_SKIP() << "bits and group size stand in the config alone";
  }
  ExpectWholeZoo(GetParam(), false);
}

INSTANTIATE_TEST_SUITE_P(All, ZooFolder, testing::ValuesIn(Folders()),
                         [](const auto& row) { return row.param; });

}  // namespace
}  // namespace moe
