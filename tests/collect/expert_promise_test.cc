#include "collect/expert_promise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

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

std::vector<MissingExperts> Missing(const Model& model, const std::string& config,
                                    const Lines& listed = {}, const Lines& unread = {}) {
  ExtractOptions options = DefaultExtractOptions();
  options.model_config = config;
  const auto extractor = Extractor::Create(options, model.weights);
  ExpertPromise promise;
  for (const WeightShape& weight : model.weights) promise.Add(weight, *extractor->Extract(weight));
  for (const std::string& name : listed) promise.AddListed(*extractor->ClaimsOf(name));
  for (const std::string& name : unread) promise.AddUnread(*extractor->ClaimsOf(name));
  return promise.Missing(extractor->facts());
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

/// What is missing of the preset case's model without the weights in `lost`, by its config or by
/// names and shapes alone. Rows of layers without any tensor are left out: some cases have one
/// layer of the two that their config names.
std::vector<MissingExperts> MissingOf(const preset_cases::PresetCase& c, bool with_config,
                                      const std::set<std::string>& lost) {
  ExtractOptions options = DefaultExtractOptions();
  if (with_config) {
    options.model_type = c.model_type;
    options.model_config = c.config_json;
    if (!c.gguf_arch.empty()) options.gguf_metadata["general.architecture"] = c.gguf_arch;
  }
  std::vector<WeightShape> weights;
  for (const auto& [name, shape] : c.weights) {
    if (!lost.contains(name)) weights.push_back({name, shape, "", ""});
  }
  const auto extractor = Extractor::Create(options, weights);
  ExpertPromise promise;
  for (const WeightShape& weight : weights) promise.Add(weight, *extractor->Extract(weight));
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

TEST(ExpertPromise, CountsTheWeightsThatAreMissing) {
  const auto missing = Missing(Model().Layers(3, 4).Without("layers.1.mlp.experts.3."), kConfig);
  EXPECT_EQ(MissingParameters(missing), 3U * 32);
  const auto json = MissingJson(missing);
  EXPECT_EQ(json.at(0).dump(),
            R"({"stack":null,"shared":false,"proj":"down_proj","layers":"1","experts":"3",)"
            R"("matrices":1,"promised_by":"the config says 4 a layer"})");
  EXPECT_EQ(MissingWarnings(missing).at(0),
            "[experts] layer 1: down_proj of experts 3 is missing (the config says 4 a layer)");
}

}  // namespace
}  // namespace moe
