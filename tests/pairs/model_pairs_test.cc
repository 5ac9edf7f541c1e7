#include "pairs/model_pairs.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/test_files.h"

namespace moe {
namespace {

Model Zoo(const std::string& folder) {
  auto model = Model::Open((TestData() / "zoo" / folder).string());
  EXPECT_TRUE(model.has_value()) << model.error().Text();
  return std::move(*model);
}

const WeightPair* Find(const ModelPairs& pairs, const std::string& text) {
  const auto found = std::ranges::find_if(
      pairs.pairs, [&](const WeightPair& pair) { return pair.a.key.Text() == text; });
  return found == pairs.pairs.end() ? nullptr : &*found;
}

TEST(ModelPairs, NamesOfHuggingFaceAndLlamaCppMeet) {
  const Model hf = Zoo("hf4_qwen3_moe"), gguf = Zoo("gguf_qwen3moe_bf16_split");
  const auto pairs = PairModels(hf, gguf);
  EXPECT_EQ(pairs.matrices(), hf.matrices() + hf.dense().size());
  const WeightPair* expert = Find(pairs, "layer 1 expert 2 up_proj");
  ASSERT_NE(expert, nullptr);
  EXPECT_EQ(expert->a.tensor->info().name, "model.layers.1.mlp.experts.2.up_proj.weight");
  EXPECT_EQ(expert->b.tensor->info().name, "blk.1.ffn_up_exps.weight");
  EXPECT_EQ(expert->b.view.offset, 2 * expert->b.elements());
  const WeightPair* dense = Find(pairs, "layer 0 attn_output");
  ASSERT_NE(dense, nullptr);
  EXPECT_EQ(dense->b.module, "blk.0.attn_output");
  EXPECT_NE(Find(pairs, "norm"), nullptr);
  EXPECT_TRUE(pairs.complete());
  const WeightPair* norm = Find(pairs, "layer 2 post_attention_layernorm");
  ASSERT_NE(norm, nullptr);
  EXPECT_EQ(norm->b.module, "blk.2.ffn_norm");
  EXPECT_TRUE(pairs.only_a.empty() && pairs.only_b.empty());
}

TEST(ModelPairs, WrappersPrefixesAndFusedStacksMeet) {
  const Model split = Zoo("hf5_qwen3_5_moe_vl"), fused = Zoo("hf5fused_qwen3_5_moe_vl");
  const auto pairs = PairModels(split, fused);
  EXPECT_TRUE(pairs.complete());
  EXPECT_TRUE(pairs.only_a.empty());
  EXPECT_EQ(pairs.matrices(), split.matrices() + split.dense().size());
}

TEST(ModelPairs, BiasesOfExpertsMeetExpertByExpert) {
  const Model hf = Zoo("gpt_oss_mxfp4"), gguf = Zoo("gguf_gpt_oss_mxfp4"),
              mlx = Zoo("mlx_gpt_oss_mxfp4");
  for (const Model* other : {&gguf, &mlx}) {
    const auto pairs = PairModels(hf, *other);
    EXPECT_TRUE(pairs.only_a.empty() && pairs.only_b.empty());
    const WeightPair* bias = Find(pairs, "layer 1 expert 2 up_proj.bias");
    ASSERT_NE(bias, nullptr);
    EXPECT_EQ(bias->a.tensor->info().name, "model.layers.1.mlp.experts.gate_up_proj_bias");
    EXPECT_EQ(bias->a.view.offset, 2 * 2 * bias->a.elements() + 1);  // gate and up take turns
    EXPECT_EQ(bias->b.view.offset, 2 * bias->b.elements());
    EXPECT_NE(Find(pairs, "layer 0 self_attn.sinks"), nullptr);
  }
}

TEST(ModelPairs, OfOtherSizesIsToldAndNotPaired) {
  const Model a = Zoo("hf4_olmoe"), b = Zoo("mlx_olmoe_mixed_3_4");
  const auto pairs = PairModels(a, b);
  EXPECT_TRUE(pairs.pairs.empty());
  EXPECT_FALSE(pairs.complete());
  EXPECT_FALSE(pairs.misshapen.empty());
  const uint64_t matrices = a.matrices() + a.dense().size();
  const auto alone = std::ranges::count_if(pairs.only_a, &Unpaired::matrix);
  const auto misshapen = std::ranges::count_if(pairs.misshapen, [](const WeightPair& pair) {
    return pair.a.key.kind != WeightKey::Kind::kOther;
  });
  EXPECT_EQ(static_cast<uint64_t>(alone + misshapen), matrices);
}

}  // namespace
}  // namespace moe
