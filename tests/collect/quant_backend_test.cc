#include "collect/quant_backend.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "measure/array_matrix.h"

namespace moe {
namespace {

// Skipped, visibly, where the plugin was not built.
TEST(RealMlxBackend, MeasuresImportanceAndSquareSumsAsTheNativeOne) {
  if (std::string(MOE_MLX_PLUGIN_PATH).empty()) GTEST_SKIP() << "MLX is not on this machine";
  setenv("MOESCOPE_MLX_PLUGIN", MOE_MLX_PLUGIN_PATH, 1);
  auto mlx = MlxBackend::Open("cpu");
  unsetenv("MOESCOPE_MLX_PLUGIN");
  ASSERT_TRUE(mlx.has_value()) << mlx.error().Text();
  const RealMlxBackend real(std::move(*mlx), StopToken());
  const NativeBackend native(QuantProfile::kMlxCpu);

  constexpr uint64_t kRows = 20, kCols = 192;
  const auto importance = TestImportance(kCols);
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    const ArrayMatrix matrix(Converted(TestWeights(kRows * kCols), dtype), kRows, kCols, dtype);
    MeasureInput input(matrix);
    input.importance = importance;
    input.square_sums = {SquareSums::Of::kRows, importance};
    MeasureOptions options;
    options.compute_dtype = ComputeDType::kBF16;
    options.schemes = {{"a", "affine", 3, 64}, {"m", "mxfp4", 4, 32}};
    const auto theirs = real.Measure(input, options).value();
    const auto ours = native.Measure(input, options).value();
    EXPECT_TRUE(ours.energy.has_value());
    EXPECT_EQ(theirs.energy, ours.energy);
    EXPECT_EQ(theirs.square_sums, ours.square_sums);
    ASSERT_EQ(theirs.quant.size(), 2u);
    for (size_t s = 0; s < 2; ++s) {
      EXPECT_TRUE(ours.quant[s].act_rel_fro.has_value());
      EXPECT_EQ(theirs.quant[s].act_rel_fro, ours.quant[s].act_rel_fro);
    }
  }
}

}  // namespace
}  // namespace moe
