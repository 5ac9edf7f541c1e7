#include "model/metadata.h"

#include <gmock/gmock.h>

#include "base/temp_folder.h"
#include "base/test_json.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

ModelMetadata Read(const TempFolder& folder, std::optional<std::string> override_path = {}) {
  return ReadModelMetadata(folder.path(), override_path);
}

TEST(ModelMetadata, LooksForConfigJsonInTheContractsOrder) {
  const TempFolder folder;
  for (const char* place : {"hf/", "config/", "configs/", "model/", ""}) {  // last one first
    folder.Write(std::string(place) + "config.json", R"({"model_type": "x"})");
    const ModelMetadata metadata = Read(folder);
    ASSERT_TRUE(metadata.config_path.has_value());
    EXPECT_EQ(fs::relative(*metadata.config_path, folder.path()),
              place + std::string("config.json"));
  }
}

TEST(ModelMetadata, OfAModelFileIsInItsFolder) {
  const TempFolder folder;
  folder.Write("config.json", R"({"model_type": "x"})");
  const fs::path file = folder.Write("model.safetensors");
  EXPECT_EQ(ReadModelMetadata(file, std::nullopt).model_type, "x");
}

TEST(ModelMetadata, TakesTheOverrideRelativeToTheFolder) {
  const TempFolder folder;
  folder.Write("config.json", R"({"model_type": "x"})");
  folder.Write("other/cfg.json", R"({"model_type": "y"})");
  EXPECT_EQ(Read(folder, "other/cfg.json").model_type, "y");
  EXPECT_EQ(Read(folder, (folder.path() / "other/cfg.json").string()).model_type, "y");
}

TEST(ModelMetadata, OfAMissingOrBrokenConfigIsOneWarning) {
  const TempFolder folder;
  EXPECT_THAT(Read(folder).warnings, ElementsAre(StartsWith("[meta] ")));
  EXPECT_THAT(Read(folder, "gone.json").warnings, ElementsAre(HasSubstr("gone.json")));
  for (const std::string text : {"", "{", "[1]", "\"text\"", "\xff"}) {
    folder.Write("config.json", text);
    const ModelMetadata metadata = Read(folder);
    EXPECT_THAT(metadata.warnings, ElementsAre(StartsWith("[meta] "))) << text;
    EXPECT_EQ(metadata.config_path, std::nullopt);
    EXPECT_TRUE(metadata.config.is_null());
    EXPECT_EQ(metadata.summary_line, "");
  }
}

// Contract section 13, "Shape budget".
TEST(ShapeBudget, TakesTheFirstKeyThatCoerces) {
  const TempFolder folder;
  folder.Write("config.json", R"({
    "n_layer": 3, "hidden_size": null, "d_model": 64, "num_experts": true, "n_routed_experts": 8,
    "num_local_experts": 9, "experts_per_token": "2", "expert_intermediate_size": 32.0,
    "mlp_only_layers": [0, "1", 2.0], "first_k_dense_replace": NaN, "text_config": {"num_layers": 5}
  })");
  const ModelMetadata metadata = Read(folder);
  EXPECT_THAT(metadata.warnings, IsEmpty());
  EXPECT_EQ(metadata.shape_budget, AsJson(R"({
    "num_hidden_layers": 3, "hidden_size": 64, "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": null, "num_experts": 8, "num_experts_per_tok": 2,
    "n_shared_experts": null, "decoder_sparse_step": null, "full_attention_interval": null,
    "first_k_dense_replace": null, "mlp_only_layers": [0, 1, 2]
  })"));
  EXPECT_EQ(metadata.summary_line, "[meta] hidden=64 layers=3 moe_int=32 experts=8 topk=2");
}

TEST(ShapeBudget, CoercesWhatTheContractSays) {
  const std::pair<const char*, const char*> cases[] = {{"7", "7"},
                                                       {"-7", "-7"},
                                                       {"7.0", "7"},
                                                       {"7.5", "null"},
                                                       {"\" +7 \"", "7"},
                                                       {"\"-7\\n\"", "-7"},
                                                       {"\"7.0\"", "null"},
                                                       {"\"\"", "null"},
                                                       {"\"+\"", "null"},
                                                       {"\"+-7\"", "null"},
                                                       {"\"7x\"", "null"},
                                                       {"true", "null"},
                                                       {"null", "null"},
                                                       {"NaN", "null"},
                                                       {"Infinity", "null"},
                                                       {"{\"a\": 1}", "null"},
                                                       {"[1, 2.0]", "[1,2]"},
                                                       {"[1, 2.5]", "null"},
                                                       {"[1, true]", "null"},
                                                       {"[]", "[]"},
                                                       {"1e300", "null"},
                                                       {"\"99999999999999999999\"", "null"}};
  for (const auto& [text, coerced] : cases) {
    const TempFolder folder;
    folder.Write("config.json", std::string("{\"hidden_size\": ") + text + "}");
    EXPECT_EQ(Read(folder).shape_budget["hidden_size"].Text(), coerced) << text;
  }
}

TEST(ModelType, OfTheTextModelWinsOverTheOuterOne) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"model_type": "qwen3_moe"})", "qwen3_moe"},
      {R"({"model_type": "vl", "text_config": {"model_type": "vl_text"}})", "vl_text"},
      {R"({"model_type": "vl", "text_config": {}})", "vl"},
      {R"({"model_type": "vl", "text_config": null, "llm_config": {"model_type": "l"}})", "l"},
      {R"({"model_type": 3})", ""},
      {R"({})", ""}};
  for (const auto& [text, type] : cases) {
    const TempFolder folder;
    folder.Write("config.json", text);
    EXPECT_EQ(Read(folder).model_type, type) << text;
  }
}

TEST(TrimmedModelConfig, KeepsAConfigOfOrdinarySizeWhole) {
  const Json config = {{"hidden_size", 1}, {"x", std::string(190'000, 'x')}};
  EXPECT_EQ(TrimmedModelConfig(config), config);
}

TEST(TrimmedModelConfig, CutsAVeryLongOneToTheKnownKeys) {
  const Json config = {{"b", std::string(200'000, 'x')}, {"hidden_size", 64}, {"n_layer", 2}};
  const Json trimmed = TrimmedModelConfig(config);
  EXPECT_EQ(trimmed["hidden_size"], 64);
  EXPECT_EQ(trimmed["n_layer"], 2);
  EXPECT_FALSE(trimmed.contains("b"));
  EXPECT_EQ(trimmed["_meta_trimmed"]["original_keys"], ListOf("b", "hidden_size", "n_layer"));
  EXPECT_EQ(trimmed["_meta_trimmed"]["original_chars"], config.Text().size());
}

}  // namespace
}  // namespace moe
