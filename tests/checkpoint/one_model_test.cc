#include "checkpoint/one_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/temp_folder.h"
#include "base/test_files.h"
#include "checkpoint/scalars.h"

namespace moe {
namespace {

using testing::HasSubstr;

// Files by name with the tensors that they hold.
struct ModelCase {
  const char* name;
  std::vector<std::pair<std::string, std::vector<std::string>>> files;
  const char* models;  // "": one model
};

const ModelCase kModelCases[] = {
    {"FilesByLayer",
     {{"l0.safetensors", {"model.layers.0.mlp.experts.0.up_proj.weight"}},
      {"l1.safetensors", {"model.layers.1.mlp.experts.0.up_proj.weight"}}},
     ""},
    {"ExpertsOfOneLayerInTwoFiles",
     {{"a.safetensors", {"model.layers.0.mlp.experts.0.up_proj.weight"}},
      {"b.safetensors", {"model.layers.0.mlp.experts.1.up_proj.weight"}}},
     ""},
    {"StacksOfOneModel",
     {{"e.safetensors", {"model.encoder.layers.0.mlp.experts.0.up_proj.weight"}},
      {"d.safetensors", {"model.decoder.layers.0.ffn.experts.0.up_proj.weight"}}},
     ""},
    {"OneNameTwice",
     {{"a.safetensors", {"x", "y"}}, {"b.safetensors", {"y"}}, {"c.safetensors", {"z"}}},
     "holds 2 models: a.safetensors, b.safetensors (tensor 'y' stands in two)"},
    {"OneNameInTwoSetsOfParts",
     {{"m-1-of-2.safetensors", {"x"}},
      {"m-2-of-2.safetensors", {"y"}},
      {"m-1-of-1.safetensors", {"x"}}},
     "holds 2 models: m-*-of-1.safetensors, m-*-of-2.safetensors"},
    {"OneNameInAWrapper",
     {{"a.safetensors", {"model.embed_tokens.weight"}},
      {"b.safetensors", {"language_model.model.embed_tokens.weight"}}},
     "holds 2 models: a.safetensors, b.safetensors"},
    {"ExpertsOfOneLayerInTwoModules",
     {{"a.safetensors", {"model.layers.0.mlp.experts.0.up_proj.weight"}},
      {"b.safetensors", {"model.layers.0.block_sparse_moe.experts.0.w1.weight"}}},
     "holds 2 models: a.safetensors, b.safetensors"},
    {"ExpertsAndStacksOfOneLayer",
     {{"a.safetensors", {"model.layers.0.mlp.experts.0.up_proj.weight"}},
      {"b.safetensors", {"model.layers.0.mlp.switch_mlp.up_proj.weight"}}},
     "holds 2 models: a.safetensors, b.safetensors"},
    {"SetsOfOtherCounts",
     {{"m-1-of-2.safetensors", {"x"}}, {"m-1-of-1.safetensors", {"y"}}},
     "holds 2 models: m-*-of-1.safetensors, m-*-of-2.safetensors"},
    {"InTwoFolders",
     {{"a/m.safetensors", {"x"}}, {"b/m.safetensors", {"x"}}},
     "holds 2 models: a/m.safetensors, b/m.safetensors"},
};

class OneModel : public testing::TestWithParam<ModelCase> {};

TEST_P(OneModel, IsToldFromSeveral) {
  const TempFolder folder;
  std::vector<std::unique_ptr<TensorFile>> files;
  for (const auto& [name, tensors] : GetParam().files) {
    files.push_back(*OpenTensorFile(folder.Write(name, Scalars(tensors))));
  }
  files.push_back(nullptr);
  const std::string models = GetParam().models;
  const auto done = CheckOneModel(files);
  ASSERT_EQ(done.has_value(), models.empty()) << (done ? "" : done.error().Text());
  if (done) return;
  EXPECT_EQ(done.error().where, folder.path().string());
  EXPECT_THAT(done.error().message, HasSubstr(models));
}

INSTANTIATE_TEST_SUITE_P(All, OneModel, testing::ValuesIn(kModelCases),
                         [](const auto& test) { return test.param.name; });

TEST(OneModel, TwoGgufFilesWithAnArchitectureAreTwo) {
  const std::filesystem::path zoo = TestData() / "zoo";
  std::vector<std::unique_ptr<TensorFile>> files;
  files.push_back(*OpenTensorFile(zoo / "gguf_kquants/model.gguf"));
  EXPECT_TRUE(CheckOneModel(files).has_value());
  files.push_back(*OpenTensorFile(zoo / "gguf_glm4moe_f16_shared/model.gguf"));
  const auto done = CheckOneModel(files);
  ASSERT_FALSE(done.has_value());
  EXPECT_THAT(done.error().message, HasSubstr("gguf_glm4moe_f16_shared/model.gguf"));
}

}  // namespace
}  // namespace moe
