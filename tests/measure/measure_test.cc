#include "moescope/measure.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "measure/array_matrix.h"
#include "measure/numpy_sample.h"
#include "measure/oracle.h"
#include "measure/quant_metrics.h"

namespace moe {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

MeasureOptions StatsOptions() {
  MeasureOptions options;
  options.percentiles_abs = {50.0, 99.0, 99.9, 25.0, 99.99};
  return options;
}

void ExpectNear(double actual, double expected, double relative, const char* what) {
  EXPECT_LE(std::abs(actual - expected), relative * std::abs(expected))
      << what << ": " << actual << " instead of " << expected;
}

// NumPy 2.4.6 on the weights of TestWeights() (+ offset, rounded to the dtype), in float64:
// mean, std, mean|w|, rms, max|w|; percentile(|w|, (50, 99, 99.9, 25, 99.99)); and for each group
// size percentile 95 and max of float32(max|w| / (mean|w| + 1e-12)).
struct Golden {
  const char* name;
  uint64_t rows, cols;
  DType dtype;
  double offset;
  std::vector<double> moments, percentiles;
  std::vector<std::array<double, 3>> groups;  // size, percentile, max
};

const Golden kGolden[] = {
    {"SmallF32",
     7,
     96,
     DType::kF32,
     0,
     {-7.255810045795183e-05, 0.06090953988196226, 0.049330422044000614, 0.060909583099133864,
      0.1608646810054779},
     {0.04423167556524277, 0.13657843708991985, 0.1509830663800249, 0.019313031807541847,
      0.1598765195429311},
     {{32, 3.090130567550659, 3.3910646438598633},
      {1, 1, 1},
      {3, 2.4469427108764648, 2.860156774520874},
      {48, 3.276515400409698, 3.605778217315674}}},
    {"F32",
     300,
     1024,
     DType::kF32,
     0,
     {-4.4511375434694856e-05, 0.06259004845583142, 0.050899716874375445, 0.06259006428312618,
      0.1853836327791214},
     {0.04427098669111729, 0.14888262882828715, 0.16952657112479413, 0.02127203857526183,
      0.18052836903780606},
     {{32, 3.423874747753142, 4.908322811126709},
      {64, 3.470452690124512, 4.216981887817383},
      {1, 1, 1}}},
    {"BF16",
     300,
     1024,
     DType::kBF16,
     0,
     {-4.452837964890932e-05, 0.06258973715384551, 0.050899384070614055, 0.06258975299331404,
      0.185546875},
     {0.044189453125, 0.1484375, 0.169921875, 0.021240234375, 0.1806640625},
     {{32, 3.4265334129333493, 4.9124298095703125}, {64, 3.471605372428894, 4.225543975830078}}},
    {"F16",
     300,
     1024,
     DType::kF16,
     0,
     {-4.452439898159355e-05, 0.06259009182623175, 0.05089974493933065, 0.06259010766277869,
      0.1854248046875},
     {0.044281005859375, 0.14892578125, 0.16953137207031688, 0.021270751953125, 0.1805419921875},
     {{32, 3.4239088654518124, 4.909134387969971}, {64, 3.4705610632896424, 4.216240882873535}}},
    {"MeanFarAboveStd",
     300,
     1024,
     DType::kF32,
     1000,
     {999.9999554693699, 0.06259005767132245, 999.9999554693699, 999.9999574281277,
      1000.1853637695312},
     {999.9998168945312, 1000.138671875, 1000.164782775879, 999.9556274414062, 1000.1768261962891},
     {{32, 1.0001603424549104, 1.0001989603042603}, {64, 1.0001666605472566, 1.00019371509552}}},
    {"RowsWiderThanATile",
     3,
     70400,
     DType::kF32,
     0,
     {-0.0001353414181337278, 0.0625225702034429, 0.05085347187221583, 0.06252271668876767,
      0.1853836327791214},
     {0.04418356157839298, 0.14860129922628407, 0.16937139439582838, 0.021235364954918623,
      0.18047720207869333},
     {{32, 3.430914878845215, 4.908322811126709},
      {64, 3.470452690124511, 4.0994873046875},
      {70400, 3.6323142051696777, 3.63262939453125},
      {88, 3.494975173473358, 4.240610122680664},
      {44, 3.448608422279358, 4.484005451202393}}},
};

TEST(MeasureMatrix, StatisticsEqualNumPys) {
  for (const Golden& golden : kGolden) {
    SCOPED_TRACE(golden.name);
    const ArrayMatrix matrix(
        Converted(TestWeights(golden.rows * golden.cols), golden.dtype, golden.offset), golden.rows,
        golden.cols, golden.dtype);
    MeasureOptions options = StatsOptions();
    for (const auto& group : golden.groups) {
      options.group_sizes.push_back(static_cast<int64_t>(group[0]));
    }
    const auto measured = MeasureMatrix(matrix, options);
    ASSERT_TRUE(measured.has_value());
    const MatrixStats& stats = measured->stats;
    const double moments[] = {stats.mean, stats.std, stats.mean_abs, stats.rms, stats.max_abs};
    const char* names[] = {"mean", "std", "mean_abs", "rms", "max_abs"};
    for (size_t i = 0; i < 5; ++i) ExpectNear(moments[i], golden.moments[i], 1e-11, names[i]);
    ASSERT_EQ(stats.percentiles.size(), golden.percentiles.size());
    for (size_t i = 0; i < golden.percentiles.size(); ++i) {
      ExpectNear(stats.percentiles[i], golden.percentiles[i], 1e-14, "percentile");
    }
    for (size_t i = 0; i < golden.groups.size(); ++i) {
      ExpectNear(stats.groups[i].percentile.value(), golden.groups[i][1], 1e-14, "group p95");
      ExpectNear(stats.groups[i].max.value(), golden.groups[i][2], 0, "group max");
    }
    EXPECT_EQ(stats.outlier_max_over_mean, stats.max_abs / (stats.mean_abs + 1e-12));
    EXPECT_EQ(stats.outlier_p99_over_median, stats.percentiles[1] / (stats.percentiles[0] + 1e-12));
    EXPECT_EQ(stats.outlier_p999_over_median,
              stats.percentiles[2] / (stats.percentiles[0] + 1e-12));
  }
}

TEST(MeasureMatrix, PercentilesOfASampleAreTakenFromItsElementsOnly) {
  // NumPy: i = default_rng(3).choice(w.size, 5000, replace=False); percentile(|w.flat[i]|, ...)
  const struct {
    uint64_t rows, cols;
    std::vector<double> percentiles;
  } kCases[] = {
      {300,
       1024,
       {0.0446731336414814, 0.14826433941721923, 0.17084560106694702, 0.02127325674518943,
        0.17353349107801877}},
      {3,
       70400,
       {0.043563419952988625, 0.14866748332977311, 0.16730910605192195, 0.021192483138293028,
        0.17448809440135263}},
  };
  for (const auto& c : kCases) {
    const ArrayMatrix matrix(TestWeights(c.rows * c.cols), c.rows, c.cols);
    auto sample = SampleIndices(c.rows * c.cols, 5000, 3).value();
    std::sort(sample.begin(), sample.end());
    const auto measured = MeasureMatrix({matrix, sample}, StatsOptions());
    ASSERT_TRUE(measured.has_value());
    for (size_t i = 0; i < c.percentiles.size(); ++i) {
      ExpectNear(measured->stats.percentiles[i], c.percentiles[i], 1e-14, "percentile");
    }
  }
}

TEST(MeasureMatrix, ASampleOfEverythingEqualsNoSample) {
  const ArrayMatrix matrix(TestWeights(300 * 1024), 300, 1024);
  std::vector<int64_t> all(300 * 1024);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(MeasureMatrix({matrix, all}, StatsOptions())->stats.percentiles,
            MeasureMatrix(matrix, StatsOptions())->stats.percentiles);
}

TEST(MeasureMatrix, SixteenBitWeightsAreReadOnce) {
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    const ArrayMatrix matrix(Converted(TestWeights(300 * 1024), dtype, 0), 300, 1024, dtype);
    MeasureOptions options;
    options.group_sizes = {32, 64};
    ASSERT_TRUE(MeasureMatrix(matrix, options).has_value());
    EXPECT_EQ(matrix.reads(), 5);  // ceil(300 / 64) tiles
  }
}

// So many groups that their ratios are neither kept nor told apart by one read.
TEST(MeasureMatrix, ManyGroupsTakeASecondRead) {
  for (const uint64_t cols : {uint64_t{1408}, uint64_t{70400}}) {
    const uint64_t rows = 352000 / cols;
    const ArrayMatrix matrix(Converted(TestWeights(rows * cols), DType::kBF16, 0), rows, cols,
                             DType::kBF16);
    MeasureOptions options;
    options.group_sizes = {2};
    options.group_outlier_percentile = 50;
    const auto measured = MeasureMatrix(matrix, options);
    std::vector<float> ratios;
    for (size_t i = 0; i < matrix.values().size(); i += 2) {
      const double a = std::fabs(matrix.values()[i]), b = std::fabs(matrix.values()[i + 1]);
      ratios.push_back(static_cast<float>(std::max(a, b) / ((a + b) / 2 + 1e-12)));
    }
    std::sort(ratios.begin(), ratios.end());
    const size_t middle = ratios.size() / 2;  // an even number of them
    const double median = (static_cast<double>(ratios[middle - 1]) + ratios[middle]) / 2;
    EXPECT_DOUBLE_EQ(measured->stats.groups[0].percentile.value(), median);
    EXPECT_EQ(measured->stats.groups[0].max, ratios.back());
    EXPECT_EQ(matrix.reads(), cols == 1408 ? 2 * 6 : 2 * 10);
  }
}

void ExpectSame(const MatrixMeasurement& a, const MatrixMeasurement& b) {
  EXPECT_EQ(a.stats.mean, b.stats.mean);
  EXPECT_EQ(a.stats.std, b.stats.std);
  EXPECT_EQ(a.stats.rms, b.stats.rms);
  EXPECT_EQ(a.stats.max_abs, b.stats.max_abs);
  EXPECT_EQ(a.stats.percentiles, b.stats.percentiles);
  for (size_t i = 0; i < a.stats.groups.size(); ++i) {
    EXPECT_EQ(a.stats.groups[i].percentile, b.stats.groups[i].percentile);
    EXPECT_EQ(a.stats.groups[i].max, b.stats.groups[i].max);
  }
  for (size_t i = 0; i < a.quant.size(); ++i) {
    EXPECT_EQ(a.quant[i].w_rel_fro, b.quant[i].w_rel_fro);
    EXPECT_EQ(a.quant[i].w_rel_max, b.quant[i].w_rel_max);
    EXPECT_EQ(a.quant[i].scale_mean, b.quant[i].scale_mean);
    EXPECT_EQ(a.quant[i].scale_abs_max, b.quant[i].scale_abs_max);
    EXPECT_EQ(a.quant[i].bias_max, b.quant[i].bias_max);
    EXPECT_EQ(a.quant[i].zero_share, b.quant[i].zero_share);
    EXPECT_EQ(a.quant[i].clip_share, b.quant[i].clip_share);
  }
}

// Three parts. One thread and three give the same bits, and the sums are those of all rows.
TEST(MeasureMatrix, ALargeMatrixIsMeasuredInPartsByAnyNumberOfThreads) {
  constexpr uint64_t kRows = 4300, kCols = 2048;
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    const ArrayMatrix matrix(Converted(TestWeights(kRows * kCols), dtype, 0), kRows, kCols, dtype);
    MeasureOptions options;
    options.group_sizes = {32, 2048};
    options.schemes = {{"a", "affine", 4, 64}, {"m", "mxfp4", 4, 32}, {"n", "nvfp4", 4, 16}};
    const auto alone = MeasureMatrix(matrix, options).value();
    ExpectSame(alone, MeasureMatrix({matrix, std::nullopt, 3}, options).value());
    std::vector<int64_t> sample;
    for (int64_t i = 17; i < static_cast<int64_t>(kRows * kCols); i += 9973) sample.push_back(i);
    ExpectSame(MeasureMatrix({matrix, sample}, options).value(),
               MeasureMatrix({matrix, sample, 3}, options).value());

    double sum_abs = 0;
    for (const float value : matrix.values()) sum_abs += std::fabs(value);
    ExpectNear(alone.stats.mean_abs, sum_abs / (kRows * kCols), 1e-12, "mean_abs");
    std::vector<float> sorted = matrix.values();
    for (float& value : sorted) value = std::fabs(value);
    const auto middle = sorted.begin() + kRows * kCols / 2;
    std::nth_element(sorted.begin(), middle, sorted.end());
    const double upper = *middle, lower = *std::max_element(sorted.begin(), middle);
    EXPECT_EQ(alone.stats.percentiles[0], lower + (upper - lower) * 0.5);
  }
}

// For schemes that are added later.
TEST(MeasureMatrix, WithoutStatisticsTheErrorsAreTheSameAfterOneRead) {
  constexpr uint64_t kRows = 2100, kCols = 2048;  // more than one part
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    const ArrayMatrix all(Converted(TestWeights(kRows * kCols), dtype, 0), kRows, kCols, dtype);
    for (const ComputeDType in : {ComputeDType::kF32, ComputeDType::kF16, ComputeDType::kBF16}) {
      const ArrayMatrix once(all.values(), kRows, kCols, dtype);
      MeasureOptions options;
      options.group_sizes = {32};
      options.compute_dtype = in;
      options.schemes = {{"a", "affine", 4, 64}, {"m", "mxfp4", 4, 32}, {"n", "nvfp4", 4, 16}};
      auto whole = MeasureMatrix(all, options).value();
      whole.stats = MatrixStats();
      options.stats = false;
      const auto measured = MeasureMatrix(once, options).value();
      ExpectSame(measured, whole);
      EXPECT_TRUE(measured.stats.percentiles.empty() && measured.stats.groups.empty());
      EXPECT_EQ(once.reads(), (kRows + 31) / 32) << "tiles of 65536 elements";
    }
  }
}

TEST(MeasureMatrix, NonFiniteWeightsInOnePartRefuseTheWhole) {
  constexpr uint64_t kRows = 4300, kCols = 2048;
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    auto values = Converted(TestWeights(kRows * kCols), dtype, 0);
    values.back() = kInf;
    MeasureOptions options;
    options.schemes = {{"a", "affine", 4, 64}};
    const auto measured =
        MeasureMatrix({ArrayMatrix(values, kRows, kCols, dtype), std::nullopt, 2}, options);
    EXPECT_EQ(measured->stats.nonfinite_count, 1u);
    EXPECT_TRUE(measured->stats.percentiles.empty());
    EXPECT_EQ(measured->quant[0].error, "ValueError: 1 non-finite weights");
  }
}

TEST(MeasureMatrix, GroupSizesThatDoNotDivideTheColumnsHaveNoFigures) {
  const ArrayMatrix matrix(TestWeights(4 * 96), 4, 96);
  MeasureOptions options;
  options.group_sizes = {64, 0, -8, 192, std::numeric_limits<int64_t>::min()};
  const auto measured = MeasureMatrix(matrix, options);
  ASSERT_EQ(measured->stats.groups.size(), options.group_sizes.size());
  for (const auto& group : measured->stats.groups) {
    EXPECT_EQ(group.percentile, std::nullopt);
    EXPECT_EQ(group.max, std::nullopt);
  }
}

TEST(MeasureMatrix, AllZeroesGiveZeroes) {
  const ArrayMatrix matrix(std::vector<float>(64), 2, 32);
  MeasureOptions options;
  options.group_sizes = {32};
  options.schemes = {{"a", "affine", 4, 32}, {"m", "mxfp4", 4, 32}};
  const auto measured = MeasureMatrix(matrix, options);
  const MatrixStats& stats = measured->stats;
  EXPECT_EQ(stats.mean, 0);
  EXPECT_EQ(stats.std, 0);
  EXPECT_EQ(stats.outlier_p999_over_median, 0);
  EXPECT_EQ(stats.groups[0].percentile, 0.0);
  for (const QuantError& error : measured->quant) {
    EXPECT_EQ(error.w_rel_fro, 0.0);
    EXPECT_EQ(error.w_rel_max, 0.0);
    EXPECT_EQ(error.sqnr_db, std::nullopt);
    EXPECT_EQ(error.zero_share, 0.0);
    EXPECT_EQ(error.error, std::nullopt);
  }
}

// Gives an error from the second tile on.
class BrokenMatrix : public ArrayMatrix {
 public:
  using ArrayMatrix::ArrayMatrix;
  Result<void> Read(const Tile& tile, float* out) const override {
    if (tile.row > 0) return Fail(ErrorCode::kIo, "a.safetensors", "read failed");
    return ArrayMatrix::Read(tile, out);
  }
};

TEST(MeasureMatrix, HandsOnWhatReadingReports) {
  const BrokenMatrix matrix(TestWeights(100 * 1024), 100, 1024);
  EXPECT_EQ(MeasureMatrix(matrix, {}).error().message, "read failed");
  EXPECT_EQ(ReadWeightsInT(matrix, ComputeDType::kF16).error().message, "read failed");
}

TEST(MeasureMatrix, RefusesAnEmptyMatrixAndASampleOutsideIt) {
  EXPECT_EQ(MeasureMatrix(ArrayMatrix({}, 0, 4), {}).error().code, ErrorCode::kBadArgument);
  EXPECT_EQ(MeasureMatrix(ArrayMatrix({}, 4, 0), {}).error().code, ErrorCode::kBadArgument);
  const ArrayMatrix matrix(TestWeights(64), 2, 32);
  for (const std::vector<int64_t>& sample : {std::vector<int64_t>{}, {0, 64}, {-1, 3}, {5, 3}}) {
    EXPECT_EQ(MeasureMatrix({matrix, sample}, {}).error().code, ErrorCode::kBadArgument);
  }
}

// ---- D26: what is not finite ----

MatrixMeasurement MeasureWith(float special, DType storage, std::optional<ComputeDType> dtype,
                              QuantScheme scheme) {
  std::vector<float> values(128, 0.25f);
  values[7] = values[100] = special;
  MeasureOptions options;
  options.group_sizes = {32};
  options.compute_dtype = dtype;
  options.schemes = {std::move(scheme)};
  return MeasureMatrix(ArrayMatrix(values, 2, 64, storage), options).value();
}

const QuantScheme kAffine4 = {"a4", "affine", 4, 32};

TEST(NonFinite, OnlyTheCountIsReported) {
  for (const float special : {kNan, -kNan, kInf, -kInf}) {
    const auto measured = MeasureWith(special, DType::kF32, std::nullopt, kAffine4);
    EXPECT_EQ(measured.stats.nonfinite_count, 2u);
    EXPECT_TRUE(measured.stats.percentiles.empty());
    EXPECT_EQ(measured.quant[0].error, "ValueError: 2 non-finite weights");
    EXPECT_EQ(measured.quant[0].w_rel_fro, std::nullopt);
    EXPECT_EQ(measured.quant[0].scale_mean, std::nullopt);
    EXPECT_EQ(measured.quant[0].bits_per_weight, std::nullopt);
  }
}

TEST(NonFinite, WeightsBeyondTheComputeDtypeOverflow) {
  const auto measured = MeasureWith(70000.0f, DType::kF32, ComputeDType::kF16, kAffine4);
  EXPECT_EQ(measured.stats.nonfinite_count, 0u);
  EXPECT_EQ(measured.stats.max_abs, 70000.0);
  EXPECT_EQ(measured.quant[0].error, "OverflowError: 2 weights exceed fp16");
  EXPECT_EQ(measured.quant[0].scale_mean, std::nullopt);
  EXPECT_EQ(MeasureWith(3.4e38f, DType::kF32, ComputeDType::kBF16, kAffine4).quant[0].error,
            "OverflowError: 2 weights exceed bf16");
}

TEST(NonFinite, AReconstructionBeyondTheDtypeKeepsTheScales) {
  // mxfp8 in fp16 of 60000: the scale is 2^8 (448 * 2^8 > 60000), 60000 / 2^8 = 234.4 rounds to
  // 240; of 65504: 255.9 rounds to 256, and 256 * 2^8 = 65536 is infinite in fp16.
  const QuantScheme mxfp8 = {"m8", "mxfp8", 8, 32};
  EXPECT_EQ(MeasureWith(60000.0f, DType::kF16, std::nullopt, mxfp8).quant[0].error, std::nullopt);
  const QuantError error = MeasureWith(65504.0f, DType::kF16, std::nullopt, mxfp8).quant[0];
  EXPECT_EQ(error.error, "ValueError: non-finite reconstruction");
  EXPECT_EQ(error.w_rel_fro, std::nullopt);
  EXPECT_EQ(error.w_rel_max, std::nullopt);
  EXPECT_EQ(error.sqnr_db, std::nullopt);
  EXPECT_EQ(error.max_abs_err, std::nullopt);
  EXPECT_EQ(error.scale_max, 256.0);
  EXPECT_EQ(error.bits_per_weight, 8.25);
}

// ---- the simulation ----

TEST(QuantErrors, ASchemeThatDoesNotApplyCarriesMlxsWords) {
  const auto measured = MeasureWith(0, DType::kF32, std::nullopt, {"s", "symmetric", 4, 32});
  EXPECT_EQ(measured.quant[0].error,
            "ValueError: [quantize] Invalid quantization mode 'symmetric'.");
  EXPECT_EQ(measured.quant[0].w_rel_fro, std::nullopt);
}

TEST(QuantErrors, TheStorageDtypeIsSimulatedUnlessAnotherIsNamed) {
  const std::vector<float> zeros(32);
  const struct {
    DType storage;
    ComputeDType expected;
  } kCases[] = {{DType::kF16, ComputeDType::kF16},     {DType::kBF16, ComputeDType::kBF16},
                {DType::kF32, ComputeDType::kF32},     {DType::kF64, ComputeDType::kF32},
                {DType::kF8E4M3, ComputeDType::kBF16}, {DType::kU32, ComputeDType::kBF16}};
  for (const auto& c : kCases) {
    EXPECT_EQ(MeasureMatrix(ArrayMatrix(zeros, 1, 32, c.storage), {})->compute_dtype, c.expected);
  }
  MeasureOptions options;
  options.compute_dtype = ComputeDType::kF16;
  EXPECT_EQ(MeasureMatrix(ArrayMatrix(zeros, 1, 32), options)->compute_dtype, ComputeDType::kF16);
}

TEST(QuantErrors, BitsPerWeightCountCodesScalesAndBiases) {
  const struct {
    QuantScheme scheme;
    ComputeDType dtype;
    double bits;
  } kCases[] = {
      {{"", "affine", 4, 32}, ComputeDType::kBF16, 5.0},  // 4 + 16 * 2 / 32
      {{"", "affine", 3, 64}, ComputeDType::kF32, 4.0},   // 3 + 16 * 4 / 64
      {{"", "mxfp4", 4, 32}, ComputeDType::kF16, 4.25},
      {{"", "mxfp8", 8, 32}, ComputeDType::kF16, 8.25},
      {{"", "nvfp4", 4, 16}, ComputeDType::kF16, 4.5},
  };
  for (const auto& c : kCases) {
    MeasureOptions options;
    options.schemes = {c.scheme};
    options.compute_dtype = c.dtype;
    const auto measured = MeasureMatrix(ArrayMatrix(TestWeights(128), 2, 64), options);
    EXPECT_EQ(measured->quant[0].bits_per_weight, c.bits) << c.scheme.mode;
  }
}

TEST(QuantErrors, EqualPlainLoopsOverSeveralTiles) {
  const uint64_t rows = 100, cols = 1024;  // 4 tiles
  const ArrayMatrix matrix(Converted(TestWeights(rows * cols), DType::kBF16, 0), rows, cols,
                           DType::kBF16);
  MeasureOptions options;
  options.schemes = {kAffine4};
  const QuantError error = MeasureMatrix(matrix, options)->quant[0];
  const auto made =
      QuantizeMatrix(matrix.values(), rows, cols, kAffine4, options.profile, ComputeDType::kBF16);
  double sum_err = 0, sum_x = 0, max_err = 0, max_x = 0, scale_sum = 0, zeroed = 0;
  for (size_t i = 0; i < rows * cols; ++i) {
    const double x = matrix.values()[i], d = x - made->w_hat[i];
    sum_err += d * d;
    sum_x += x * x;
    max_err = std::max(max_err, std::abs(d));
    max_x = std::max(max_x, std::abs(x));
    zeroed += x != 0 && made->w_hat[i] == 0;
  }
  for (const float scale : made->scales) scale_sum += std::abs(scale);
  ExpectNear(error.w_rel_fro.value(), std::sqrt(sum_err) / (std::sqrt(sum_x) + 1e-12), 1e-12,
             "w_rel_fro");
  EXPECT_EQ(error.w_rel_max, max_err / (max_x + 1e-12));
  EXPECT_EQ(error.zero_share, zeroed / static_cast<double>(rows * cols));
  ExpectNear(error.scale_abs_mean.value(), scale_sum / (rows * cols / 32), 1e-12, "scale");
  const double decibels = 10 * std::log10(sum_x / sum_err);
  EXPECT_EQ(error.sqnr_db, std::round(decibels * 1e9) / 1e9);
}

TEST(QuantErrors, SharesCountElements) {
  // mxfp4, one group: 6 gives scale 1. 0.2 and -0.25 become 0, 0 was 0 before: 2 of 32. Nothing
  // exceeds 6. Rounding the exponent to nearest (legacy) gives 7 the scale 1: one clipped.
  std::vector<float> values(32, 1.0f);
  values[0] = 6;
  values[1] = 0.2f;
  values[2] = -0.25f;
  values[3] = 0;
  MeasureOptions options;
  options.schemes = {{"m", "mxfp4", 4, 32}};
  auto error = MeasureMatrix(ArrayMatrix(values, 1, 32), options)->quant[0];
  EXPECT_EQ(error.zero_share, 2.0 / 32);
  EXPECT_EQ(error.clip_share, 0.0);
  values[0] = 7;
  options.profile = QuantProfile::kMlxCpuLegacy;
  error = MeasureMatrix(ArrayMatrix(values, 1, 32), options)->quant[0];
  EXPECT_EQ(error.clip_share, 1.0 / 32);
  EXPECT_EQ(error.max_abs_err, 1.0);
}

// affine 2 bit of {-1, 0.9, 0...}: step 1.9/3 = 0.6333, edge -1, rint(-1 / 0.6333) = -2, so the
// scale is 0.5 and (0.9 + 1) / 0.5 = 3.8 rounds to 4: outside 0..3, cut to 0.5.
TEST(QuantErrors, AffineClipsWhatLiesBeyondTheLastCode) {
  std::vector<float> values(32, 0.0f);
  values[0] = -1;
  values[1] = 0.9f;
  MeasureOptions options;
  options.schemes = {{"a", "affine", 2, 32}};
  const auto error = MeasureMatrix(ArrayMatrix(values, 1, 32), options)->quant[0];
  EXPECT_EQ(error.clip_share, 1.0 / 32);
  EXPECT_EQ(error.scale_mean, 0.5);
  EXPECT_EQ(error.bias_mean, -1.0);
  EXPECT_NEAR(error.max_abs_err.value(), 0.4, 1e-7);
}

TEST(QuantErrors, TheFloorReplacesSmallerDenominators) {
  const ArrayMatrix matrix(TestWeights(128), 2, 64);
  MeasureOptions options;
  options.schemes = {kAffine4};
  const auto plain = MeasureMatrix(matrix, options)->quant[0];
  options.rel_den_floor = 1e-3;
  EXPECT_EQ(MeasureMatrix(matrix, options)->quant[0].w_rel_fro, plain.w_rel_fro);
  options.rel_den_floor = 100.0;
  const auto floored = MeasureMatrix(matrix, options)->quant[0];
  EXPECT_EQ(floored.w_rel_max, plain.max_abs_err.value() / 100.0);
  EXPECT_LT(floored.w_rel_fro.value(), plain.w_rel_fro.value() / 50);
}

// ---- the oracle's figures ----

void ExpectFigure(const oracle::Case& c, const char* key, const std::optional<double>& actual) {
  const auto& expected = c.metrics[key];
  if (!expected.is_number()) {
    EXPECT_EQ(actual, std::nullopt) << key;
    return;
  }
  ASSERT_TRUE(actual.has_value()) << key;
  ExpectNear(*actual, expected.get<double>(), 1e-9, key);
}

DType StorageOf(ComputeDType dtype) {
  if (dtype == ComputeDType::kF16) return DType::kF16;
  return dtype == ComputeDType::kBF16 ? DType::kBF16 : DType::kF32;
}

TEST(Oracle, MetricsEqualTheFloat64Figures) {
  for (const auto& c : oracle::AllCases()) {
    SCOPED_TRACE(c.Label());
    const ArrayMatrix matrix(oracle::FileOf(c).Floats(c.name + ".w"), c.rows, c.cols,
                             StorageOf(c.dtype));
    MeasureOptions options;
    options.schemes = {c.scheme};
    options.profile = c.profile;
    const auto measured = MeasureMatrix(matrix, options);
    ASSERT_TRUE(measured.has_value());
    const QuantError& error = measured->quant[0];
    if (c.metrics["w_contains_nonfinite"].get<bool>()) {
      EXPECT_TRUE(error.error.has_value());
      continue;
    }
    EXPECT_EQ(error.error.has_value(), !c.metrics["w_rel_fro"].is_number());
    ExpectFigure(c, "w_rel_fro", error.w_rel_fro);
    ExpectFigure(c, "w_rel_max", error.w_rel_max);
    ExpectFigure(c, "max_abs_err", error.max_abs_err);
    const bool affine = c.scheme.mode == "affine";
    ExpectFigure(c, affine ? "scale_mean" : "scale_decoded_mean", error.scale_mean);
    ExpectFigure(c, affine ? "scale_max" : "scale_decoded_max", error.scale_max);
    ExpectFigure(c, affine ? "scale_abs_mean" : "scale_decoded_abs_mean", error.scale_abs_mean);
    ExpectFigure(c, affine ? "scale_abs_max" : "scale_decoded_abs_max", error.scale_abs_max);
    ExpectFigure(c, "bias_mean", error.bias_mean);
    ExpectFigure(c, "bias_max", error.bias_max);
  }
}

// ---- the plugin's path ----

TEST(ErrorOfQuantized, EqualsTheNativeErrorOfTheSameQuantization) {
  const uint64_t rows = 70, cols = 1024;
  const ArrayMatrix matrix(TestWeights(rows * cols), rows, cols);
  for (const QuantScheme& scheme :
       {kAffine4, QuantScheme{"m", "mxfp4", 4, 32}, QuantScheme{"n", "nvfp4", 4, 16}}) {
    MeasureOptions options;
    options.compute_dtype = ComputeDType::kBF16;
    options.schemes = {scheme};
    const QuantError native = MeasureMatrix(matrix, options)->quant[0];
    const auto weights = ReadWeightsInT(matrix, ComputeDType::kBF16);
    ASSERT_TRUE(weights.has_value());
    EXPECT_EQ(weights->refusal, std::nullopt);
    const auto quantized =
        QuantizeMatrix(weights->x, rows, cols, scheme, QuantProfile::kMlxCpu, ComputeDType::kBF16);
    const auto error = ErrorOfQuantized(weights->x, rows, cols, *quantized, scheme,
                                        ComputeDType::kBF16, 1e-12, std::nullopt);
    ASSERT_TRUE(error.has_value());
    EXPECT_EQ(error->w_rel_fro, native.w_rel_fro);
    EXPECT_EQ(error->w_rel_max, native.w_rel_max);
    EXPECT_EQ(error->sqnr_db, native.sqnr_db);
    EXPECT_EQ(error->scale_mean, native.scale_mean);
    EXPECT_EQ(error->bias_max, native.bias_max);
    EXPECT_EQ(error->zero_share, native.zero_share);
    // The stored scale is rounded; the one the codes came from was not.
    EXPECT_NEAR(error->clip_share.value(), native.clip_share.value(), 0.01);
  }
}

TEST(ErrorOfQuantized, RefusesTheWrongNumberOfRows) {
  const auto w = TestWeights(128);
  auto quantized =
      QuantizeMatrix(w, 2, 64, kAffine4, QuantProfile::kMlxCpu, ComputeDType::kF32).value();
  quantized.rows = 3;
  const auto error = ErrorOfQuantized(w, 2, 64, quantized, kAffine4, ComputeDType::kF32, 1e-12, {});
  ASSERT_FALSE(error.has_value());
  EXPECT_EQ(error.error().TypeName() + ": " + error.error().message,
            "ValueError: expected 2 quant rows but got 3");
  quantized.rows = 2;
  quantized.scales.pop_back();
  EXPECT_FALSE(
      ErrorOfQuantized(w, 2, 64, quantized, kAffine4, ComputeDType::kF32, 1e-12, {}).has_value());
}

TEST(ReadWeightsInT, RoundsAndSaysWhatCannotBeQuantized) {
  const ArrayMatrix matrix({1.0f, 70000.0f, 1.00001f, -1e9f}, 2, 2);
  EXPECT_EQ(ReadWeightsInT(matrix, ComputeDType::kF16)->refusal,
            "OverflowError: 2 weights exceed fp16");
  const auto weights = ReadWeightsInT(matrix, ComputeDType::kBF16);
  EXPECT_EQ(weights->refusal, std::nullopt);
  EXPECT_EQ(weights->x[2], 1.0f);
  const ArrayMatrix broken({1.0f, kNan}, 1, 2);
  EXPECT_EQ(ReadWeightsInT(broken, ComputeDType::kF32)->refusal,
            "ValueError: 1 non-finite weights");
}

}  // namespace
}  // namespace moe
