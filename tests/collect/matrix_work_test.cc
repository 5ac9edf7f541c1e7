#include "collect/matrix_work.h"

#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>

#include "base/test_files.h"
#include "collect/memory_sink.h"
#include "rows/collect_rows.h"

namespace moe {
namespace {

const std::filesystem::path kModel = TestData() / "zoo/hf4_mixtral/model.safetensors";

struct Silent : CollectObserver {
  void OnScan(size_t, const std::string&) override {}
  void OnFile(size_t, size_t, const std::string&) override {}
  void OnWork(uint64_t, uint64_t) override {}
  void OnProgress(uint64_t, uint64_t) override {}
  void OnNotice(std::string_view) override {}
};

/// Gives no numbers: one scheme fails, all others have one error.
struct StubBackend : QuantBackend {
  std::string name() const override { return "mlx"; }
  std::string profile() const override { return "mlx-0-cpu"; }
  Result<MatrixMeasurement> Measure(const MeasureInput&,
                                    const MeasureOptions& options) const override {
    MatrixMeasurement measured;
    measured.stats.percentiles.resize(options.percentiles_abs.size());
    measured.stats.groups.resize(options.group_sizes.size());
    for (const QuantScheme& scheme : options.schemes) {
      QuantError& error = measured.quant.emplace_back();
      if (scheme.name == "mx") {
        error.error = "ValueError: no";
      } else {
        error.w_rel_fro = 0.5;
      }
    }
    return measured;
  }
};

const NativeBackend kNative(QuantProfile::kMlxCpu);

Model ModelOfFile() { return *Model::Open(kModel.string()); }

MatrixWorkOptions TwoSchemes(unsigned threads) {
  MatrixWorkOptions options;
  options.schemes = {{"q4", "affine", 4, 32}, {"mx", "mxfp4", 4, 32}};
  options.threads = threads;
  options.backend = &kNative;
  return options;
}

/// The text of column `name` of each row.
std::vector<std::string> Texts(const TableSchema& schema, const std::vector<Row>& rows,
                               const std::string& name) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < schema.columns.size(); ++i) {
    if (schema.columns[i].name != name) continue;
    for (const Row& row : rows) texts.push_back(std::get<std::string>(row[i]));
  }
  return texts;
}

struct Work {
  Result<MatrixWorkSummary> summary;
  MemorySink stats, quant, unmatched;
};

std::unique_ptr<Work> Measure(const MatrixWorkOptions& options, size_t quant_fails_at = SIZE_MAX) {
  auto work = std::make_unique<Work>();
  work->quant.fails_at = quant_fails_at;
  Silent observer;
  work->summary = MeasureMatrices(ModelOfFile(), options,
                                  {work->stats, work->quant, work->unmatched}, observer);
  return work;
}

// Contract D20.
TEST(MeasureMatrices, GivesTheSameRowsWithAnyNumberOfThreads) {
  const auto one = Measure(TwoSchemes(1));
  ASSERT_TRUE(one->summary.has_value()) << one->summary.error().Text();
  EXPECT_EQ(one->stats.rows.size(), ModelOfFile().matrices());
  EXPECT_EQ(one->quant.rows.size(), 2 * one->stats.rows.size());
  EXPECT_EQ(one->summary->matrix_rows, one->stats.rows.size());
  EXPECT_EQ(one->summary->quant_rows, one->quant.rows.size());
  for (const unsigned threads : {2u, 5u, 8u}) {
    const auto more = Measure(TwoSchemes(threads));
    EXPECT_EQ(more->stats.rows, one->stats.rows) << threads;
    EXPECT_EQ(more->quant.rows, one->quant.rows) << threads;
  }
}

// Contract section 9: inside a bank the rows go scheme by scheme. Mixtral's banks hold one expert.
TEST(MeasureMatrices, OrdersRowsByBankThenScheme) {
  const auto work = Measure(TwoSchemes(3));
  const auto schemes = Texts(QuantSimTable().Schema(), work->quant.rows, "scheme");
  const auto tensors = Texts(QuantSimTable().Schema(), work->quant.rows, "source_tensor");
  const auto stats_tensors =
      Texts(MatrixStatsTable(TwoSchemes(1).measure).Schema(), work->stats.rows, "source_tensor");
  ASSERT_EQ(schemes.size(), 2 * stats_tensors.size());
  for (size_t i = 0; i < schemes.size(); ++i) {
    EXPECT_EQ(schemes[i], i % 2 == 0 ? "q4" : "mx");
    EXPECT_EQ(tensors[i], stats_tensors[i / 2]);
  }
}

TEST(MeasureMatrices, NamesTheWorstOfEachSchemeWorstFirst) {
  const auto work = Measure(TwoSchemes(2));
  const auto& worst = work->summary->worst;
  ASSERT_GE(worst.size(), 4u);
  for (size_t i = 1; i < worst.size(); ++i) {
    if (worst[i].scheme == worst[i - 1].scheme) {
      EXPECT_LE(worst[i].w_rel_fro, worst[i - 1].w_rel_fro);
    } else {
      EXPECT_EQ(worst[i].scheme, "mx");
    }
  }
}

TEST(MeasureMatrices, AsksTheOtherBackendForEverySchemeOfEveryMatrix) {
  MatrixWorkOptions options = TwoSchemes(2);
  const StubBackend stub;
  options.backend = &stub;
  const auto work = Measure(options);
  ASSERT_TRUE(work->summary.has_value()) << work->summary.error().Text();
  ASSERT_EQ(work->quant.rows.size(), 2 * work->stats.rows.size());
  EXPECT_THAT(Texts(QuantSimTable().Schema(), work->quant.rows, "backend"), testing::Each("mlx"));
  EXPECT_THAT(Texts(QuantSimTable().Schema(), work->quant.rows, "profile"),
              testing::Each("mlx-0-cpu"));
}

TEST(MeasureMatrices, EndsWhenItIsStoppedOrARowCantBeWritten) {
  const std::atomic<bool> stop = true;
  MatrixWorkOptions options = TwoSchemes(3);
  options.stop = StopToken(stop);
  const auto stopped = Measure(options);
  ASSERT_FALSE(stopped->summary.has_value());
  EXPECT_EQ(stopped->summary.error().code, ErrorCode::kInterrupted);

  const auto full = Measure(TwoSchemes(3), 5);
  ASSERT_FALSE(full->summary.has_value());
  EXPECT_EQ(full->summary.error().message, "is full");
}

}  // namespace
}  // namespace moe
