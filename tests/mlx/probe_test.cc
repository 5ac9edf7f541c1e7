#include "mlx/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <map>

#include "mlx/mlx_backend.h"

namespace moe {
namespace {

using testing::Pair;
using testing::UnorderedElementsAre;

std::map<std::string, std::string> AnswersOf(const char* plugin) {
  setenv("MOESCOPE_MLX_PLUGIN", plugin, 1);
  const auto mlx = MlxBackend::Open("cpu");
  unsetenv("MOESCOPE_MLX_PLUGIN");
  std::map<std::string, std::string> answers;
  if (!mlx) return answers;
  for (const ProbeAnswer& probe : ProbeMlx(*mlx)) answers[probe.name] = probe.answer;
  return answers;
}

TEST(MlxProbes, EachTellsTheCpuFromTheGpu) {
  for (const MlxProbe& probe : MlxProbes()) {
    const uint64_t rows = probe.weights.size() / 32;
    const auto cpu =
        QuantizeMatrix(probe.weights, rows, 32, probe.scheme, QuantProfile::kMlxCpu, probe.dtype);
    const auto gpu =
        QuantizeMatrix(probe.weights, rows, 32, probe.scheme, QuantProfile::kMlxGpu, probe.dtype);
    ASSERT_TRUE(cpu.has_value() && gpu.has_value()) << probe.name;
    EXPECT_TRUE(cpu->codes != gpu->codes || cpu->scales != gpu->scales) << probe.name;
  }
}

TEST(ProbeMlx, OfTheRealOneOnTheCpu) {
  if (std::string(MOE_MLX_PLUGIN_PATH).empty()) GTEST_SKIP() << "MLX is not on this machine";
  EXPECT_THAT(AnswersOf(MOE_MLX_PLUGIN_PATH),
              UnorderedElementsAre(Pair("affine_negative", "mlx-cpu+mlx-cpu-legacy"),
                                   Pair("affine_ties", "mlx-cpu+mlx-cpu-legacy"),
                                   Pair("mxfp4_ties", "mlx-cpu+mlx-cpu-legacy"),
                                   Pair("mxfp8_zeros", "mlx-cpu+mlx-cpu-legacy"),
                                   Pair("nvfp4_ties", "mlx-cpu+mlx-cpu-legacy"),
                                   Pair("rounds_fp32", "twice"), Pair("rounds_fp16", "twice"),
                                   Pair("rounds_bf16", "twice")));
}

TEST(ProbeMlx, AnErrorOfMlxIsTheAnswer) {
  const auto answers = AnswersOf(MOE_STUB_QUANTIZE_FAILS_PATH);
  EXPECT_EQ(answers.size(), MlxProbes().size() + 3);
  for (const auto& [name, answer] : answers) {
    EXPECT_THAT(answer, testing::HasSubstr("[stub] quantize fails")) << name;
  }
}

}  // namespace
}  // namespace moe
