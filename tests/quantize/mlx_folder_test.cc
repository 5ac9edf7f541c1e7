#include "quantize/mlx_folder.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/temp_folder.h"
#include "base/test_json.h"

namespace moe {
namespace {

const Json kBlock = {{"group_size", 64}, {"bits", 4}, {"mode", "affine"}};

Json Written(const char* config, const char* generation = "null") {
  return AsJson(ConfigText(AsJson(config), AsJson(generation), kBlock));
}

// Python: json.dump(dict(sorted(...)), indent=4).
TEST(ConfigText, IsWrittenAsPythonDoes) {
  EXPECT_EQ(ConfigText(AsJson(R"({"b": [1, 1e-6], "a": {"y": {}, "x": "é"}, "c": 10000.0})"),
                       Json(), {{"bits", 4}}),
            R"({
    "a": {
        "y": {},
        "x": "\u00e9"
    },
    "b": [
        1,
        1e-06
    ],
    "c": 10000.0,
    "quantization": {
        "bits": 4
    },
    "quantization_config": {
        "bits": 4
    }
})");
}

TEST(ConfigText, LeavesOutWhatMlxLmDoesAndTheSourcesQuantization) {
  const Json config = Written(R"({"_name_or_path": "x", "vision_config": {}, "hidden_size": 4,
      "quantization_config": {"quant_method": "fp8"},
      "text_config": {"a": 1, "quantization_config": {"quant_method": "fp8"}}})");
  EXPECT_EQ(config, AsJson(R"({"hidden_size": 4,
      "quantization": {"group_size": 64, "bits": 4, "mode": "affine"},
      "quantization_config": {"group_size": 64, "bits": 4, "mode": "affine"},
      "text_config": {"a": 1}})"));
}

TEST(ConfigText, TheEndOfTextIsTheGenerationConfigs) {
  const char* config = R"({"eos_token_id": 1})";
  EXPECT_EQ(Written(config, R"({"eos_token_id": 2})")["eos_token_id"], Json(2));
  EXPECT_EQ(Written(config, R"({"eos_token_id": [3]})")["eos_token_id"], Json::Array({3}));
  for (const char* nothing : {"{}", R"({"eos_token_id": 0})", R"({"eos_token_id": []})"}) {
    EXPECT_EQ(Written(config, nothing)["eos_token_id"], Json(1));
  }
}

TEST(ConfigText, NumbersThatAreNotFiniteAreTagged) {
  const Json limit = {{"limit", std::numeric_limits<double>::infinity()}};
  EXPECT_EQ(AsJson(ConfigText(limit, Json(), kBlock))["limit"],
            AsJson(R"({"__float__": "Infinity"})"));
}

TEST(FilesToCopy, AreThoseBesideTheWeights) {
  const TempFolder folder;
  for (const char* name : {"tokenizer.json", "merges.txt", "tokenizer.model", "x.py", "a.jinja",
                           "config.json", "model.safetensors", "model.safetensors.index.json",
                           "quantize_config.json", "README.md", ".hidden.json", "a.bin"}) {
    folder.Write(name);
  }
  std::vector<std::string> names;
  for (const auto& path : FilesToCopy(folder.path())) names.push_back(path.filename().string());
  EXPECT_EQ(names, (std::vector<std::string>{"a.jinja", "merges.txt", "tokenizer.json",
                                             "tokenizer.model", "x.py"}));
}

}  // namespace
}  // namespace moe
