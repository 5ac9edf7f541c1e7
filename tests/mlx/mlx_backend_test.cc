#include "mlx/mlx_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/test_files.h"
#include "measure/array_matrix.h"
#include "measure/quant_metrics.h"
#include "moescope/measure.h"

namespace moe {
namespace {

using testing::HasSubstr;

constexpr double kEps = 1e-12;

/// Points MOESCOPE_MLX_PLUGIN at `path` for the life of the object.
class ChosenPlugin {
 public:
  explicit ChosenPlugin(const std::string& path) { setenv("MOESCOPE_MLX_PLUGIN", path.c_str(), 1); }
  ~ChosenPlugin() { unsetenv("MOESCOPE_MLX_PLUGIN"); }
};

const ArrayMatrix kTwoRows(std::vector<float>(64, 0.5f), 2, 32);
const QuantScheme kAffine4{"affine_q4_g32", "affine", 4, 32};

/// Plugins that can't be used, and what the error says.
struct UnusablePlugin {
  const char* name;
  std::string path;
  const char* expected_part;
};

class MlxPluginRefused : public testing::TestWithParam<UnusablePlugin> {};

TEST_P(MlxPluginRefused, SaysWhy) {
  const ChosenPlugin chosen(GetParam().path);
  const auto opened = MlxBackend::Open("cpu");
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(opened.error().where, HasSubstr(GetParam().path));
  EXPECT_THAT(opened.error().message, HasSubstr(GetParam().expected_part));
}

INSTANTIATE_TEST_SUITE_P(
    All, MlxPluginRefused,
    testing::Values(UnusablePlugin{"Missing", "/nonexistent/moescope_mlx.so", "won't open"},
                    UnusablePlugin{"NoSharedObject", TestData() / "README.md", "won't open"},
                    UnusablePlugin{"NoEntry", MOE_STUB_NO_ENTRY_PATH, "not an MLX plugin"},
                    UnusablePlugin{"OtherVersion", MOE_STUB_OTHER_VERSION_PATH,
                                   "another moescope"}),
    [](const auto& test_case) { return test_case.param.name; });

TEST(MlxBackend, WithoutAPluginSaysHowToGetOne) {
  const auto opened = MlxBackend::Open("cpu");  // the test program has none beside it
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(opened.error().Text(), HasSubstr("MOESCOPE_MLX_PLUGIN"));
}

TEST(MlxBackend, AFailingQuantizeIsTheErrorOfARow) {
  const ChosenPlugin chosen(MOE_STUB_QUANTIZE_FAILS_PATH);
  const auto mlx = MlxBackend::Open("cpu");
  ASSERT_TRUE(mlx.has_value()) << mlx.error().Text();
  EXPECT_EQ(mlx->profile(), "mlx-0.0.0-stub-cpu");
  const auto row = mlx->Measure(kTwoRows, kAffine4, ComputeDType::kF32, kEps, std::nullopt);
  ASSERT_TRUE(row.has_value());
  EXPECT_EQ(row->error, "RuntimeError: [stub] quantize fails");
  EXPECT_EQ(row->w_rel_fro, std::nullopt);
}

TEST(MlxBackend, TooFewRowsAreTheErrorOfARow) {
  const ChosenPlugin chosen(MOE_STUB_FEWER_ROWS_PATH);
  const auto mlx = MlxBackend::Open("cpu");
  ASSERT_TRUE(mlx.has_value()) << mlx.error().Text();
  const auto row = mlx->Measure(kTwoRows, kAffine4, ComputeDType::kF32, kEps, std::nullopt);
  ASSERT_TRUE(row.has_value());
  EXPECT_EQ(row->error, "ValueError: expected 2 quant rows but got 1");
  EXPECT_EQ(row->scale_mean, std::nullopt);
}

/// The real MLX. Skipped, visibly, where its plugin was not built.
class RealMlx : public testing::Test {
 protected:
  void SetUp() override {
    if (std::string(MOE_MLX_PLUGIN_PATH).empty()) GTEST_SKIP() << "MLX is not on this machine";
    const ChosenPlugin chosen(MOE_MLX_PLUGIN_PATH);
    auto opened = MlxBackend::Open("cpu");
    ASSERT_TRUE(opened.has_value()) << opened.error().Text();
    mlx_.emplace(std::move(*opened));
  }

  std::optional<MlxBackend> mlx_;
};

std::vector<QuantScheme> AllSchemes() {
  std::vector<QuantScheme> schemes = {
      {"mxfp4", "mxfp4", 4, 32}, {"mxfp8", "mxfp8", 8, 32}, {"nvfp4", "nvfp4", 4, 16}};
  for (const int64_t bits : {1, 2, 3, 4, 5, 6, 8}) {
    for (const int64_t group : {32, 64, 128}) schemes.push_back({"affine", "affine", bits, group});
  }
  return schemes;
}

/// Rows that differ in kind: weights, tiny ones, huge ones, ties, a constant, zeros.
std::vector<float> TellingWeights(uint64_t cols, ComputeDType dtype) {
  std::mt19937 random(20261122);
  std::normal_distribution<float> normal;
  std::vector<float> w;
  const auto add_row = [&](auto value_at) {
    for (uint64_t c = 0; c < cols; ++c) w.push_back(value_at(c));
  };
  for (const float scale : {0.02f, 1e-4f, 300.0f}) {
    add_row([&](uint64_t) { return scale * normal(random); });
  }
  add_row([](uint64_t c) { return 0.25f * static_cast<float>(c % 31); });
  add_row([](uint64_t c) { return c == 0 ? -6.0f : -0.25f * static_cast<float>(c % 21); });
  add_row([](uint64_t) { return 0.75f; });
  add_row([](uint64_t) { return 0.0f; });
  add_row([](uint64_t c) { return c % 32 == 5 ? 1.0f : 0.0f; });
  RoundToCompute(w.data(), w.size(), dtype);
  return w;
}

TEST_F(RealMlx, GivesTheSameCodesAsTheNativeQuantizer) {
  constexpr uint64_t kCols = 256;
  for (const ComputeDType dtype : {ComputeDType::kF32, ComputeDType::kF16, ComputeDType::kBF16}) {
    const std::vector<float> w = TellingWeights(kCols, dtype);
    const uint64_t rows = w.size() / kCols;
    for (const QuantScheme& scheme : AllSchemes()) {
      SCOPED_TRACE(scheme.mode + " b" + std::to_string(scheme.bits) + " g" +
                   std::to_string(scheme.group_size) + " " + std::string(ComputeDTypeName(dtype)));
      const auto real = mlx_->Quantize(w, rows, kCols, scheme, dtype);
      const auto native = QuantizeMatrix(w, rows, kCols, scheme, QuantProfile::kMlxCpu, dtype);
      ASSERT_TRUE(real.has_value()) << real.error().Text();
      ASSERT_TRUE(native.has_value()) << native.error().Text();
      EXPECT_EQ(real->rows, native->rows);
      EXPECT_EQ(real->codes, native->codes);
      EXPECT_EQ(real->scales, native->scales);
      EXPECT_EQ(real->biases, native->biases);
      EXPECT_EQ(real->w_hat, native->w_hat);
    }
  }
}

TEST_F(RealMlx, GivesTheSameErrorsAsTheNativeMeasurement) {
  constexpr uint64_t kCols = 256;
  const std::vector<float> w = TellingWeights(kCols, ComputeDType::kF32);
  const ArrayMatrix matrix(w, w.size() / kCols, kCols);
  MeasureOptions options;
  options.eps = kEps;
  options.schemes = AllSchemes();
  std::vector<double> importance(kCols);
  for (uint64_t c = 0; c < kCols; ++c) importance[c] = static_cast<double>(c % 7);
  MeasureInput input(matrix);
  input.importance = importance;
  const auto native = MeasureMatrix(input, options);
  ASSERT_TRUE(native.has_value()) << native.error().Text();
  for (size_t i = 0; i < options.schemes.size(); ++i) {
    SCOPED_TRACE(options.schemes[i].mode + std::to_string(options.schemes[i].bits));
    const auto real =
        mlx_->Measure(matrix, options.schemes[i], ComputeDType::kF32, kEps, {}, importance);
    ASSERT_TRUE(real.has_value()) << real.error().Text();
    EXPECT_EQ(real->act_rel_fro, native->quant[i].act_rel_fro);
    EXPECT_EQ(real->error, native->quant[i].error);
    EXPECT_EQ(real->w_rel_fro, native->quant[i].w_rel_fro);
    EXPECT_EQ(real->w_rel_max, native->quant[i].w_rel_max);
    EXPECT_EQ(real->scale_mean, native->quant[i].scale_mean);
    EXPECT_EQ(real->bias_mean, native->quant[i].bias_mean);
    EXPECT_EQ(real->sqnr_db, native->quant[i].sqnr_db);
    EXPECT_EQ(real->zero_share, native->quant[i].zero_share);
  }
}

TEST_F(RealMlx, RefusesWhatTheNativeQuantizerRefusesInTheSameWords) {
  const std::vector<float> w(2 * 96, 0.5f);
  const QuantScheme refused[] = {{"s", "symmetric", 4, 32}, {"s", "affine", 4, 64},
                                 {"s", "affine", 7, 32},    {"s", "affine", 4, 16},
                                 {"s", "mxfp4", 8, 32},     {"s", "mxfp4", 4, 16},
                                 {"s", "nvfp4", 4, 32}};
  for (const QuantScheme& scheme : refused) {
    SCOPED_TRACE(scheme.mode + std::to_string(scheme.bits) + "g" +
                 std::to_string(scheme.group_size));
    const auto real = mlx_->Quantize(w, 2, 96, scheme, ComputeDType::kF32);
    const auto native = QuantizeMatrix(w, 2, 96, scheme, QuantProfile::kMlxCpu, ComputeDType::kF32);
    ASSERT_FALSE(real.has_value());
    ASSERT_FALSE(native.has_value());
    EXPECT_EQ(real.error().TypeName(), native.error().TypeName());
    EXPECT_EQ(real.error().message, native.error().message);
  }
}

TEST_F(RealMlx, ServesManyThreads) {
  constexpr uint64_t kCols = 256;
  const std::vector<float> w = TellingWeights(kCols, ComputeDType::kF32);
  const uint64_t rows = w.size() / kCols;
  const auto expected = mlx_->Quantize(w, rows, kCols, kAffine4, ComputeDType::kF32);
  ASSERT_TRUE(expected.has_value()) << expected.error().Text();
  std::vector<int> equal(4, 0);  // one slot for each thread
  std::vector<std::thread> threads;
  for (int& mine : equal) {
    threads.emplace_back([&] {
      const auto got = mlx_->Quantize(w, rows, kCols, kAffine4, ComputeDType::kF32);
      mine = got && got->codes == expected->codes && got->w_hat == expected->w_hat;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(equal, testing::Each(1));
}

TEST_F(RealMlx, ADeviceThatIsNotThereLeavesTheDefault) {
  const ChosenPlugin chosen(MOE_MLX_PLUGIN_PATH);
  const auto opened = MlxBackend::Open("abacus");
  ASSERT_TRUE(opened.has_value());
  EXPECT_THAT(opened->device(), testing::AnyOf("cpu", "gpu"));
}

TEST_F(RealMlx, NonFiniteWeightsNeverReachMlx) {
  std::vector<float> w(64, 0.5f);
  w[3] = std::numeric_limits<float>::infinity();
  const ArrayMatrix matrix(std::move(w), 2, 32);
  const auto row = mlx_->Measure(matrix, kAffine4, ComputeDType::kF32, kEps, std::nullopt);
  ASSERT_TRUE(row.has_value());
  EXPECT_EQ(row->error, "ValueError: 1 non-finite weights");
}

}  // namespace
}  // namespace moe
