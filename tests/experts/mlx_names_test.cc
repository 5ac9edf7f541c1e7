#include "experts/mlx_names.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "base/test_files.h"
#include "experts/families.h"

namespace moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Shapes = std::map<std::string, std::vector<uint64_t>>;

Shapes ShapesIn(const Json& json) {
  Shapes shapes;
  for (const auto& [name, sizes] : json.items()) {
    for (const Json& size : sizes) shapes[name].push_back(size.get<uint64_t>());
  }
  return shapes;
}

class MlxModules : public testing::TestWithParam<const char*> {};

// What mlx-lm's own models make of checkpoints: tests/data/mlx_modules.
TEST_P(MlxModules, AreThoseOfMlxLm) {
  const std::string file = GetParam();
  const auto path = TestData() / "mlx_modules" / (file + ".json");
  const auto record = ParseLenientJson(ReadText(path), path.string());
  ASSERT_TRUE(record) << record.error().Text();
  ModelFacts model;
  model.model_type = (*record)["config"]["model_type"].text();
  const Family* family = KnownFamilies().Find(model, {});
  ASSERT_NE(family, nullptr);
  const auto names = MlxNames::Of(family->name, MlxFactsOf((*record)["config"]));
  ASSERT_TRUE(names) << names.error().Text();
  Shapes modules;
  std::set<std::string> eight_bits, expected_eight_bits;
  for (const auto& [name, shape] : ShapesIn((*record)["weights"])) {
    for (const MlxModule& module : names->Modules(name, shape)) {
      modules[module.path] = module.shape;
      if (module.eight_bits) eight_bits.insert(module.path);
    }
  }
  for (const Json& item : (*record)["eight_bits"])
    expected_eight_bits.insert(item.get<std::string>());
  EXPECT_EQ(modules, ShapesIn((*record)["modules"]));
  EXPECT_EQ(eight_bits, expected_eight_bits);
  size_t experts = 0;
  for (const Json& item : (*record)["experts"]) {
    EXPECT_EQ(names->Experts(item[0].get<int64_t>(), item[1].get<std::string>()),
              item[2].get<std::string>());
    ++experts;
  }
  EXPECT_GE(experts, 2u);
}

INSTANTIATE_TEST_SUITE_P(Families, MlxModules,
                         testing::Values("mixtral", "phimoe", "minimax_m2", "qwen2_moe",
                                         "qwen3_moe", "qwen3_next", "qwen3_5_moe", "kimi_k2",
                                         "deepseek_v32", "gemma4_text", "glm4_moe_lite",
                                         "deepseek_v3", "glm4_moe", "gpt_oss", "olmoe",
                                         "nemotron_h", "hf4_granitemoe", "hf4_ernie4_5_moe",
                                         "hf4_jamba", "hf4_deepseek_v3"),
                         [](const auto& tested) { return std::string(tested.param); });

MlxNames Of(std::string_view family, const MlxFacts& facts = {}) {
  return *MlxNames::Of(family, facts);
}

TEST(MlxNames, LeaveOutWhatMlxLmDrops) {
  const std::vector<uint64_t> shape = {8, 16};
  EXPECT_THAT(Of("qwen3_next").Modules("mtp.layers.0.self_attn.q_proj.weight", shape), IsEmpty());
  EXPECT_THAT(Of("qwen3_moe", {.tied = true}).Modules("lm_head.weight", shape), IsEmpty());
  EXPECT_THAT(Of("qwen3_5_moe").Modules("model.visual.blocks.0.attn.qkv.weight", shape), IsEmpty());
  EXPECT_THAT(Of("qwen3_5_moe", {.tied = true}).Modules("lm_head.weight", shape), IsEmpty());
  const MlxNames two_layers = Of("glm4_moe", {.layers = 2});
  EXPECT_EQ(two_layers.Modules("model.layers.1.self_attn.q_proj.weight", shape).size(), 1u);
  EXPECT_THAT(two_layers.Modules("model.layers.2.self_attn.q_proj.weight", shape), IsEmpty());
  EXPECT_THAT(two_layers.Modules("model.layers.1.self_attn.q_proj.bias", shape), IsEmpty());
  EXPECT_THAT(two_layers.Modules("model.layers.1.self_attn.q_proj.weight", {{8}}), IsEmpty());
}

TEST(MlxNames, AreRefusedForAFamilyThatIsNotKnown) {
  const auto names = MlxNames::Of("dbrx", {});
  ASSERT_FALSE(names);
  EXPECT_EQ(names.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(names.error().Text(), HasSubstr("family dbrx"));
  EXPECT_THAT(names.error().Text(), HasSubstr("known: mixtral, "));
  EXPECT_THAT(MlxNames::Of("", {}).error().Text(), HasSubstr("a model of no known family"));
}

TEST(MlxNames, LieBelowTheLanguageModelWhereTheConfigHasMore) {
  const std::vector<uint64_t> shape = {8, 16};
  const MlxNames names = Of("gemma4", {.layers = 3, .kv_shared = 1, .nested = true});
  EXPECT_EQ(names.Experts(2, "up_proj"),
            "language_model.model.layers.2.experts.switch_glu.up_proj");
  const auto q = names.Modules("model.language_model.layers.2.self_attn.q_proj.weight", shape);
  ASSERT_EQ(q.size(), 1u);
  EXPECT_EQ(q[0].path, "language_model.model.layers.2.self_attn.q_proj");
  EXPECT_EQ(names.Modules("model.language_model.layers.1.self_attn.k_proj.weight", shape).size(),
            1u);
  EXPECT_THAT(names.Modules("model.language_model.layers.2.self_attn.k_proj.weight", shape),
              IsEmpty());
  EXPECT_THAT(names.Modules("model.vision_tower.encoder.0.mlp.weight", shape), IsEmpty());
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
  EXPECT_TRUE(facts.tied);
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
