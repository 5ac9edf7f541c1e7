// Errors that are weighted by the importance of columns, and sums of squares by row and column.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "measure/array_matrix.h"
#include "measure/quant_metrics.h"
#include "moescope/measure.h"

namespace moe {
namespace {

using Of = SquareSums::Of;
constexpr double kInf = std::numeric_limits<double>::infinity();

ArrayMatrix MatrixOf(uint64_t rows, uint64_t cols, DType dtype) {
  return {Converted(TestWeights(rows * cols), dtype), rows, cols, dtype};
}

MatrixMeasurement Measured(const MatrixSource& matrix, std::span<const double> importance,
                           const MeasureOptions& options, unsigned threads = 1,
                           SquareSums square_sums = {}) {
  MeasureInput input(matrix);
  input.importance = importance;
  input.threads = threads;
  input.square_sums = square_sums;
  return MeasureMatrix(input, options).value();
}

std::vector<double> SumsOf(const MatrixSource& matrix, const SquareSums& wanted,
                           unsigned threads = 1) {
  return Measured(matrix, {}, {}, threads, wanted).square_sums;
}

void ExpectNear(const std::optional<double>& actual, double expected) {
  ASSERT_TRUE(actual.has_value());
  EXPECT_LE(std::abs(*actual - expected), 1e-13 * expected) << *actual << " not " << expected;
}

MeasureOptions OptionsOf(std::vector<QuantScheme> schemes) {
  MeasureOptions options;
  options.schemes = std::move(schemes);
  return options;
}

const std::vector<QuantScheme> kSchemes = {{"a4", "affine", 4, 64},
                                           {"a3", "affine", 3, 32},
                                           {"m4", "mxfp4", 4, 32},
                                           {"n4", "nvfp4", 4, 16}};

// affine 2 bit of {-1, 0.9, 0...}: scale 0.5, bias -1. 0.9 is clipped to 0.5, all others are exact.
TEST(Importance, WeighsSquaresOfErrorsAndWeightsByHand) {
  std::vector<float> values(64, 0.0f);
  values[0] = -1;
  values[1] = 0.9f;
  const ArrayMatrix matrix(values, 2, 32);
  std::vector<double> importance(32, 100.0);
  importance[0] = 4;
  importance[1] = 9;
  const auto measured = Measured(matrix, importance, OptionsOf({{"a", "affine", 2, 32}}));
  const double x = 0.9f, d = x - 0.5;
  EXPECT_EQ(measured.energy, 4 + 9 * (x * x));
  EXPECT_EQ(measured.quant[0].act_rel_fro, std::sqrt(9 * (d * d)) / std::sqrt(4 + 9 * (x * x)));
}

// NumPy 2.4.6 and MLX 0.32.4 on its CPU, T the dtype of the weights: y = mx.dequantize(
// mx.quantize(w)) for each of kSchemes; x, y and importance in float64, d = x - y;
// sqrt((a * d * d).sum()) / sqrt((a * x * x).sum()), (a * x * x).sum(); (a * x * x).sum(1)[[0,
// -1]], (x * x).sum(0)[[0, 3, -1]].
TEST(Importance, FiguresEqualNumPys) {
  const struct {
    uint64_t rows, cols;
    DType dtype;
    std::vector<double> act_rel_fro;
    double energy;
    std::array<double, 2> row_sums;
    std::array<double, 3> column_sums;
  } kCases[] = {
      {300,
       1024,
       DType::kF32,
       {0.08495799992894283, 0.16193460319309746, 0.11074461263009285, 0.09657395623600841},
       4627.611632467175,
       {12.967737497482215, 19.24675328355716},
       {1.082811029503064, 1.1507588602576997, 1.3095605266044044}},
      {300,
       1024,
       DType::kBF16,
       {0.0851504480524792, 0.16195525639251487, 0.11075029706408482, 0.09656609935963026},
       4627.605344875357,
       {12.960236291347062, 19.243203925509647},
       {1.0829055901558604, 1.1513396320696216, 1.3094050898362184}},
      {70,
       768,
       DType::kF16,
       {0.08465502063347816, 0.1610948807597218, 0.11097120345579858, 0.09674089884747634},
       821.9054152878939,
       {9.808168206125288, 10.383283701964316},
       {0.31750902169915207, 0.3063772875577797, 0.24856340201949934}},
      {3,  // rows wider than a tile
       70400,
       DType::kBF16,
       {0.08497962781256559, 0.1629480827047932, 0.1111696247108946, 0.09670558615281573},
       3116.169037467358,
       {1051.1282784052269, 1030.131541275046},
       {0.019759654998779297, 0.022270996123552322, 0.029550552368164062}}};
  for (const auto& c : kCases) {
    SCOPED_TRACE(testing::Message() << c.rows << " x " << c.cols);
    const ArrayMatrix matrix = MatrixOf(c.rows, c.cols, c.dtype);
    const auto importance = TestImportance(c.cols);
    const auto measured =
        Measured(matrix, importance, OptionsOf(kSchemes), 1, {Of::kRows, importance});
    for (size_t s = 0; s < kSchemes.size(); ++s) {
      ExpectNear(measured.quant[s].act_rel_fro, c.act_rel_fro[s]);
    }
    ExpectNear(measured.energy, c.energy);
    ASSERT_EQ(measured.square_sums.size(), c.rows);
    ExpectNear(measured.square_sums.front(), c.row_sums[0]);
    ExpectNear(measured.square_sums.back(), c.row_sums[1]);
    const auto columns = SumsOf(matrix, {Of::kColumns, {}});
    ASSERT_EQ(columns.size(), c.cols);
    ExpectNear(columns[0], c.column_sums[0]);
    ExpectNear(columns[3], c.column_sums[1]);
    ExpectNear(columns.back(), c.column_sums[2]);
  }
}

TEST(Importance, OfOnesGivesTheErrorOfTheWeights) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    const ArrayMatrix matrix = MatrixOf(100, 1024, dtype);
    MeasureOptions options = OptionsOf(kSchemes);
    options.eps = 0;
    const auto measured = Measured(matrix, std::vector<double>(1024, 1.0), options);
    for (const QuantError& error : measured.quant) {
      ExpectNear(error.act_rel_fro, error.w_rel_fro.value());
    }
  }
}

// So no other column counts; and eps would show.
TEST(Importance, OfOneColumnGivesTheErrorOfThatColumn) {
  constexpr uint64_t kRows = 90, kCols = 800;  // batches and tiles begin in the middle of rows
  const ArrayMatrix matrix = MatrixOf(kRows, kCols, DType::kF32);
  const QuantScheme scheme = {"a", "affine", 3, 32};
  const auto made = QuantizeMatrix(matrix.values(), kRows, kCols, scheme, QuantProfile::kMlxCpu,
                                   ComputeDType::kF32)
                        .value();
  for (const uint64_t column : {0u, 31u, 32u, 777u, 799u}) {
    std::vector<double> importance(kCols);
    importance[column] = 1e-30;
    double sum_err = 0, sum_x = 0;
    for (size_t i = column; i < kRows * kCols; i += kCols) {
      const double x = matrix.values()[i], d = x - made.w_hat[i];
      sum_err += d * d;
      sum_x += x * x;
    }
    const auto measured = Measured(matrix, importance, OptionsOf({scheme}));
    ExpectNear(measured.energy, sum_x * 1e-30);
    ExpectNear(measured.quant[0].act_rel_fro, std::sqrt(sum_err) / std::sqrt(sum_x));
  }
}

void ExpectSameErrors(const MatrixMeasurement& a, const MatrixMeasurement& b) {
  ASSERT_EQ(a.quant.size(), b.quant.size());
  for (size_t i = 0; i < a.quant.size(); ++i) {
    EXPECT_EQ(a.quant[i].w_rel_fro, b.quant[i].w_rel_fro);
    EXPECT_EQ(a.quant[i].w_rel_max, b.quant[i].w_rel_max);
    EXPECT_EQ(a.quant[i].sqnr_db, b.quant[i].sqnr_db);
    EXPECT_EQ(a.quant[i].scale_mean, b.quant[i].scale_mean);
    EXPECT_EQ(a.quant[i].zero_share, b.quant[i].zero_share);
    EXPECT_EQ(a.quant[i].clip_share, b.quant[i].clip_share);
  }
}

// Three parts; stored in T, and rounded to it.
TEST(Importance, FiguresDependNeitherOnThreadsNorOnWhatElseIsMeasured) {
  constexpr uint64_t kRows = 4300, kCols = 2048;
  const auto importance = TestImportance(kCols);
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    const ArrayMatrix matrix = MatrixOf(kRows, kCols, dtype);
    MeasureOptions options = OptionsOf({kSchemes[0], kSchemes[2]});
    options.compute_dtype = ComputeDType::kBF16;
    const auto alone = Measured(matrix, importance, options, 1, {Of::kRows, importance});
    options.stats = false;
    const auto threaded = Measured(matrix, importance, options, 3, {Of::kRows, importance});
    ExpectSameErrors(alone, threaded);
    ExpectSameErrors(alone, Measured(matrix, {}, options));
    EXPECT_EQ(alone.energy, threaded.energy);
    EXPECT_EQ(alone.square_sums, threaded.square_sums);
    EXPECT_EQ(alone.square_sums.size(), kRows);
    for (size_t s = 0; s < options.schemes.size(); ++s) {
      EXPECT_TRUE(alone.quant[s].act_rel_fro.has_value());
      EXPECT_EQ(alone.quant[s].act_rel_fro, threaded.quant[s].act_rel_fro);
    }
    options.schemes.clear();
    EXPECT_EQ(Measured(matrix, importance, options).energy, alone.energy);
    const SquareSums by_column = {Of::kColumns, {}};
    EXPECT_EQ(SumsOf(matrix, by_column), SumsOf(matrix, by_column, 3));
  }
}

// The weights are {1, 2; 3, 4} and more of the kind: exact in every order.
TEST(SquareSums, ByRowAndColumnByHand) {
  const ArrayMatrix matrix({1, -2, 3, -4, 5, 6}, 2, 3);
  EXPECT_EQ(SumsOf(matrix, {}), std::vector<double>{});
  EXPECT_EQ(SumsOf(matrix, {Of::kRows, {}}), (std::vector<double>{14, 77}));
  EXPECT_EQ(SumsOf(matrix, {Of::kColumns, {}}), (std::vector<double>{17, 29, 45}));
  const std::vector<double> weights = {0.5, 0, 2};
  EXPECT_EQ(SumsOf(matrix, {Of::kRows, weights}), (std::vector<double>{18.5, 80}));
}

// Pieces of rows, and several parts of one row each.
TEST(SquareSums, OfRowsWiderThanATileAreExact) {
  constexpr uint64_t kRows = 40, kCols = 140001;
  std::vector<float> values(kRows * kCols);
  std::vector<double> rows(kRows), columns(kCols);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i % 17) - 8;
    rows[i / kCols] += values[i] * values[i];
    columns[i % kCols] += values[i] * values[i];
  }
  const ArrayMatrix matrix(values, kRows, kCols, DType::kBF16);
  for (const unsigned threads : {1u, 2u}) {
    EXPECT_EQ(SumsOf(matrix, {Of::kRows, {}}, threads), rows);
    EXPECT_EQ(SumsOf(matrix, {Of::kColumns, {}}, threads), columns);
  }
}

// What is read counts there, not what is rounded to T.
TEST(SquareSums, AreOfTheWeightsAsTheyAreRead) {
  const ArrayMatrix matrix({1.001f, 0}, 1, 2);
  MeasureOptions options;
  options.compute_dtype = ComputeDType::kBF16;
  const std::vector<double> ones = {1, 1};
  const auto measured = Measured(matrix, ones, options, 1, {Of::kRows, {}});
  EXPECT_EQ(measured.square_sums[0], double{1.001f} * 1.001f);
  EXPECT_EQ(measured.energy, 1.0);
}

// ---- what can't be computed ----

TEST(Importance, WithoutItThereAreNoFigures) {
  const auto measured =
      MeasureMatrix(MatrixOf(2, 64, DType::kF32), OptionsOf({kSchemes[0]})).value();
  EXPECT_EQ(measured.energy, std::nullopt);
  EXPECT_EQ(measured.quant[0].act_rel_fro, std::nullopt);
  EXPECT_TRUE(measured.square_sums.empty());
}

TEST(Importance, RefusedWeightsAndSchemesHaveNoWeightedError) {
  const std::vector<double> ones(64, 1.0);
  const MeasureOptions options = OptionsOf({{"a", "affine", 4, 64}, {"s", "symmetric", 4, 64}});
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    std::vector<float> values(128, 0.25f);
    const auto of = [&] {
      return Measured(ArrayMatrix(values, 2, 64, dtype), ones, options, 1, {Of::kRows, {}});
    };
    auto measured = of();
    EXPECT_EQ(measured.energy, 8.0);
    EXPECT_EQ(measured.square_sums, (std::vector<double>{4, 4}));
    EXPECT_EQ(measured.quant[0].act_rel_fro, 0.0);
    EXPECT_EQ(measured.quant[1].act_rel_fro, std::nullopt);
    EXPECT_TRUE(measured.quant[1].error.has_value());
    values[70] = std::numeric_limits<float>::quiet_NaN();
    measured = of();
    EXPECT_EQ(measured.energy, std::nullopt);
    EXPECT_TRUE(measured.square_sums.empty());
    EXPECT_EQ(measured.quant[0].act_rel_fro, std::nullopt);
    EXPECT_EQ(measured.quant[0].error, "ValueError: 1 non-finite weights");
  }
}

TEST(Importance, WeightsBeyondTHaveSumsOfSquaresAlone) {
  std::vector<float> values(64, 0.0f);
  values[9] = 70000;
  MeasureOptions options = OptionsOf({kSchemes[0]});
  options.compute_dtype = ComputeDType::kF16;
  const auto measured = Measured(ArrayMatrix(values, 1, 64), std::vector<double>(64, 1.0), options,
                                 1, {Of::kRows, {}});
  EXPECT_EQ(measured.square_sums, std::vector<double>{4.9e9});
  EXPECT_EQ(measured.energy, std::nullopt);
  EXPECT_EQ(measured.quant[0].act_rel_fro, std::nullopt);
  EXPECT_EQ(measured.quant[0].error, "OverflowError: 1 weights exceed fp16");
}

TEST(Importance, ADenominatorOfZeroOrBeyondDoubleGivesNone) {
  const ArrayMatrix matrix = MatrixOf(2, 64, DType::kF32);
  const auto zero = Measured(matrix, std::vector<double>(64, 0.0), OptionsOf({kSchemes[0]}));
  EXPECT_EQ(zero.energy, 0.0);
  EXPECT_EQ(zero.quant[0].act_rel_fro, std::nullopt);
  EXPECT_EQ(zero.quant[0].error, std::nullopt);
  EXPECT_TRUE(zero.quant[0].w_rel_fro.has_value());
  const ArrayMatrix large(std::vector<float>(64, 1e10f), 1, 64);
  const auto beyond = Measured(large, std::vector<double>(64, 1e300), OptionsOf({kSchemes[0]}));
  EXPECT_EQ(beyond.energy, std::nullopt);
  EXPECT_EQ(beyond.quant[0].act_rel_fro, std::nullopt);
}

TEST(Importance, WrongCountsAndValuesAreRefused) {
  const ArrayMatrix matrix = MatrixOf(2, 32, DType::kF32);
  const auto code_of = [&](std::span<const double> importance, const SquareSums& sums) {
    MeasureInput input(matrix);
    input.importance = importance;
    input.square_sums = sums;
    return MeasureMatrix(input, {}).error().code;
  };
  std::vector<std::vector<double>> bad = {std::vector<double>(31, 1.0),
                                          std::vector<double>(33, 1.0)};
  for (const double value : {-1e-300, kInf, -kInf, std::nan("")}) {
    bad.emplace_back(32, 1.0)[17] = value;
  }
  for (const auto& weights : bad) {
    EXPECT_EQ(code_of(weights, {}), ErrorCode::kBadArgument);
    EXPECT_EQ(code_of({}, {Of::kRows, weights}), ErrorCode::kBadArgument);
  }
  const std::vector<double> good(32, 1.0);
  EXPECT_EQ(code_of({}, {Of::kColumns, good}), ErrorCode::kBadArgument);
  EXPECT_EQ(code_of({}, {Of::kNothing, good}), ErrorCode::kBadArgument);
}

// ---- the plugin's path ----

TEST(Importance, ErrorsOfQuantizedMatricesAreTheNativeOnes) {
  for (const auto& [rows, cols] : {std::pair<uint64_t, uint64_t>(70, 960), {2, 70400}}) {
    const ArrayMatrix matrix = MatrixOf(rows, cols, DType::kF32);
    const auto importance = TestImportance(cols);
    for (const ComputeDType dtype : {ComputeDType::kF32, ComputeDType::kF16, ComputeDType::kBF16}) {
      MeasureOptions options = OptionsOf(kSchemes);
      options.compute_dtype = dtype;
      const auto native = Measured(matrix, importance, options);
      const auto weights = ReadWeightsInT(matrix, dtype).value();
      for (size_t s = 0; s < kSchemes.size(); ++s) {
        const auto made =
            QuantizeMatrix(weights.x, rows, cols, kSchemes[s], QuantProfile::kMlxCpu, dtype);
        const auto error = ErrorOfQuantized(weights.x, rows, cols, *made, kSchemes[s], dtype, 1e-12,
                                            std::nullopt, importance);
        EXPECT_EQ(error->act_rel_fro, native.quant[s].act_rel_fro);
        EXPECT_TRUE(error->act_rel_fro.has_value());
      }
    }
  }
}

}  // namespace
}  // namespace moe
