#include "model/expert_promise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/test_json.h"
#include "experts/model_facts.h"
#include "experts/preset_cases.h"

namespace moe {
namespace {

using Lines = std::vector<std::string>;

/// Tensors of `layers` layers with `experts` experts each and a router, 4 x 8 and 8 x 4.
struct Model {
  std::vector<WeightShape> weights;

  Model& Layers(int layers, int experts, bool router = true) {
    for (int l = 0; l < layers; ++l) {
      const std::string mlp = "model.layers." + std::to_string(l) + ".mlp.";
      for (int e = 0; e < experts; ++e) {
        const std::string expert = mlp + "experts." + std::to_string(e);
        weights.push_back({expert + ".gate_proj.weight", {4, 8}, "", ""});
        weights.push_back({expert + ".up_proj.weight", {4, 8}, "", ""});
        weights.push_back({expert + ".down_proj.weight", {8, 4}, "", ""});
      }
      const uint64_t rows = static_cast<uint64_t>(experts);
      if (router) weights.push_back({mlp + "gate.weight", {rows, 8}, "", ""});
    }
    return *this;
  }
  Model& Without(const std::string& part) {
    std::erase_if(weights,
                  [&](const WeightShape& w) { return w.name.find(part) != std::string::npos; });
    return *this;
  }
  Model& With(std::string name, std::vector<uint64_t> shape) {
    weights.push_back({std::move(name), std::move(shape), "", ""});
    return *this;
  }
};

ExtractOptions OptionsOf(const std::string& config) {
  ExtractOptions options = DefaultExtractOptions();
  options.model = FactsOfConfig(config);
  options.model.model_type = Json::Parse(config).value_or(Json())["model_type"].text();
  return options;
}

ExpertPromise PromiseOf(const Extractor& extractor, const std::vector<WeightShape>& weights) {
  ExpertPromise promise;
  for (const WeightShape& weight : weights) promise.Add(weight, *extractor.Extract(weight));
  return promise;
}

std::vector<MissingExperts> Missing(const Model& model, const ExtractOptions& options,
                                    const Lines& listed = {}, const Lines& unread = {}) {
  const auto extractor = Extractor::Create(options, model.weights);
  ExpertPromise promise = PromiseOf(*extractor, model.weights);
  for (const std::string& name : listed) promise.AddListed(*extractor->ClaimsOf(name));
  for (const std::string& name : unread) promise.AddUnread(*extractor->ClaimsOf(name));
  return promise.Missing(extractor->facts());
}

std::vector<MissingExperts> Missing(const Model& model, const std::string& config,
                                    const Lines& listed = {}, const Lines& unread = {}) {
  return Missing(model, OptionsOf(config), listed, unread);
}

Lines Surplus(const Model& model, const std::string& config) {
  const auto extractor = Extractor::Create(OptionsOf(config), model.weights);
  return PromiseOf(*extractor, model.weights).Surplus(extractor->facts());
}

/// "1 down_proj 3": layers, projection, experts; stack and "shared" in front.
Lines Shown(const std::vector<MissingExperts>& missing) {
  Lines lines;
  for (const MissingExperts& row : missing) {
    lines.push_back((row.stack.empty() ? "" : row.stack + " ") + Ranges(row.layers) + " " +
                    (row.is_shared_expert ? "shared " : "") + row.proj + " " + row.experts);
  }
  return lines;
}

Lines Trio(const std::string& layers, const std::string& experts) {
  return {layers + " down_proj " + experts, layers + " gate_proj " + experts,
          layers + " up_proj " + experts};
}

const std::string kConfig =
    R"({"num_hidden_layers":3,"num_experts":4,"hidden_size":8,"moe_intermediate_size":4})";

struct Case {
  const char* name;
  Model model;
  std::string config;
  Lines missing;
};

TEST(ExpertPromise, TellsWhatConfigRoutersAndNeighboursPromise) {
  const Model whole = Model().Layers(3, 4);
  const auto without = [&](const char* part) { return Model(whole).Without(part); };
  const Case cases[] = {
      {"Whole", whole, kConfig, {}},
      {"WholeWithoutConfig", whole, "", {}},
      {"LastExpert", without("layers.1.mlp.experts.3."), kConfig, Trio("1", "3")},
      {"LastExpertByRouter", without("layers.1.mlp.experts.3."), "", Trio("1", "3")},
      {"LastExpertByOthers", Model(whole).Without(".gate.").Without("layers.1.mlp.experts.3."), "",
       Trio("1", "3")},
      {"AHole", without("layers.2.mlp.experts.1."), kConfig, Trio("2", "1")},
      {"LastExpertEverywhere", without(".experts.3."), kConfig, Trio("0-2", "3")},
      {"ByRoutersAlone", without(".experts.3."), "", Trio("0-2", "3")},
      {"OneProjection", without("layers.0.mlp.experts.2.up"), kConfig, {"0 up_proj 2"}},
      {"DownEverywhere", without(".down_proj"), kConfig, {"0-2 down_proj 0-3"}},
      {"WholeLayer", without("layers.1."), kConfig, Trio("1", "0-3")},
      {"LayerWithItsRouter", without("layers.1.mlp.experts."), "", Trio("1", "0-3")},
      // Layer 1 has tensors but no experts: a hybrid model; no key says that it ought to have any.
      {"DenseLayer",
       Model(without("layers.1.")).With("model.layers.1.mlp.up_proj.weight", {8, 8}),
       kConfig,
       {}},
      {"DensePrefix",
       without("layers.0."),
       R"({"num_hidden_layers":3,"num_experts":4,"first_k_dense_replace":1})",
       {}},
      // Identity experts have rows in LongCat's router and no weights.
      {"ZeroExperts",
       Model()
           .Layers(1, 4, false)
           .With("model.layers.0.mlps.0.gate_proj.weight", {8, 8})
           .With("model.layers.0.mlp.router.classifier.weight", {6, 8}),
       "",
       {}},
      {"MoreThanTheConfig", whole, R"({"num_experts":2,"num_hidden_layers":3})", {}},
      {"TransposedRouter",
       Model().Layers(1, 3, false).With("model.layers.0.mlp.gate.weight", {8, 5}), "",
       Trio("0", "3-4")},
      {"ShortStack",
       Model()
           .With("model.layers.0.mlp.switch_mlp.up_proj.weight", {4, 4, 8})
           .With("model.layers.0.mlp.switch_mlp.down_proj.weight", {3, 8, 4}),
       "",
       {"0 down_proj 3"}},
      {"SharedExpert",
       Model(whole)
           .With("model.layers.0.mlp.shared_expert.up_proj.weight", {6, 8})
           .With("model.layers.2.mlp.shared_expert.up_proj.weight", {6, 8}),
       kConfig,
       {"1 shared up_proj "}},
      {"NoExpertsAtAll", Model().With("model.layers.0.mlp.gate.weight", {4, 8}), "", {}},
      // A number that can't be counted one by one.
      {"Hostile", Model().Layers(1, 1), R"({"num_experts":2147483647,"num_hidden_layers":1})",
       Trio("0", "1-2147483646")},
  };
  for (const Case& row : cases) {
    EXPECT_EQ(Shown(Missing(row.model, row.config)), row.missing) << row.name;
  }
}

/// Layers 0 to `layers` - 1 but for `lost` (not one tensor), of which `dense` have no experts.
Model Hybrid(int layers, const std::set<int>& dense, int lost) {
  Model model = Model().Layers(layers, 2);
  for (int l = 0; l < layers; ++l) {
    const std::string layer = "model.layers." + std::to_string(l) + ".";
    if (l == lost || dense.contains(l)) model.Without(layer);
    if (l != lost) model.With(layer + "self_attn.q_proj.weight", {8, 8});
  }
  return model;
}

TEST(ExpertPromise, TellsALayerOfWhichNoTensorIsThere) {
  const std::string config = R"({"model_type":"foo","num_experts":2,"num_hidden_layers":5})";
  const std::string countless = R"({"model_type":"foo","n_exp":2,"num_hidden_layers":5})";
  Model towers = Hybrid(5, {0}, 3);
  for (int l = 0; l < 5; ++l) {  // a vision tower, in which there is a fourth layer
    towers.With("visual.blocks." + std::to_string(l) + ".mlp.fc1.weight", {8, 8});
  }
  Model from_one = Hybrid(6, {1}, 0);
  const Case cases[] = {
      {"Middle", Hybrid(5, {0}, 3), config, Trio("3", "0-1")},
      {"Last", Hybrid(5, {0}, 4), config, Trio("4", "0-1")},
      {"First", Hybrid(5, {1}, 0), config, Trio("0", "0-1")},
      {"NoDenseLayer", Hybrid(5, {}, 3), config, Trio("3", "0-1")},
      {"NoCount", Hybrid(5, {0}, 3), countless, Trio("3", "0-1")},
      {"UnlikeTheVisionTower", towers, config, Trio("3", "0-1")},
      {"Whole", Hybrid(5, {0, 2}, -1), config, {}},
      {"WholeNoCount", Hybrid(5, {0, 2}, -1), countless, {}},
      {"CountedFromOne", from_one, config, {}},
      {"OneStackOfNoLayer",
       Model().With("experts.up_proj", {2, 4, 8}).With("experts.down_proj", {2, 8, 4}),
       countless,
       {}},
      {"DenseByConfig",
       Hybrid(5, {}, 0),
       R"({"num_experts":2,"num_hidden_layers":5,"first_k_dense_replace":1})",
       {}},
  };
  for (const Case& row : cases) {
    EXPECT_EQ(Shown(Missing(row.model, row.config)), row.missing) << row.name;
  }
  EXPECT_EQ(MissingWarnings(Missing(Hybrid(5, {0}, 3), config)).front(),
            "[experts] layer 3: down_proj of experts 0-1 is missing (no tensor of the layer is "
            "there)");
}

TEST(ExpertPromise, TellsExpertsBeyondTheCountOfTheConfigAndTheRouter) {
  struct Row {
    const char* name;
    Model model;
    std::string config;
    Lines surplus;
  };
  const Model whole = Model().Layers(3, 4);
  const auto stack = [](int layer, uint64_t experts) {
    return Model().With("model.layers." + std::to_string(layer) + ".mlp.switch_mlp.up_proj.weight",
                        {experts, 4, 8});
  };
  Model stacks = stack(0, 4);
  stacks.weights.push_back(stack(1, 6).weights.front());
  const Row rows[] = {
      {"Whole", whole, kConfig, {}},
      {"WholeWithoutConfig", whole, "", {}},
      {"Config",
       Model().Layers(3, 5, false),
       kConfig,
       {"[experts] layers 0-2: the config says 4 a layer, the tensors hold expert 4 too"}},
      {"ConfigAgainstRoutersToo",
       whole,
       R"({"num_experts":2,"num_hidden_layers":3})",
       {"[experts] layers 0-2: the config says 2 a layer, the tensors hold experts 2-3 too"}},
      {"OneLayer",
       stacks,
       R"({"num_experts":4,"num_hidden_layers":2})",
       {"[experts] layer 1: the config says 4 a layer, the tensors hold experts 4-5 too"}},
      {"OfThisLayer",
       whole,
       R"({"num_experts":[4,3,4],"num_hidden_layers":3})",
       {"[experts] layer 1: the config says 3 in this layer, the tensors hold expert 3 too"}},
      {"OneFarOff",
       Model(whole).With("model.layers.2.mlp.experts.9.up_proj.weight", {4, 8}),
       kConfig,
       {"[experts] layer 2: the config says 4 a layer, the tensors hold expert 9 too",
        "[experts] layer 2: the router knows 4, the tensors hold expert 9 too"}},
      {"Router",
       Model().Layers(1, 4, false).With("model.layers.0.mlp.gate.weight", {3, 8}),
       "",
       {"[experts] layer 0: the router knows 3, the tensors hold expert 3 too"}},
      {"Prediction",
       Model().Layers(4, 4).With("model.layers.3.mlp.experts.4.up_proj.weight", {4, 8}),
       kConfig,
       {"[experts] layer 3: the config says 4 a layer, the tensors hold mtp expert 4 too",
        "[experts] layer 3: the router knows 4, the tensors hold mtp expert 4 too"}},
      {"OfNoRouter",
       Model().Layers(1, 4, false).With("model.layers.0.mlp.gate.weight", {3, 9}),
       "",
       {}},
  };
  for (const Row& row : rows) EXPECT_EQ(Surplus(row.model, row.config), row.surplus) << row.name;
}

/// What is missing of the preset case's model without the weights in `lost`, by its config or by
/// names and shapes alone. Rows of layers without any tensor are left out: some cases have one
/// layer of the two that their config names.
std::vector<MissingExperts> MissingOf(const preset_cases::PresetCase& c, bool with_config,
                                      const std::set<std::string>& lost) {
  const ExtractOptions options = with_config ? OptionsOf(c) : DefaultExtractOptions();
  std::vector<WeightShape> weights;
  for (const auto& [name, shape] : c.weights) {
    if (!lost.contains(name)) weights.push_back({name, shape, "", ""});
  }
  const auto extractor = Extractor::Create(options, weights);
  const ExpertPromise promise = PromiseOf(*extractor, weights);
  EXPECT_EQ(promise.Surplus(extractor->facts()), Lines{}) << c.row << " " << c.variant;
  auto missing = promise.Missing(extractor->facts());
  std::erase_if(missing, [&](const MissingExperts& row) {
    return std::none_of(weights.begin(), weights.end(), [&](const WeightShape& weight) {
      const auto layer = LayerNumber(weight.name);
      return layer && row.layers.contains(*layer);
    });
  });
  return missing;
}

/// Every family, MLX class and GGUF name.
std::vector<preset_cases::PresetCase> AllCases() {
  std::vector<preset_cases::PresetCase> all = preset_cases::PresetCases();
  for (const auto* more : {&preset_cases::MlxCases(), &preset_cases::GgufCases()}) {
    all.insert(all.end(), more->begin(), more->end());
  }
  return all;
}

TEST(ExpertPromise, MissesNothingInAWholeModelOfAnyFamily) {
  for (const preset_cases::PresetCase& c : AllCases()) {
    EXPECT_EQ(MissingWarnings(MissingOf(c, true, {})), Lines{}) << c.row << " " << c.variant;
    if (!c.by_names) continue;
    EXPECT_EQ(MissingWarnings(MissingOf(c, false, {})), Lines{}) << c.row << " by names";
  }
}

TEST(ExpertPromise, TellsOneLostMatrixOfAnyFamily) {
  for (const preset_cases::PresetCase& c : AllCases()) {
    for (const preset_cases::WantBank& bank : c.want) {
      if (bank.shared || bank.expert_id < 0) continue;
      const auto missing = MissingOf(c, true, {bank.weight});
      const bool told = std::any_of(missing.begin(), missing.end(), [&](const MissingExperts& row) {
        return row.proj == bank.proj && row.layers.contains(bank.layer) &&
               row.experts == std::to_string(bank.expert_id);
      });
      EXPECT_TRUE(told) << c.row << " " << c.variant << " without " << bank.weight;
    }
  }
}

/// How one family's config says which layers have experts, and how many.
struct Family {
  const char* name;
  std::string config;
  int layers;
  std::map<int, int> experts;  ///< of each layer that has any
  std::set<int> shared = {};   ///< layers with a shared expert
  bool gated = true;
  const char* prefix = "model.";
  bool known = true;  ///< the family: else nobody knows whether it has gates

  Lines Projs() const {
    return gated ? Lines{"down_proj", "gate_proj", "up_proj"} : Lines{"down_proj", "up_proj"};
  }
  std::string Layer(int layer) const { return prefix + ("layers." + std::to_string(layer)) + "."; }
  /// A dense MLP where there are no experts, and attention everywhere.
  Model Whole() const {
    Model model;
    for (int l = 0; l < layers; ++l) {
      model.With(Layer(l) + "self_attn.q_proj.weight", {8, 8});
      if (!experts.contains(l)) model.With(Layer(l) + "mlp.up_proj.weight", {9, 8});
    }
    for (const auto& [layer, count] : experts) {
      const std::string mlp = Layer(layer) + "mlp.";
      for (int e = 0; e < count; ++e) Expert(model, mlp + "experts." + std::to_string(e) + ".");
      model.With(mlp + "gate.weight", {static_cast<uint64_t>(count), 8});
    }
    for (const int layer : shared) Expert(model, Layer(layer) + "mlp.shared_experts.");
    return model;
  }
  void Expert(Model& model, const std::string& module) const {
    if (gated) model.With(module + "gate_proj.weight", {4, 8});
    model.With(module + "up_proj.weight", {4, 8}).With(module + "down_proj.weight", {8, 4});
  }
};

const Family kFamilies[] = {
    {"DeepSeek",
     R"({"model_type":"deepseek_v3","num_hidden_layers":4,"first_k_dense_replace":1,)"
     R"("moe_layer_freq":1,"n_routed_experts":3,"n_shared_experts":1,)"
     R"("num_nextn_predict_layers":1})",
     4,
     {{1, 3}, {2, 3}, {3, 3}},
     {1, 2, 3}},
    {"DeepSeekEverySecond",
     R"({"model_type":"deepseek_v2","num_hidden_layers":5,"first_k_dense_replace":1,)"
     R"("moe_layer_freq":2,"n_routed_experts":3,"n_shared_experts":null})",
     5,
     {{2, 3}, {4, 3}}},
    {"Qwen2",
     R"({"model_type":"qwen2_moe","num_hidden_layers":6,"decoder_sparse_step":2,)"
     R"("mlp_only_layers":[3],"num_experts":3,"shared_expert_intermediate_size":4})",
     6,
     {{1, 3}, {5, 3}},
     {1, 5}},
    {"Qwen3WithoutShared",
     R"({"model_type":"qwen3_moe","num_hidden_layers":2,"mlp_only_layers":[],)"
     R"("num_experts":2,"shared_expert_intermediate_size":512})",
     2,
     {{0, 2}, {1, 2}}},
    {"MixtralWithoutAnyKey",
     R"({"model_type":"mixtral","num_hidden_layers":3,"num_local_experts":2})",
     3,
     {{0, 2}, {1, 2}, {2, 2}}},
    {"Jamba",
     R"({"model_type":"jamba","num_hidden_layers":4,"num_experts":2,)"
     R"("expert_layer_period":2,"expert_layer_offset":1})",
     4,
     {{1, 2}, {3, 2}}},
    {"Llama4Step",
     R"({"model_type":"llama4","text_config":{"num_hidden_layers":4,"num_local_experts":2,)"
     R"("interleave_moe_layer_step":2}})",
     4,
     {{1, 2}, {3, 2}},
     {1, 3},
     true,
     "language_model.model."},
    {"Llama4List",
     R"({"model_type":"llama4_text","num_hidden_layers":4,"num_local_experts":2,)"
     R"("interleave_moe_layer_step":1,"moe_layers":[0,2]})",
     4,
     {{0, 2}, {2, 2}},
     {0, 2}},
    {"Ernie",
     R"({"model_type":"ernie4_5_moe","num_hidden_layers":5,"moe_layer_start_index":1,)"
     R"("moe_layer_end_index":3,"moe_layer_interval":2,"moe_num_experts":2,)"
     R"("moe_num_shared_experts":2})",
     5,
     {{1, 2}, {3, 2}},
     {1, 3}},
    {"ErnieToItsEnd",
     R"({"model_type":"ernie4_5_moe","num_hidden_layers":3,"moe_layer_start_index":1,)"
     R"("moe_layer_end_index":-1,"moe_num_experts":2,"moe_num_shared_experts":0})",
     3,
     {{1, 2}, {2, 2}}},
    {"ErnieVision",
     R"({"model_type":"ernie4_5_vl_moe","num_hidden_layers":4,"moe_layer_start_index":[1,2],)"
     R"("moe_layer_end_index":[3,2],"moe_num_experts":[3,2]})",
     4,
     {{1, 3}, {2, 5}, {3, 3}}},
    {"HunyuanLists",
     R"({"model_type":"hunyuan_v1_moe","num_hidden_layers":4,"num_experts":[2,2,3,4],)"
     R"("num_shared_expert":[1,1,0,1],"moe_layer_num_skipped":1,"use_mixed_mlp_moe":true})",
     4,
     {{1, 2}, {2, 3}, {3, 4}},
     {1, 3}},
    {"HunyuanWithoutMixedMlp",
     R"({"model_type":"hunyuan_v1_moe","num_hidden_layers":2,"num_experts":2,)"
     R"("num_shared_expert":1,"use_mixed_mlp_moe":false})",
     2,
     {{0, 2}, {1, 2}}},
    {"Step3",
     R"({"model_type":"step3_text","num_hidden_layers":5,"moe_layers_enum":"2, 4",)"
     R"("moe_num_experts":2,"share_expert_dim":4})",
     5,
     {{2, 2}, {4, 2}},
     {2, 4}},
    {"LongCat",
     R"({"model_type":"longcat_flash","num_layers":2,"num_hidden_layers":4,)"
     R"("n_routed_experts":2,"zero_expert_num":1})",
     2,
     {{0, 2}, {1, 2}}},
    {"NemotronLetters",
     R"({"model_type":"nemotron_h","num_hidden_layers":4,"hybrid_override_pattern":"ME*E",)"
     R"("n_routed_experts":2,"n_shared_experts":1,"moe_shared_expert_intermediate_size":4})",
     4,
     {{1, 2}, {3, 2}},
     {1, 3},
     false,
     "backbone."},
    {"NemotronWords",
     R"({"model_type":"nemotron_h","num_hidden_layers":3,"n_routed_experts":2,)"
     R"("layers_block_type":["mamba","moe","attention"],"n_shared_experts":0})",
     3,
     {{1, 2}},
     {},
     false,
     "backbone."},
    {"KimiLinear",
     R"({"model_type":"kimi_linear","num_hidden_layers":3,"first_k_dense_replace":1,)"
     R"("moe_layer_freq":1,"num_experts":2,"num_shared_experts":1})",
     3,
     {{1, 2}, {2, 2}},
     {1, 2}},
    {"GlmWords",
     R"({"model_type":"glm4_moe_lite","num_hidden_layers":3,"n_routed_experts":2,)"
     R"("mlp_layer_types":["dense","sparse","sparse"],"n_shared_experts":1})",
     3,
     {{1, 2}, {2, 2}},
     {1, 2}},
    {"MiniMaxMask",
     R"({"model_type":"minimax_m3","num_hidden_layers":3,"num_local_experts":2,)"
     R"("moe_layer_freq":[0,1,1],"n_shared_experts":1})",
     3,
     {{1, 2}, {2, 2}},
     {1, 2}},
    {"MaskOfOnes",
     R"({"model_type":"mimo_v2_flash","num_hidden_layers":2,"n_routed_experts":2,)"
     R"("moe_layer_freq":[1,1]})",
     2,
     {{0, 2}, {1, 2}}},
    {"SmallThinker",
     R"({"model_type":"smallthinker","num_hidden_layers":3,"moe_num_primary_experts":2,)"
     R"("moe_layer_layout":[0,1,1]})",
     3,
     {{1, 2}, {2, 2}}},
    {"Exaone",
     R"({"model_type":"exaone_moe","num_hidden_layers":3,"num_experts":2,)"
     R"("is_moe_layer":[false,true,true],"num_shared_experts":1})",
     3,
     {{1, 2}, {2, 2}},
     {1, 2}},
    {"Lfm2",
     R"({"model_type":"lfm2_moe","num_hidden_layers":3,"num_experts":2,"num_dense_layers":1})",
     3,
     {{1, 2}, {2, 2}}},
    {"Arctic",
     R"({"model_type":"arctic","num_hidden_layers":4,"num_local_experts":2,)"
     R"("moe_layer_frequency":2})",
     4,
     {{1, 2}, {3, 2}}},
    {"PrunedByLayer",
     R"({"model_type":"deepseek_v2","num_hidden_layers":4,"first_k_dense_replace":1,)"
     R"("n_routed_experts":6,"n_shared_experts":1,"quantization_config":)"
     R"({"moe_sparsity_config":{"method":"prune","num_experts":[null,3,6,2]}}})",
     4,
     {{1, 3}, {2, 6}, {3, 2}},
     {1, 2, 3}},
    {"NumberOfEachLayer",
     R"({"model_type":"qwen3_moe","num_hidden_layers":3,"num_experts":[2,0,3]})",
     3,
     {{0, 2}, {2, 3}}},
    {"NumberOfEachMoeLayer",
     R"({"model_type":"qwen3_moe","num_hidden_layers":3,"mlp_only_layers":[1],)"
     R"("num_experts":[2,3]})",
     3,
     {{0, 2}, {2, 3}}},
    {"Blocks",
     R"({"model_type":"nemotron-nas","num_hidden_layers":3,"block_configs":[)"
     R"({"ffn":{"moe":{"num_local_experts":3,"shared_expert_intermediate_dim":4}}},)"
     R"({"ffn":{"intermediate_size":9,"moe":null}},)"
     R"({"ffn":{"moe":{"num_local_experts":2,"shared_expert_intermediate_dim":0}}}]})",
     3,
     {{0, 3}, {2, 2}},
     {0},
     true,
     "model.",
     false},
    {"OmniThinker",
     R"({"model_type":"qwen3_omni_moe","thinker_config":{"text_config":{"num_hidden_layers":3,)"
     R"("num_experts":2,"shared_expert_intermediate_size":4,"mlp_only_layers":[1]}}})",
     3,
     {{0, 2}, {2, 2}},
     {},
     true,
     "thinker.model."},
    {"OmniTalker",
     R"({"model_type":"qwen3_omni_moe","thinker_config":{"text_config":{"num_hidden_layers":9,)"
     R"("num_experts":8}},"talker_config":{"text_config":{"num_hidden_layers":2,)"
     R"("num_experts":3,"shared_expert_intermediate_size":4,"decoder_sparse_step":1}}})",
     2,
     {{0, 3}, {1, 3}},
     {0, 1},
     true,
     "talker.model."},
};

/// That `missing` has these projections of these experts ("": the shared one) of a layer.
void ExpectTold(const std::vector<MissingExperts>& missing, int layer, const Lines& projs,
                const std::string& experts, const std::string& what) {
  for (const std::string& proj : projs) {
    const bool told = std::any_of(missing.begin(), missing.end(), [&](const MissingExperts& row) {
      return row.proj == proj && row.layers.contains(layer) && row.experts == experts &&
             row.is_shared_expert == experts.empty();
    });
    EXPECT_TRUE(told) << what << ": " << proj << " of layer " << layer << "\n"
                      << ::testing::PrintToString(Shown(missing));
  }
}

std::string Upto(int count) { return count == 1 ? "0" : "0-" + std::to_string(count - 1); }

TEST(ExpertPromise, MissesNothingInAWholeModelWhateverItsConfigSaysOfItsLayers) {
  for (const Family& family : kFamilies) {
    EXPECT_EQ(Shown(Missing(family.Whole(), family.config)), Lines{}) << family.name;
    EXPECT_EQ(Surplus(family.Whole(), family.config), Lines{}) << family.name;
  }
}

TEST(ExpertPromise, TellsALayerAnExpertAndAProjectionThatAnyOfTheseConfigsPromises) {
  for (const Family& family : kFamilies) {
    for (const auto& [layer, count] : family.experts) {
      const auto without = [&](const std::string& part) {
        return Missing(family.Whole().Without(part), family.config);
      };
      const std::string mlp = family.Layer(layer) + "mlp.";
      const std::string last = mlp + "experts." + std::to_string(count - 1) + ".";
      if (family.experts.size() > 1) {
        ExpectTold(without(mlp), layer, family.Projs(), Upto(count), family.name);
      }
      ExpectTold(without(last), layer, family.Projs(), std::to_string(count - 1), family.name);
      for (const std::string& proj : family.Projs()) {
        if (family.known) ExpectTold(without(proj), layer, {proj}, Upto(count), family.name);
      }
    }
  }
}

TEST(ExpertPromise, TellsSharedExpertsThatOnlyTheConfigPromises) {
  for (const Family& family : kFamilies) {
    const auto missing = Missing(family.Whole().Without("shared_experts"), family.config);
    const Lines projs = family.known ? family.Projs() : Lines{"down_proj", "up_proj"};
    for (const int layer : family.shared) ExpectTold(missing, layer, projs, "", family.name);
    EXPECT_EQ(missing.empty(), family.shared.empty()) << family.name;
  }
}

TEST(ExpertPromise, TakesEncoderAndDecoderEachByItsOwnPeriod) {
  const std::string config =
      R"({"model_type":"switch_transformers","num_experts":2,"num_layers":6,)"
      R"("encoder_sparse_step":4,"num_decoder_layers":2,"decoder_sparse_step":2})";
  Model model;
  for (const std::string module :
       {"encoder.block.1.layer.1", "encoder.block.5.layer.1", "decoder.block.1.layer.2"}) {
    for (const std::string expert : {"0", "1"}) {
      const std::string path = module + ".mlp.experts.expert_" + expert;
      model.With(path + ".wi.weight", {4, 8}).With(path + ".wo.weight", {8, 4});
    }
  }
  EXPECT_EQ(Shown(Missing(model, config)), Lines{});
  EXPECT_EQ(Shown(Missing(Model(model).Without("encoder.block.5."), config)),
            (Lines{"encoder 5 down_proj 0-1", "encoder 5 up_proj 0-1"}));
}

TEST(ExpertPromise, TakesGgufKeysAsThoseOfConfigs) {
  const std::map<std::string, std::string> metadata = {
      {"general.architecture", "\"deepseek2\""},    {"deepseek2.block_count", "3"},
      {"deepseek2.leading_dense_block_count", "1"}, {"deepseek2.expert_count", "2"},
      {"deepseek2.embedding_length", "8"},          {"deepseek2.expert_feed_forward_length", "4"},
      {"deepseek2.expert_shared_count", "2"}};
  Model model;
  for (const std::string block : {"blk.1.", "blk.2."}) {
    for (const std::string proj : {"gate", "up", "down"}) {
      const bool down = proj == "down";
      model.With(block + "ffn_" + proj + "_exps.weight",
                 down ? std::vector<uint64_t>{2, 8, 4} : std::vector<uint64_t>{2, 4, 8});
      model.With(block + "ffn_" + proj + "_shexp.weight",
                 down ? std::vector<uint64_t>{8, 8} : std::vector<uint64_t>{8, 8});
    }
  }
  const auto missing = [&](const Model& of) {
    ExtractOptions options = DefaultExtractOptions();
    options.model = FactsOfGguf(metadata);
    return Missing(of, std::move(options));
  };
  EXPECT_EQ(Shown(missing(model)), Lines{});
  EXPECT_EQ(Shown(missing(Model(model).Without("blk.2."))),
            (Lines{"2 down_proj 0-1", "2 gate_proj 0-1", "2 up_proj 0-1", "2 shared down_proj ",
                   "2 shared gate_proj ", "2 shared up_proj "}));
  const auto shared = missing(Model(model).Without("shexp"));
  EXPECT_EQ(Shown(shared),
            (Lines{"1-2 shared down_proj ", "1-2 shared gate_proj ", "1-2 shared up_proj "}));
  EXPECT_EQ(MissingParameters(shared), 6U * 8 * 8);  // two experts of width 4
}

TEST(ExpertPromise, TakesTheMtpStackByItself) {
  const Model model = Model().Layers(4, 4).Without("layers.3.mlp.experts.3.");
  const auto missing = Missing(model, kConfig);  // three layers: the fourth is for prediction
  EXPECT_EQ(Shown(missing), (Lines{"mtp 3 down_proj 3", "mtp 3 gate_proj 3", "mtp 3 up_proj 3"}));
}

TEST(ExpertPromise, HoldsTheIndexToItsWordAndForgivesWhatIsThereUnread) {
  const Model model = Model().Layers(1, 4, false).Without("experts.3.up_proj");
  const std::string lost = "model.layers.0.mlp.experts.3.up_proj.qweight";
  EXPECT_EQ(Shown(Missing(model, "", {lost})), Lines{"0 up_proj 3"});
  EXPECT_EQ(Shown(Missing(model, "", {}, {lost})), Lines{});
  const std::string stack = "model.layers.7.mlp.experts.down_proj_blocks";
  EXPECT_EQ(Shown(Missing(Model(model).Without("experts.3."), "", {stack})),
            (Lines{"7 down_proj 0-2", "7 gate_proj 0-2", "7 up_proj 0-2"}));
}

TEST(ExpertPromise, HoldsTheIndexToSharedExpertsThatNoLayerHas) {
  EXPECT_EQ(
      Shown(Missing(Model().Layers(2, 4), "", {"model.layers.1.mlp.shared_expert.up_proj.weight"})),
      Lines{"1 shared up_proj "});
}

TEST(ExpertPromise, CountsTheWeightsThatAreMissing) {
  const auto missing = Missing(Model().Layers(3, 4).Without("layers.1.mlp.experts.3."), kConfig);
  EXPECT_EQ(MissingParameters(missing), 3U * 32);
  const auto json = MissingJson(missing);
  EXPECT_EQ(json[0].Text(),
            R"({"stack":null,"shared":false,"proj":"down_proj","layers":"1","experts":"3",)"
            R"("matrices":1,"promised_by":"the config says 4 a layer"})");
  EXPECT_EQ(MissingWarnings(missing)[0],
            "[experts] layer 1: down_proj of expert 3 is missing (the config says 4 a layer)");
}

}  // namespace
}  // namespace moe
