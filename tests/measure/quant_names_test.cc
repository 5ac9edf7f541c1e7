#include <gtest/gtest.h>

#include "moescope/quantize.h"

namespace moe {
namespace {

TEST(QuantNames, AreTheContracts) {
  const std::pair<QuantProfile, const char*> profiles[] = {
      {QuantProfile::kMlxCpu, "mlx-cpu"},
      {QuantProfile::kMlxGpu, "mlx-gpu"},
      {QuantProfile::kMlxCpuLegacy, "mlx-cpu-legacy"},
      {QuantProfile::kMlxGpuLegacy, "mlx-gpu-legacy"}};
  for (const auto& [profile, name] : profiles) {
    EXPECT_EQ(ProfileName(profile), name);
    EXPECT_EQ(ParseProfile(name), profile);
  }
  for (const char* name : {"", "mlx", "MLX-CPU", "mlx-cpu "}) {
    EXPECT_EQ(ParseProfile(name), std::nullopt) << name;
  }
  EXPECT_EQ(ComputeDTypeName(ComputeDType::kF32), "fp32");
  EXPECT_EQ(ComputeDTypeName(ComputeDType::kF16), "fp16");
  EXPECT_EQ(ComputeDTypeName(ComputeDType::kBF16), "bf16");
}

}  // namespace
}  // namespace moe
