// What config.json says of a module, in every dialect (checkpoints.md 3.3, 4.2, 6.1, 7).
#include "codec/config_words.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/test_json.h"

namespace moe {
namespace {

/// "bits group strategy"; "-" for what is not said.
std::string Said(const QuantWords& words) {
  const auto number = [](const std::optional<uint64_t>& n) {
    return n ? std::to_string(*n) : std::string("-");
  };
  return number(words.bits) + " " + number(words.group) + " " +
         (words.strategy.empty() ? "-" : words.strategy) +
         (words.quantized.value_or(true) ? "" : " unquantized");
}

std::string SaidOf(const char* config, const char* module) {
  const QuantConfig read(AsJson(config));
  std::string all;
  for (const QuantWords& words : read.Of(module)) {
    all += (all.empty() ? "" : " | ") + Said(words);
  }
  return all;
}

struct Case {
  const char* name;
  const char* config;
  const char* module;
  const char* said;
};

constexpr const char* kMlx = R"({"group_size": 64, "bits": 4, "mode": "affine",
    "model.language_model.layers.0.mlp.up": {"group_size": 32, "bits": 6},
    "layers.1.mlp.up": {"bits": 8}, "model.layers.2.mlp.up": false, "model.layers.3.mlp.up": true,
    "model.visual.layers.4.mlp.up": {"bits": 2}})";
constexpr const char* kGroups = R"({"quant_method": "compressed-tensors",
    "ignore": ["lm_head", "re:.*router", "model.layers.9.mlp.up"],
    "config_groups": {
      "a": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 32, "strategy": "group"}},
      "b": {"targets": ["re:model.layers.[12].*"], "weights": {"num_bits": 8, "strategy": "channel"}},
      "c": {"targets": ["model.layers.2.mlp.up"], "weights": {"num_bits": 3, "group_size": -1}}}})";
constexpr const char* kClasses = R"({"config_groups": {
    "a": {"targets": ["Linear"], "weights": {"num_bits": 4}}, "W8A16": ["Linear"],
    "c": {"targets": ["lm_head"], "weights": {"num_bits": 2}}}})";
constexpr const char* kGptq = R"({"quant_method": "gptq", "bits": 4, "group_size": 128,
    "dynamic": {"-:.*\\.layers\\.1\\.": {}, "+:.*\\.layers\\.2\\.": {"bits": 8},
                ".*down$": {"group_size": -1}}})";
constexpr const char* kAutoRound = R"({"quant_method": "intel/auto-round", "bits": 4,
    "group_size": 128, "extra_config": {"model.layers.1.mlp.up": {"bits": 8},
                                        ".*experts.*": {"group_size": 32}}})";
constexpr const char* kModelOpt = R"({"producer": {}, "quantization": {"quant_algo": "NVFP4",
    "group_size": 16, "exclude_modules": ["lm_head", "*.router*", "model.layers.3*"]}})";
constexpr const char* kMixed = R"({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION",
    "quantized_layers": {"model.layers.0.up": {"quant_algo": "FP8"},
                         "model.layers.1.up": {"quant_algo": "NVFP4", "group_size": 16}}})";
constexpr const char* kFp8 = R"({"quant_method": "fp8", "weight_block_size": [128, 128],
    "modules_to_not_convert": ["model.layers.0.mlp.gate", "layers.61.", "shared_head"]})";

const Case kCases[] = {
    {"Nothing", "null", "model.layers.0.mlp.up", "- - -"},
    {"NoObject", "[4]", "model.layers.0.mlp.up", "- - -"},
    {"NoCounts", R"({"bits": "4", "group_size": 0})", "x", "- - -"},
    {"MlxDefault", kMlx, "model.layers.7.mlp.up", "4 64 -"},
    {"MlxOtherWrapper", kMlx, "language_model.model.layers.0.mlp.up", "6 32 -"},
    {"MlxEntryAlone", kMlx, "model.layers.1.mlp.up", "8 - -"},
    {"MlxFalse", kMlx, "model.layers.2.mlp.up", "- - - unquantized"},
    {"MlxTrue", kMlx, "model.layers.3.mlp.up", "4 64 -"},
    {"MlxOfTheVisionTower", kMlx, "model.layers.4.mlp.up", "4 64 -"},
    {"GroupOfAClass", kGroups, "model.layers.0.mlp.up", "4 32 group"},
    {"GroupOfAPattern", kGroups, "model.layers.1.mlp.up", "8 - channel"},
    {"GroupOfAPatternOtherWrapper", kGroups, "model.language_model.layers.1.up", "8 - channel"},
    {"GroupOfAName", kGroups, "model.language_model.layers.2.mlp.up", "3 0 -"},
    {"IgnoredName", kGroups, "language_model.model.layers.9.mlp.up", "- - -"},
    {"IgnoredPattern", kGroups, "model.layers.0.mlp.router", "- - -"},
    {"TwoGroupsOfAClass", kClasses, "model.layers.0.mlp.up", "4 - - | 8 - -"},
    {"NoGroup", R"({"config_groups": {"a": {"targets": ["re:.*attn"]}}})", "layers.0.up", "- - -"},
    {"GptqDefault", kGptq, "model.layers.0.up", "4 128 -"},
    {"GptqExcluded", kGptq, "model.layers.1.up", "- - -"},
    {"GptqOther", kGptq, "model.layers.2.up", "8 128 -"},
    {"GptqWithoutSign", kGptq, "model.layers.0.down", "4 0 -"},
    {"AutoRoundName", kAutoRound, "model.layers.1.mlp.up", "8 128 -"},
    {"AutoRoundPattern", kAutoRound, "model.layers.1.mlp.experts.3.up", "4 32 -"},
    {"Awq", R"({"quant_method": "awq", "w_bit": 4, "q_group_size": 128})", "x", "4 128 -"},
    {"AwqGate", R"({"quant_method": "awq", "bits": 4, "modules_to_not_convert": ["gate"]})",
     "model.layers.0.mlp.experts.0.gate_proj", "4 - -"},
    {"ModelOpt", kModelOpt, "model.layers.0.up", "4 16 tensor_group"},
    {"ModelOptExcluded", kModelOpt, "model.layers.0.router.up", "- - -"},
    {"ModelOptExcludedLayer", kModelOpt, "language_model.layers.3.up", "- - -"},
    {"ModelOptLayer", kMixed, "language_model.layers.0.up", "8 - tensor"},
    {"ModelOptOtherLayer", kMixed, "model.layers.1.up", "4 16 tensor_group"},
    {"ModelOptUnlisted", kMixed, "model.layers.2.up", "- - -"},
    {"Fp8", kFp8, "model.layers.0.mlp.up", "- - block"},
    {"Fp8Excluded", kFp8, "model.layers.0.mlp.gate", "- - -"},
    {"Fp8ExcludedLayer", kFp8, "model.layers.61.mlp.up", "- - -"},
    {"Fp8ExcludedPart", kFp8, "model.layers.3.shared_head.head", "- - -"},
    {"BlockAsText", R"({"weight_block_size": "128x64"})", "x", "- - block"},
    {"WholeFloats", R"({"bits": 4.0, "group_size": 64.0})", "x", "4 64 -"},
    {"Mxfp8", R"({"quant_method": "mxfp8"})", "x", "- 32 group"},
};

class ConfigWords : public testing::TestWithParam<Case> {};

TEST_P(ConfigWords, AreThoseOfTheModule) {
  EXPECT_EQ(SaidOf(GetParam().config, GetParam().module), GetParam().said);
}

INSTANTIATE_TEST_SUITE_P(Dialects, ConfigWords, testing::ValuesIn(kCases),
                         [](const auto& row) { return row.param.name; });

TEST(ConfigWords, EntriesOfModulesThatAreNotThereAreTold) {
  const QuantConfig mlx(AsJson(kMlx));
  const std::vector<std::string> modules = {"language_model.model.layers.0.mlp.up",
                                            "layers.2.mlp.up", "model.layers.3.mlp.up",
                                            "layers.7.mlp.up"};
  EXPECT_EQ(mlx.EntriesBeside(modules),
            (std::set<std::string>{"layers.1.mlp.up", "model.visual.layers.4.mlp.up"}));
  EXPECT_EQ(QuantConfig(AsJson(kGroups)).EntriesBeside(modules), std::set<std::string>());
}

TEST(ConfigWords, OfHostileConfigsSayNothing) {
  for (const char* config :
       {R"({"config_groups": {"": [], "W": [], "g": {"weights": [4], "targets": [1, "re:("]}}})",
        R"({"quant_method": "gptq", "dynamic": {"(": 1, "": null}, "extra_config": 3})",
        R"({"quant_method": 3, "bits": -4, "weight_block_size": [0, "a"]})",
        R"({"ignore": ["", "re:*", ".", "*", 5, null], "bits": 1e300})"}) {
    for (const char* module : {"", ".", "model.", "model.layers.0.up"}) {
      EXPECT_EQ(SaidOf(config, module).substr(0, 1), "-") << config << module;
    }
  }
}

TEST(ConfigWords, EndlessPatternsAndNamesAreGivenUp) {
  const QuantConfig config(AsJson(
      R"({"quant_method": "x", "bits": 4, "ignore": ["re:(a|a)*(b|b)*(a|a)*$c", "lm_head"]})"));
  for (int i = 0; i < 100'000; ++i) {
    ASSERT_EQ(config.Of("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").front().bits, 4u);
  }
  std::string dots(1 << 20, '.');
  EXPECT_EQ(config.Of(dots).size(), 1u);
}

TEST(ConfigWords, GroupsAndPresetsTellSignAndOrder) {
  const QuantConfig config(AsJson(R"({"config_groups": {
      "W4A16_ASYM": ["re:.*a$"], "NVFP4A16": ["re:.*b$"], "MXFP6A16": ["re:.*c$"],
      "d": {"targets": ["re:.*d$"], "weights": {"actorder": "group", "symmetric": false}},
      "e": {"targets": ["re:.*e$"], "weights": {"actorder": "weight", "symmetric": true}},
      "f": {"targets": ["re:.*f$"], "weights": {"actorder": null}}}})"));
  const auto of = [&](const char* module) { return config.Of(module).front(); };
  EXPECT_EQ(of("a").symmetric, false);
  EXPECT_EQ(of("a").type, "int");
  EXPECT_EQ(Said(of("b")), "4 16 -");
  EXPECT_EQ(Said(of("c")), "6 32 -");
  EXPECT_EQ(of("d").act_order, true);
  EXPECT_EQ(of("d").symmetric, false);
  EXPECT_EQ(of("e").act_order, false);
  EXPECT_EQ(of("f").act_order, std::nullopt);
}

}  // namespace
}  // namespace moe
