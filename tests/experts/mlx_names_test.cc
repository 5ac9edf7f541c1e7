#include "experts/mlx_names.h"

#include <gmock/gmock.h>

namespace moe {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

MlxNames Of(std::string_view family, const MlxFacts& facts = {}) {
  return *MlxNames::Of(family, facts);
}

/// Those that can be quantized.
std::vector<std::string> ModulesOf(const MlxNames& names, std::string_view name,
                                   const std::vector<uint64_t>& shape) {
  std::vector<std::string> modules;
  for (const MlxTensor& tensor : names.FateOf(name, shape, DType::kBF16, false).tensors) {
    if (tensor.rule != MlxRule::kFloat) modules.push_back(MlxModuleOf(tensor.name));
  }
  return modules;
}

TEST(MlxNames, LeaveOutWhatMlxLmDrops) {
  const std::vector<uint64_t> shape = {8, 16};
  EXPECT_THAT(ModulesOf(Of("qwen3_next"), "mtp.layers.0.self_attn.q_proj.weight", shape),
              IsEmpty());
  EXPECT_THAT(ModulesOf(Of("qwen3_moe", {.tied = true}), "lm_head.weight", shape), IsEmpty());
  EXPECT_THAT(ModulesOf(Of("qwen3_5_moe"), "model.visual.blocks.0.attn.qkv.weight", shape),
              IsEmpty());
  EXPECT_THAT(ModulesOf(Of("qwen3_5_moe", {.tied = true}), "lm_head.weight", shape), IsEmpty());
  const MlxNames two_layers = Of("glm4_moe", {.layers = 2});
  EXPECT_EQ(ModulesOf(two_layers, "model.layers.1.self_attn.q_proj.weight", shape).size(), 1u);
  EXPECT_THAT(ModulesOf(two_layers, "model.layers.2.self_attn.q_proj.weight", shape), IsEmpty());
  EXPECT_THAT(ModulesOf(two_layers, "model.layers.1.self_attn.q_proj.bias", shape), IsEmpty());
  EXPECT_THAT(ModulesOf(two_layers, "model.layers.1.self_attn.q_proj.weight", {8}), IsEmpty());
}

TEST(MlxNames, AreRefusedForAFamilyThatIsNotKnown) {
  const auto names = MlxNames::Of("dbrx", {});
  ASSERT_FALSE(names);
  EXPECT_EQ(names.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(names.error().Text(), HasSubstr("model_type dbrx"));
  EXPECT_THAT(names.error().Text(), HasSubstr("mlx_lm.convert may know it: 'moescope analyze'"));
  EXPECT_THAT(names.error().Text(), HasSubstr("known here: mixtral, "));
  EXPECT_THAT(MlxNames::Of("", {.model_type = "new_moe"}).error().Text(),
              HasSubstr("model_type new_moe"));
  EXPECT_THAT(MlxNames::Of("", {}).error().Text(), HasSubstr("has no model_type"));
}

TEST(MlxNames, AreRefusedForWhatMlxLmHasNoModelOf) {
  EXPECT_TRUE(MlxNames::Of("bailing_moe", {.model_type = "bailing_moe"}));
  EXPECT_THAT(MlxNames::Of("bailing_moe", {.model_type = "bailing_moe_v2"}).error().Text(),
              HasSubstr("no model of model_type bailing_moe_v2"));
  EXPECT_THAT(MlxNames::Of("bailing_moe", {.norm_head = true}).error().Text(),
              HasSubstr("has norm_head"));
  EXPECT_TRUE(Of("qwen2_moe", {.layers = 2}).CheckLayers({0, 1}));
  EXPECT_THAT(Of("qwen2_moe", {.layers = 2}).CheckLayers({1}).error().Text(),
              HasSubstr("layer 0: has no experts"));
  EXPECT_TRUE(Of("qwen3_moe", {.layers = 2}).CheckLayers({1}));
}

TEST(MlxNames, TellALossFromWhatIsNotMissed) {
  const auto fate_of = [](const MlxNames& names, std::string_view name) {
    return names.FateOf(name, std::vector<uint64_t>{1, 6}, DType::kF32, false);
  };
  const std::string_view bias = "model.layers.1.mlp.moe_statics.e_score_correction_bias";
  EXPECT_TRUE(fate_of(Of("ernie4_5_moe"), bias).is_loss);
  EXPECT_THAT(fate_of(Of("ernie4_5_moe"), bias).dropped, HasSubstr("without this correction"));
  EXPECT_EQ(fate_of(Of("glm4_moe"), bias).tensors.size(), 1u);
  const MlxFate mtp = fate_of(Of("ernie4_5_moe"), "model.mtp_emb_norm.0.weight");
  EXPECT_NE(mtp.dropped, "");
  EXPECT_FALSE(mtp.is_loss);
  // A head beside the embedding can't be left out, and mlx-lm's model has no place for it.
  EXPECT_THAT(fate_of(Of("lfm2_moe"), "lm_head.weight").refused, HasSubstr("no head"));
  EXPECT_NE(fate_of(Of("lfm2_moe", {.tied = true}), "lm_head.weight").dropped, "");
}

TEST(MlxNames, SplitALatentOnlyWhereTheConfigsHeadsFit) {
  const auto tensors = [](uint64_t heads, uint64_t nope, uint64_t value) {
    const MlxFacts facts = {.heads = heads, .nope_dim = nope, .value_dim = value};
    return Of("deepseek_v3", facts)
        .FateOf("model.layers.0.self_attn.kv_b_proj.weight", std::vector<uint64_t>{8, 4},
                DType::kBF16, false)
        .tensors.size();
  };
  EXPECT_EQ(tensors(2, 3, 1), 2u);
  EXPECT_EQ(tensors(3, 3, 1), 1u);
  EXPECT_EQ(tensors((1ULL << 62) + 2, 3, 1), 1u);  // times 4 that is 8, too
  EXPECT_EQ(tensors(2, ~0ULL, 5), 1u);
}

TEST(MlxNames, KeepTheDTypesThatMlxLmDoesNotCast) {
  const MlxNames names = Of("nemotron_h", {.dtype = DType::kBF16});
  EXPECT_EQ(names.DTypeOf("backbone.layers.0.mixer.A_log", DType::kF32), DType::kF32);
  EXPECT_EQ(names.DTypeOf("backbone.layers.0.mixer.D", DType::kF32), DType::kBF16);
  EXPECT_EQ(names.DTypeOf("backbone.layers.0.mixer.table", DType::kI64), DType::kI64);
  EXPECT_EQ(Of("nemotron_h").DTypeOf("backbone.layers.0.mixer.D", DType::kF32), DType::kF32);
}

TEST(MlxNames, OfLlamaCppAreKnownWhereItsValuesAreTheCheckpoints) {
  const MlxNames names = Of("qwen2_moe", {.layers = 2});
  const auto fate = [&](std::string_view name, const std::vector<uint64_t>& shape) {
    return names.FateOf(name, shape, DType::kF32, false);
  };
  const MlxTensor gate = fate("blk.1.ffn_gate_inp_shexp.weight", {64}).tensors.at(0);
  EXPECT_EQ(gate.name, "model.layers.1.mlp.shared_expert_gate.weight");
  EXPECT_EQ(gate.shape, (std::vector<uint64_t>{1, 64}));
  EXPECT_EQ(fate("blk.0.attn_q.bias", {64}).tensors.at(0).name,
            "model.layers.0.self_attn.q_proj.bias");
  EXPECT_EQ(fate("output.weight", {8, 64}).tensors.at(0).name, "lm_head.weight");
  EXPECT_THAT(fate("blk.0.attn_qkv.weight", {64, 64}).refused, HasSubstr("not known"));
  EXPECT_FALSE(Of("mixtral").ReadsGguf());  // rows of q and k change their places
}

TEST(MlxNames, LieBelowTheLanguageModelWhereTheConfigHasMore) {
  const std::vector<uint64_t> shape = {8, 16};
  const MlxNames names = Of("gemma4", {.layers = 3, .kv_shared = 1, .nested = true});
  EXPECT_EQ(names.Experts(2, "up_proj"),
            "language_model.model.layers.2.experts.switch_glu.up_proj");
  const auto q = ModulesOf(names, "model.language_model.layers.2.self_attn.q_proj.weight", shape);
  ASSERT_EQ(q.size(), 1u);
  EXPECT_EQ(q[0], "language_model.model.layers.2.self_attn.q_proj");
  EXPECT_EQ(ModulesOf(names, "model.language_model.layers.1.self_attn.k_proj.weight", shape).size(),
            1u);
  EXPECT_THAT(ModulesOf(names, "model.language_model.layers.2.self_attn.k_proj.weight", shape),
              IsEmpty());
  EXPECT_THAT(ModulesOf(names, "model.vision_tower.encoder.0.mlp.weight", shape), IsEmpty());
}

TEST(MlxFacts, ComeFromTheTextModelsConfig) {
  const auto config = ParseLenientJson(
      R"({"num_hidden_layers": 9, "text_config": {"num_hidden_layers": 2, "tie_word_embeddings": true,
          "num_attention_heads": "many", "v_head_dim": -1}})",
      "config");
  ASSERT_TRUE(config);
  const MlxFacts facts = MlxFactsOf(*config);
  EXPECT_EQ(facts.layers, 2u);
  EXPECT_EQ(facts.heads, std::nullopt);
  EXPECT_EQ(facts.value_dim, std::nullopt);
  EXPECT_EQ(facts.tied, true);
  EXPECT_EQ(MlxFactsOf(Json()).layers, std::nullopt);
}

TEST(CheckpointModule, HasAStarForTheExpert) {
  EXPECT_EQ(CheckpointModule("model.layers.3.mlp.experts.17.down_proj.weight", true),
            "model.layers.3.mlp.experts.*.down_proj");
  EXPECT_EQ(CheckpointModule("model.layers.3.mlp.experts.gate_up_proj", false),
            "model.layers.3.mlp.experts.gate_up_proj");
  EXPECT_EQ(CheckpointModule("lm_head.weight", false), "lm_head");
}

}  // namespace
}  // namespace moe
