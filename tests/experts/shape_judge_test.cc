#include "experts/shape_judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "experts/model_facts.h"
#include "experts/preset_cases.h"

namespace moe {
namespace {

using testing::HasSubstr;

struct Weight {
  const char* name;
  std::vector<uint64_t> shape;
  bool packed = false;
};

std::map<size_t, std::string> Refusals(const std::string& config,
                                       const std::vector<Weight>& weights) {
  ExtractOptions options = DefaultExtractOptions();
  options.model = FactsOfConfig(config);
  const auto extractor = Extractor::Create(options);
  ShapeJudge judge(extractor->facts());
  for (size_t i = 0; i < weights.size(); ++i) {
    const WeightShape shape{std::string("model.layers.1.mlp.") + weights[i].name + ".weight",
                            weights[i].shape, "", ""};
    judge.Add(i, shape, weights[i].packed, *extractor->Extract(shape));
  }
  return judge.Refusals();
}

const std::string kConfig =
    R"({"num_hidden_layers":2,"hidden_size":256,"moe_intermediate_size":128,"num_experts":4})";
const std::string kNoWidth = R"({"hidden_size":256,"intermediate_size":512})";

struct Case {
  const char* name;
  const std::string& config;
  std::vector<Weight> weights;
  std::set<size_t> refused;
};

const std::string kNone;
const char *kGate = "experts.0.gate_proj", *kUp = "experts.0.up_proj",
           *kDown = "experts.0.down_proj";

// H = 256, I = 128.
const Case kCases[] = {
    {"AllAgree", kConfig, {{kGate, {128, 256}}, {kUp, {128, 256}}, {kDown, {256, 128}}}, {}},
    // Too many bits a weight: every matrix has too few columns, and the right rows.
    {"WrongBits",
     kConfig,
     {{kGate, {128, 64}, true}, {kUp, {128, 64}, true}, {kDown, {256, 32}, true}},
     {0, 1, 2}},
    {"WrongBitsWithoutWidth",
     kNoWidth,
     {{kGate, {128, 64}, true}, {kUp, {128, 64}, true}, {kDown, {256, 32}, true}},
     {0, 1, 2}},
    {"WrongBitsWithoutConfig",
     kNone,
     {{kGate, {128, 64}, true}, {kUp, {128, 64}, true}, {kDown, {256, 32}, true}},
     {0, 1, 2}},
    {"WrongBitsOfOne",
     kNone,
     {{kGate, {128, 64}, true}, {kUp, {128, 256}, true}, {kDown, {256, 128}, true}},
     {0}},
    {"WrongBitsAlone", kConfig, {{kGate, {128, 64}, true}}, {0}},
    {"Stack",
     kConfig,
     {{"switch_mlp.gate_proj", {4, 128, 64}, true}, {"switch_mlp.down_proj", {4, 256, 128}, true}},
     {0}},
    {"ShortDown", kConfig, {{kGate, {128, 256}}, {kUp, {128, 256}}, {kDown, {256, 64}}}, {2}},
    {"ShortDownByMajority",
     kNoWidth,
     {{kGate, {128, 256}}, {kUp, {128, 256}}, {kDown, {256, 64}}},
     {2}},
    {"NobodyCanTell", kNoWidth, {{kUp, {128, 256}}, {kDown, {256, 64}}}, {0, 1}},
    {"NobodyCanTellWithoutConfig", kNone, {{kUp, {128, 256}}, {kDown, {256, 64}}}, {0, 1}},
    {"UpUnlikeTheOthers", kNone, {{kGate, {128, 256}}, {kUp, {64, 256}}, {kDown, {256, 128}}}, {1}},
    {"EachItsOwnWidth",
     kNone,
     {{kGate, {128, 256}}, {kUp, {64, 256}}, {kDown, {256, 32}}},
     {0, 1, 2}},
    {"AgreeWithoutConfig",
     kNone,
     {{kGate, {128, 256}}, {kUp, {128, 256}}, {kDown, {256, 128}}},
     {}},
    // Each fits the config along one axis only, and they don't fit each other.
    {"RowsCutOff", kConfig, {{kGate, {32, 256}}, {kUp, {32, 256}}, {kDown, {64, 128}}}, {0, 1, 2}},
    {"MajorityAgainstTheConfig",
     kConfig,
     {{kGate, {1, 4096}}, {kUp, {1, 4096}}, {kDown, {1, 4096}}},
     {0, 1, 2}},
    {"Turned", kConfig, {{kGate, {256, 128}}, {kUp, {256, 128}}, {kDown, {128, 256}}}, {0, 1, 2}},
    {"TurnedDown", kConfig, {{kGate, {128, 256}}, {kUp, {128, 256}}, {kDown, {128, 256}}}, {2}},
    // Pruned in width, or with another model's config: they agree, and the census tells.
    {"OtherConfig", kConfig, {{kGate, {96, 64}}, {kUp, {96, 64}}, {kDown, {64, 96}}}, {}},
    {"PlainAlone", kConfig, {{kGate, {96, 64}}}, {}},
    {"Shared",
     kConfig,
     {{"shared_expert.gate_proj", {320, 256}}, {"shared_expert.down_proj", {256, 160}}},
     {0, 1}},
    {"SharedOfItsOwnWidth",
     kConfig,
     {{"shared_expert.gate_proj", {320, 256}}, {"shared_expert.down_proj", {256, 320}}},
     {}},
    // Beyond the config's four: incomplete ones are refused, whole ones are not.
    {"ExpertBeyond",
     kConfig,
     {{kGate, {128, 256}},
      {kDown, {256, 128}},
      {"experts.4.gate_proj", {128, 256}},
      {"experts.5.gate_proj", {128, 256}},
      {"experts.5.down_proj", {256, 128}}},
     {2}},
};

/// gate_proj and down_proj of `count` experts, H x I, but for those in `odd` (expert: its H x I).
std::vector<std::pair<std::string, std::vector<uint64_t>>> Layer(
    int layer, int count, uint64_t hidden, uint64_t width,
    const std::map<int, std::pair<uint64_t, uint64_t>>& odd) {
  std::vector<std::pair<std::string, std::vector<uint64_t>>> weights;
  for (int e = 0; e < count; ++e) {
    const auto [h, i] = odd.contains(e) ? odd.at(e) : std::pair(hidden, width);
    const std::string expert =
        "model.layers." + std::to_string(layer) + ".mlp.experts." + std::to_string(e);
    weights.push_back({expert + ".gate_proj.weight", {i, h}});
    weights.push_back({expert + ".down_proj.weight", {h, i}});
  }
  return weights;
}

std::map<size_t, std::string> RefusalsOf(
    const std::string& config,
    const std::vector<std::pair<std::string, std::vector<uint64_t>>>& weights) {
  ExtractOptions options = DefaultExtractOptions();
  options.model = FactsOfConfig(config);
  const auto extractor = Extractor::Create(options);
  ShapeJudge judge(extractor->facts());
  for (size_t i = 0; i < weights.size(); ++i) {
    const WeightShape shape{weights[i].first, weights[i].second, "", ""};
    judge.Add(i, shape, false, *extractor->Extract(shape));
  }
  return judge.Refusals();
}

TEST(ShapeJudge, RefusesTheOneThatDiffersFromItsNeighbours) {
  using Odd = std::map<int, std::pair<uint64_t, uint64_t>>;
  struct Row {
    const char* name;
    std::string config;
    uint64_t hidden, width;
    int count;
    Odd odd;
    std::set<size_t> refused;
  };
  const Row rows[] = {
      {"Width", "", 256, 128, 4, {{2, {256, 64}}}, {4, 5}},
      {"Hidden", "", 256, 128, 4, {{2, {96, 128}}}, {4, 5}},
      {"OneInEight", "", 256, 128, 16, {{2, {256, 64}}, {9, {256, 32}}}, {4, 5, 18, 19}},
      {"AgainstTheConfigToo", kConfig, 64, 96, 4, {{1, {64, 80}}}, {2, 3}},
      // The config's own shape among others is no fault of that one.
      {"AsTheConfigSays", kConfig, 64, 96, 4, {{1, {256, 128}}}, {}},
      {"OfTwoNobodyCanTell", "", 256, 128, 2, {{1, {256, 64}}}, {}},
      {"Halves", "", 256, 128, 4, {{2, {256, 64}}, {3, {256, 64}}}, {}},
      // Pruned expert by expert.
      {"EachItsOwn", "", 256, 128, 4, {{1, {256, 96}}, {2, {256, 64}}, {3, {256, 32}}}, {}},
      {"ListedWidths",
       R"({"moe_num_experts":[3,1],"moe_intermediate_size":[128,64]})",
       256,
       128,
       4,
       {{3, {256, 64}}},
       {}},
  };
  for (const Row& row : rows) {
    std::set<size_t> refused;
    const auto weights = Layer(1, row.count, row.hidden, row.width, row.odd);
    for (const auto& [tensor, reason] : RefusalsOf(row.config, weights)) refused.insert(tensor);
    EXPECT_EQ(refused, row.refused) << row.name;
  }
  auto down = Layer(0, 3, 256, 128, {});
  down[1].second = {256, 64};  // one projection alone
  const auto refused = RefusalsOf("", down);
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused.at(1),
            "expected 256 x 128, found 256 x 64 (gate_proj 128 x 256, down_proj 256 x 64)");
}

TEST(ShapeJudge, RefusesTheLayerThatContradictsTheConfigAndOtherLayers) {
  const std::string config = R"({"hidden_size":256,"moe_intermediate_size":128,"num_experts":2})";
  const std::string of_mixtral = R"({"hidden_size":256,"intermediate_size":128,"num_experts":2})";
  const std::string blocks = R"({"hidden_size":256,"moe_intermediate_size":128,)"
                             R"("block_configs":[{"ffn":{}},{"ffn":{}}]})";
  const std::string lists = R"({"hidden_size":256,"moe_intermediate_size":[128,96]})";
  struct Row {
    const char* name;
    std::string config;
    std::vector<std::pair<uint64_t, uint64_t>> layers;  ///< H and I of each
    std::set<int> refused;
  };
  const Row rows[] = {
      {"Width", config, {{256, 128}, {256, 96}}, {1}},
      {"WidthOfTheFirst", config, {{256, 64}, {256, 128}, {256, 128}}, {0}},
      {"Hidden", config, {{256, 128}, {64, 128}}, {1}},
      {"Both", config, {{256, 128}, {128, 256}, {256, 128}}, {1}},
      {"TwoOfFour", config, {{256, 128}, {256, 96}, {256, 64}, {256, 128}}, {1, 2}},
      {"TheKeyOfDenseLayersToo", of_mixtral, {{256, 128}, {256, 96}}, {1}},
      // The config is of another model, or was not updated: the census tells.
      {"OneAsTheConfigSays", config, {{256, 128}, {256, 96}, {256, 96}}, {}},
      {"NoneAsTheConfigSays", config, {{256, 64}, {256, 96}}, {}},
      {"WithoutConfig", "", {{256, 128}, {256, 96}}, {}},
      {"WidthsOfBlocks", blocks, {{256, 128}, {256, 96}}, {}},
      {"ListedWidths", lists, {{256, 128}, {256, 96}}, {}},
  };
  for (const Row& row : rows) {
    std::vector<std::pair<std::string, std::vector<uint64_t>>> weights, stacks;
    std::set<size_t> refused;
    for (size_t l = 0; l < row.layers.size(); ++l) {
      const auto [h, i] = row.layers[l];
      const int layer = static_cast<int>(l);
      for (auto& weight : Layer(layer, 2, h, i, {})) weights.push_back(std::move(weight));
      const std::string mlp = "model.layers." + std::to_string(l) + ".mlp.switch_mlp.";
      stacks.push_back({mlp + "up_proj.weight", {2, i, h}});
      stacks.push_back({mlp + "down_proj.weight", {2, h, i}});
    }
    const auto layers_of = [](const std::map<size_t, std::string>& found, size_t tensors) {
      std::set<int> layers;
      for (const auto& [tensor, reason] : found) layers.insert(static_cast<int>(tensor / tensors));
      return layers;
    };
    const auto found = RefusalsOf(row.config, weights);
    EXPECT_EQ(layers_of(found, 4), row.refused) << row.name;
    EXPECT_EQ(found.size(), 4 * row.refused.size()) << row.name;
    EXPECT_EQ(layers_of(RefusalsOf(row.config, stacks), 2), row.refused) << row.name << " stacks";
  }
}

TEST(ShapeJudge, TakesGgufFilesForTestsWhoseMatricesAllEndAfterTheSameShareOfRows) {
  const auto refused = [](uint64_t gate, uint64_t up, uint64_t down) {
    ExtractOptions options = DefaultExtractOptions();
    options.model = FactsOfGguf({{"general.architecture", "\"qwen3moe\""},
                                 {"qwen3moe.embedding_length", "256"},
                                 {"qwen3moe.expert_feed_forward_length", "512"}});
    const WeightShape weights[] = {{"blk.0.ffn_gate_exps.weight", {2, gate, 256}, "", ""},
                                   {"blk.0.ffn_up_exps.weight", {2, up, 256}, "", ""},
                                   {"blk.0.ffn_down_exps.weight", {2, down, 512}, "", ""}};
    const auto extractor = Extractor::Create(options, weights);
    ShapeJudge judge(extractor->facts());
    for (size_t i = 0; i < 3; ++i) judge.Add(i, weights[i], false, *extractor->Extract(weights[i]));
    return judge.Refusals().size();
  };
  EXPECT_EQ(refused(512, 512, 256), 0U);
  EXPECT_EQ(refused(48, 48, 24), 0U);
  EXPECT_EQ(refused(48, 32, 24), 3U);
  EXPECT_EQ(refused(512, 512, 24), 1U);
}

TEST(ShapeJudge, AsksTheOtherLayersWhichOfTwoIsWrong) {
  auto weights = Layer(0, 2, 256, 128, {});
  for (auto& weight : Layer(1, 2, 256, 128, {})) weights.push_back(std::move(weight));
  weights[5].second = {256, 64};  // both down_proj of layer 1
  weights[7].second = {256, 64};
  const auto refused = RefusalsOf("", weights);
  ASSERT_EQ(refused.size(), 2U);
  EXPECT_THAT(refused.at(5), HasSubstr("expected 256 x 128, found 256 x 64"));
  EXPECT_TRUE(refused.contains(7));
}

TEST(ShapeJudge, RefusesNothingOfAnyFamily) {
  std::vector<preset_cases::PresetCase> all = preset_cases::PresetCases();
  for (const auto* more : {&preset_cases::MlxCases(), &preset_cases::GgufCases()}) {
    all.insert(all.end(), more->begin(), more->end());
  }
  for (const preset_cases::PresetCase& c : all) {
    for (const bool with_config : {true, false}) {
      if (!with_config && !c.by_names) continue;
      const ExtractOptions options = with_config ? OptionsOf(c) : DefaultExtractOptions();
      std::vector<WeightShape> weights;
      for (const auto& [name, shape] : c.weights) weights.push_back({name, shape, "", ""});
      const auto extractor = Extractor::Create(options, weights);
      ShapeJudge judge(extractor->facts());
      for (size_t i = 0; i < weights.size(); ++i) {
        judge.Add(i, weights[i], false, *extractor->Extract(weights[i]));
      }
      EXPECT_THAT(judge.Refusals(), testing::IsEmpty()) << c.row << " " << c.variant;
    }
  }
}

TEST(ShapeJudge, RefusesTheStackWhoseHiddenSizeDiffersFromOtherLayers) {
  std::vector<std::pair<std::string, std::vector<uint64_t>>> weights;
  for (int layer = 0; layer < 4; ++layer) {
    const std::string mlp = "model.layers." + std::to_string(layer) + ".mlp.switch_mlp.";
    const uint64_t hidden = layer == 2 ? 96 : 256, width = layer == 1 ? 64 : 128;
    weights.push_back({mlp + "up_proj.weight", {4, width, hidden}});
    weights.push_back({mlp + "down_proj.weight", {4, hidden, width}});
  }
  const auto refused = RefusalsOf("", weights);
  ASSERT_EQ(refused.size(), 2U);
  EXPECT_THAT(refused.at(4), HasSubstr("expected the hidden size 256"));
  EXPECT_TRUE(refused.contains(5));
}

TEST(ShapeJudge, RefusesWhatContradicts) {
  for (const Case& row : kCases) {
    std::set<size_t> refused;
    for (const auto& [tensor, reason] : Refusals(row.config, row.weights)) refused.insert(tensor);
    EXPECT_EQ(refused, row.refused) << row.name;
  }
}

TEST(ShapeJudge, SaysWhatWasExpectedAndWhatWasFound) {
  const auto wrong = Refusals(kConfig, {{kGate, {128, 64}, true}, {kDown, {256, 128}, true}});
  EXPECT_THAT(wrong.at(0), HasSubstr("expected 128 x 256, found 128 x 64"));
  EXPECT_THAT(wrong.at(0), HasSubstr("down_proj 256 x 128; config: hidden size 256"));
  const auto turned = Refusals(kConfig, {{kGate, {256, 128}}, {kDown, {128, 256}}});
  EXPECT_THAT(turned.at(1), HasSubstr("the axes turned round"));
}

TEST(ShapeJudge, RefusesTheIdentityExpertsOfLongCatWhateverTheyHold) {
  const auto refused = Refusals(
      R"({"hidden_size":8,"expert_ffn_hidden_size":4,"n_routed_experts":1,"zero_expert_num":1})",
      {{kUp, {4, 8}},
       {kDown, {8, 4}},
       {"experts.1.up_proj", {4, 8}},
       {"experts.1.down_proj", {8, 4}}});
  ASSERT_EQ(refused.size(), 2U);
  EXPECT_THAT(refused.at(2), HasSubstr("1 experts and 1 identity experts"));
  EXPECT_THAT(refused.at(2), HasSubstr("found expert 1"));
}

TEST(ShapeJudge, TakesTheWordOfTheUsersRule) {
  ExtractOptions options = DefaultExtractOptions();
  options.model = FactsOfConfig(kConfig);
  ExtractRule rule;
  rule.name = "mine";
  rule.match = R"(.*experts\.(\d+)\.(up_proj|down_proj)\.weight$)";
  rule.layout = {{}, {}, 1, 0};
  rule.expert_group = 1;
  rule.proj_group = 2;
  options.rules.insert(options.rules.begin(), rule);
  const auto extractor = Extractor::Create(options);
  ShapeJudge judge(extractor->facts());
  const WeightShape shape{"m.layers.0.mlp.experts.0.down_proj.weight", {256, 128}, "", ""};
  judge.Add(0, shape, false, *extractor->Extract(shape));
  EXPECT_TRUE(judge.Refusals().empty());
}

}  // namespace
}  // namespace moe
