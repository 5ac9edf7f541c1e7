#include "quantize/output_plan.h"

#include <gtest/gtest.h>

#include "base/test_files.h"

namespace moe {
namespace {

/// A plan and the model that it points into.
struct Planned {
  Planned(const char* zoo, const QuantScheme& scheme)
      : model(Model::Open((TestData() / "zoo" / zoo).string()).value()),
        plan(PlanOutput(model, {.scheme = scheme}).value()) {}
  const Model model;
  const OutputPlan plan;
};

const OutputWeight& WeightOf(const OutputPlan& plan, std::string_view name) {
  const auto found = std::ranges::find(plan.weights, name, &OutputWeight::name);
  EXPECT_NE(found, plan.weights.end()) << name;
  return *found;
}

const QuantScheme kFour = {"", "affine", 4, 32};

// Shapes by hand: hidden 64, experts of width 40, which no group of 32 divides.
TEST(OutputPlan, AStackIsMadeOfItsExpertsInTheirOrder) {
  const Planned planned("hf4_qwen3_moe", kFour);
  const OutputPlan& plan = planned.plan;
  const OutputWeight& up = WeightOf(plan, "model.layers.1.mlp.switch_mlp.up_proj.weight");
  ASSERT_EQ(up.made.shape.size(), 3u);
  ASSERT_EQ(up.made.parts.size(), up.made.shape[0]);
  for (size_t e = 0; e < up.made.parts.size(); ++e) {
    EXPECT_NE(up.made.parts[e].source->info().name.find("experts." + std::to_string(e) + "."),
              std::string::npos);
  }
  ASSERT_EQ(up.tensors, 3u);
  EXPECT_EQ(plan.tensors[up.first_tensor].dtype, DType::kU32);
  EXPECT_EQ(plan.tensors[up.first_tensor].shape.back(), up.made.shape.back() / 8);
  EXPECT_EQ(plan.tensors[up.first_tensor + 1].name, "model.layers.1.mlp.switch_mlp.up_proj.scales");
  EXPECT_EQ(plan.tensors[up.first_tensor + 2].shape.back(), up.made.shape.back() / 32);
}

TEST(OutputPlan, RoutersHaveEightBitsAndNormsNone) {
  const Planned planned("hf4_qwen3_moe", kFour);
  const OutputPlan& plan = planned.plan;
  const OutputWeight& router = WeightOf(plan, "model.layers.0.mlp.gate.weight");
  ASSERT_TRUE(router.scheme.has_value());
  EXPECT_EQ(router.scheme->bits, 8);
  EXPECT_EQ(plan.quantization["model.layers.0.mlp.gate"], (Json{{"group_size", 64}, {"bits", 8}}));
  EXPECT_FALSE(WeightOf(plan, "model.norm.weight").scheme.has_value());
}

TEST(OutputPlan, WhatTheGroupDoesNotDivideStaysFloatAndIsTold) {
  const Planned planned("hf4_qwen3_moe", {"", "affine", 4, 128});
  const OutputPlan& plan = planned.plan;
  for (const OutputWeight& weight : plan.weights) EXPECT_FALSE(weight.scheme) << weight.name();
  EXPECT_NE(plan.notes.front().find("rows are no multiple of 128"), std::string::npos);
}

TEST(OutputPlan, WeightsAreInTheirOrderTheHeadLast) {
  const Planned planned("hf4_olmoe", kFour);
  const OutputPlan& plan = planned.plan;
  EXPECT_EQ(plan.weights.front().name(), "model.embed_tokens.weight");
  EXPECT_EQ(plan.weights.back().name(), "lm_head.weight");
  uint64_t bytes = 0;
  for (const PlannedTensor& tensor : plan.tensors) bytes += tensor.bytes();
  EXPECT_EQ(plan.bytes, bytes);
}

TEST(OutputPlan, WhatIsLostIsTold) {
  const Planned planned("hf4_ernie4_5_moe", kFour);
  const OutputPlan& plan = planned.plan;
  ASSERT_FALSE(plan.losses.empty());
  EXPECT_NE(plan.losses.front().find("e_score_correction_bias"), std::string::npos);
}

TEST(OutputPlan, WhatIsQuantizedAgainIsTold) {
  const auto notes_of = [](const char* zoo) {
    std::string all;
    for (const std::string& note : Planned(zoo, kFour).plan.notes) all += note + "\n";
    return all;
  };
  EXPECT_NE(notes_of("fp8_qwen3_moe").find("stored as fp8_block128, made from decoded values"),
            std::string::npos);
  EXPECT_NE(notes_of("gpt_oss_mxfp4").find("stored as mxfp4, its codes are kept"),
            std::string::npos);
}

TEST(OutputPlan, ARecipeOfAnotherModelIsRefused) {
  const auto model = Model::Open((TestData() / "zoo" / "hf4_olmoe").string());
  OutputChoice choice;
  choice.recipe = Recipe();
  choice.recipe->model.fingerprint = "headers:0";
  const auto plan = PlanOutput(*model, choice);
  ASSERT_FALSE(plan.has_value());
  EXPECT_EQ(plan.error().code, ErrorCode::kBadArgument);
}

}  // namespace
}  // namespace moe
