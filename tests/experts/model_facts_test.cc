#include "experts/model_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moe {
namespace {

using Layers = std::set<int64_t>;

TEST(FactsOfConfig, TakeAListForANumberOnlyWhereItIsOne) {
  EXPECT_EQ(FactsOfConfig(R"({"num_experts":[8,8,8]})").experts, 8U);
  EXPECT_EQ(FactsOfConfig(R"({"num_experts":[8,6]})").experts, std::nullopt);
  EXPECT_EQ(FactsOfConfig(R"({"moe_num_experts":[64,48]})").experts, 112U);
  // ERNIE-4.5-VL: one width a modality; intermediate_size is that of dense layers.
  const ModelFacts ernie =
      FactsOfConfig(R"({"moe_intermediate_size":[1536,512],"intermediate_size":12288})");
  EXPECT_EQ(ernie.expert_width, std::nullopt);
  EXPECT_FALSE(ernie.width_is_of_experts);
  const ModelFacts mixtral = FactsOfConfig(R"({"intermediate_size":14336})");
  EXPECT_EQ(mixtral.expert_width, 14336U);
  EXPECT_FALSE(mixtral.width_is_of_experts);
  EXPECT_TRUE(FactsOfConfig(R"({"moe_intermediate_size":768})").width_is_of_experts);
  EXPECT_EQ(FactsOfConfig(R"({"num_experts":9223372036854775808})").experts, std::nullopt);
}

TEST(FactsOfConfig, ReadWholeNumbersHoweverTheyAreWritten) {
  struct Row {
    const char* value;
    std::optional<uint64_t> experts;
    bool readable;
  };
  const Row rows[] = {
      {"8", 8, true},           {"\"8\"", 8, true},        {"8.0", 8, true},
      {"[8, \"8\"]", {}, true}, {"null", {}, true},        {"\"eight\"", {}, false},
      {"8.5", {}, false},       {"-8", {}, false},         {"\"8 \"", {}, false},
      {"true", {}, false},      {"{}", {}, false},         {"3000000000", {}, false},
      {"1e300", {}, false},     {"[8, \"x\"]", {}, false},
  };
  for (const Row& row : rows) {
    const ModelFacts facts = FactsOfConfig(R"({"num_experts":)" + std::string(row.value) + "}");
    EXPECT_EQ(facts.experts, row.experts) << row.value;
    EXPECT_EQ(facts.unreadable.empty(), row.readable) << row.value;
  }
  const ModelFacts facts =
      FactsOfConfig(R"({"num_hidden_layers":"3","hidden_size":"64","moe_intermediate_size":32.0,)"
                    R"("num_experts":["4",0.0,"2"],"decoder_sparse_step":"1"})");
  EXPECT_EQ(facts.layers, 3U);
  EXPECT_EQ(facts.hidden, 64U);
  EXPECT_EQ(facts.expert_width, 32U);
  EXPECT_EQ(facts.experts_of_layer, (std::map<int64_t, uint64_t>{{0, 4}, {1, 0}, {2, 2}}));
  EXPECT_EQ(facts.moe_layers, (Layers{0, 2}));
  const ModelFacts gguf = FactsOfGguf({{"general.architecture", "\"qwen3moe\""},
                                       {"qwen3moe.expert_count", "\"x\""},
                                       {"qwen3moe.embedding_length", "64.0"}});
  EXPECT_EQ(gguf.hidden, 64U);
  EXPECT_EQ(gguf.unreadable, std::vector<std::string>{"num_experts"});
}

TEST(FactsOfConfig, KnowTheLayersOfExpertsInEverySpelling) {
  const std::pair<const char*, Layers> cases[] = {
      {R"({"num_hidden_layers":4,"first_k_dense_replace":1})", {1, 2, 3}},
      {R"({"num_hidden_layers":4,"hybrid_override_pattern":"ME*E"})", {1, 3}},
      {R"({"num_hidden_layers":6,"moe_layers_enum":"2,4,5"})", {2, 4, 5}},
      {R"({"num_hidden_layers":6,"moe_layer_start_index":1,"moe_layer_end_index":3})", {1, 2, 3}},
      {R"({"num_hidden_layers":3,"mlp_layer_types":["dense","sparse","sparse"]})", {1, 2}},
      // One entry more: the block of multi-token prediction.
      {R"({"num_hidden_layers":2,"moe_layer_freq":[0,1,1]})", {1}},
  };
  for (const auto& [config, layers] : cases) {
    EXPECT_EQ(FactsOfConfig(config).moe_layers.value_or(Layers{}), layers) << config;
  }
}

TEST(FactsOfGguf, CountTheModelsOwnLayersWithoutTheNextnBlocks) {
  const ModelFacts facts = FactsOfGguf({{"general.architecture", "\"deepseek2\""},
                                        {"deepseek2.block_count", "5"},
                                        {"deepseek2.nextn_predict_layers", "1"},
                                        {"deepseek2.leading_dense_block_count", "2"}});
  EXPECT_EQ(facts.layers, 4U);
  EXPECT_EQ(facts.moe_layers, (Layers{2, 3}));
  // A key that leaves no layer is not believed.
  const ModelFacts all = FactsOfGguf({{"general.architecture", "\"glm4moe\""},
                                      {"glm4moe.block_count", "2"},
                                      {"glm4moe.nextn_predict_layers", "7"}});
  EXPECT_EQ(all.layers, 2U);
}

TEST(LearnFromTensors, FindsNextnBlocksAndTheLatentSize) {
  ModelFacts facts;
  const WeightShape weights[] = {
      {"blk.3.ffn_up_exps.weight", {4, 8, 8}, "", ""},
      {"blk.46.nextn.eh_proj.weight", {8, 16}, "", ""},
      {"backbone.layers.1.mixer.fc1_latent_proj.weight", {6, 8}, "", ""},
  };
  LearnFromTensors(weights, facts);
  EXPECT_EQ(facts.mtp_layers, Layers{46});
  EXPECT_EQ(facts.expert_input, 6U);
}

TEST(LayerNumber, IsTheFirstNumberBetweenDots) {
  EXPECT_EQ(LayerNumber("model.layers.12.mlp.experts.3.w1.weight"), 12);
  EXPECT_EQ(LayerNumber("blk.7.ffn_up.3.weight"), 7);
  EXPECT_EQ(LayerNumber("model.norm2.weight"), std::nullopt);
  EXPECT_EQ(LayerNumber("layers.99999999999.weight"), std::nullopt);
}

}  // namespace
}  // namespace moe
