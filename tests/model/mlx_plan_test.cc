#include "model/mlx_plan.h"

#include <gmock/gmock.h>

#include <map>

#include "base/test_files.h"

namespace moe {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

Model ZooModel(const std::string& name) {
  return *Model::Open((TestData() / "zoo" / name).string());
}

TEST(MlxPlan, StacksExpertsInTheOrderOfTheirNumbers) {
  const Model model = ZooModel("hf4_qwen3_moe");
  const auto plan = PlanForMlx(model);
  ASSERT_TRUE(plan) << plan.error().Text();
  EXPECT_EQ(plan->why_not_loaded, "");
  EXPECT_THAT(plan->dropped, IsEmpty());
  const auto stack = std::ranges::find(
      plan->tensors, "model.layers.0.mlp.switch_mlp.up_proj.weight", &MlxPlan::Tensor::name);
  ASSERT_NE(stack, plan->tensors.end());
  EXPECT_TRUE(stack->routed_experts);
  EXPECT_EQ(stack->module(), "model.layers.0.mlp.switch_mlp.up_proj");
  ASSERT_EQ(stack->parts.size(), stack->shape[0]);
  for (size_t e = 0; e < stack->parts.size(); ++e) {
    EXPECT_THAT(stack->parts[e].source->info().name,
                HasSubstr("mlp.experts." + std::to_string(e) + ".up_proj"));
  }
}

TEST(MlxPlan, SaysWhyMlxLmCannotLoadTheCheckpointAsItIs) {
  const std::map<std::string, std::string> reasons = {
      {"hf4_mixtral", ""},
      {"mlx_mixtral_q3_g32", ""},
      {"fp8_deepseek_v3", ""},
      {"hf5fused_mixtral", "no experts that lie as model.layers.0.mlp.experts.down_proj"},
      {"ct_w4a16_qwen3_moe", "stored as int4_g32"},
      {"gptq_int4_sym_qwen3_moe", "stored as gptq_int4_g32"}};
  for (const auto& [name, part] : reasons) {
    const Model model = ZooModel(name);
    const auto plan = PlanForMlx(model);
    ASSERT_TRUE(plan) << name << ": " << plan.error().Text();
    EXPECT_EQ(plan->why_not_loaded.empty(), part.empty()) << name << ": " << plan->why_not_loaded;
    EXPECT_THAT(plan->why_not_loaded, HasSubstr(part)) << name;
  }
}

TEST(MlxPlan, RefusesWhatMlxLmHasNoNamesFor) {
  EXPECT_THAT(PlanForMlx(ZooModel("hf4_dbrx")).error().Text(), HasSubstr("family dbrx"));
  EXPECT_THAT(PlanForMlx(ZooModel("gguf_olmoe_mixed")).error().Text(), HasSubstr("GGUF"));
}

}  // namespace
}  // namespace moe
