#include "recipe/exporters.h"

#include <gmock/gmock.h>

#include "base/json_text.h"
#include "recipe/sample_recipe.h"

namespace moe {
namespace {

using testing::HasSubstr;

RecipeUnit UnitOf(uint64_t rows, uint64_t cols, const StoredForm& scheme) {
  RecipeUnit unit;
  const std::string name = std::to_string(rows) + "x" + std::to_string(cols);
  unit.modules = {{name, name, {rows, cols}}};
  unit.chosen.scheme = scheme;
  return unit;
}

TEST(MlxDefault, IsTheSchemeOfMostWeightsWhoseGroupDividesEveryRow) {
  const QuantScheme q4g64 = {"", "affine", 4, 64}, q8g32 = {"", "affine", 8, 32},
                    nvfp4 = {"", "nvfp4", 4, 16};
  struct {
    std::vector<RecipeUnit> units;
    QuantScheme expected;
  } const kCases[] = {
      {{UnitOf(8, 64, q8g32), UnitOf(16, 128, q4g64)}, q4g64},
      {{UnitOf(8, 96, q8g32), UnitOf(16, 128, q4g64)}, q8g32},  // 64 is not in 96
      {{UnitOf(8, 96, q8g32), UnitOf(16, 128, q4g64), UnitOf(1, 48, nvfp4)}, nvfp4},
      {{UnitOf(8, 40, std::nullopt), UnitOf(16, 128, q4g64)}, q4g64},  // floats don't count
      {{UnitOf(8, 40, std::nullopt)}, q4g64},
      {{UnitOf(4, 64, q8g32), UnitOf(5, 64, nvfp4), UnitOf(3, 64, q8g32)}, q8g32},
  };
  for (const auto& [units, expected] : kCases) {
    Recipe recipe;
    recipe.units = units;
    const QuantScheme found = MlxDefault(recipe);
    EXPECT_EQ(found.mode, expected.mode);
    EXPECT_EQ(found.bits, expected.bits);
    EXPECT_EQ(found.group_size, expected.group_size);
  }
}

TEST(MlxConfig, HasAnEntryForEveryModuleTwice) {
  const auto config = ParseLenientJson(MlxConfigText(SampleRecipe()), "config");
  ASSERT_TRUE(config) << config.error().Text();
  const Json& block = (*config)["quantization"];
  EXPECT_EQ(block["group_size"].get<int64_t>(), 32);
  EXPECT_EQ(block["bits"].get<int64_t>(), 4);
  EXPECT_EQ(block["mode"].get<std::string>(), "mxfp4");
  const Json& down = block["model.layers.0.mlp.switch_mlp.down_proj"];
  EXPECT_EQ(down["group_size"].get<int64_t>(), 32);
  EXPECT_EQ(down["bits"].get<int64_t>(), 8);
  EXPECT_EQ(down["mode"].get<std::string>(), "affine");
  EXPECT_EQ(block["model.layers.0.mlp.gate"]["bits"].get<int64_t>(), 8);
  EXPECT_TRUE(block["lm_head"].is_boolean());
  EXPECT_FALSE(block["lm_head"].get<bool>());
  EXPECT_EQ(block.size(), 3u + 5);
  EXPECT_EQ(JsonText((*config)["quantization_config"]), JsonText(block));
}

TEST(MlxLm, WritesWhatAModuleIsCalledAsText) {
  Recipe recipe = SampleRecipe();
  recipe.units[3].modules[0].mlx = "a\": 1}; import os\n#\\";
  recipe.model.model_type = "\"\"\"{braces}";
  const std::string text = MlxLmText(recipe);
  EXPECT_THAT(text, HasSubstr(R"(    "a\": 1}; import os\n#\\": False,)"));
  EXPECT_THAT(text, HasSubstr(R"(MODEL_TYPE = "\"\"\"{braces}")"));
  EXPECT_THAT(text, HasSubstr("GROUP_SIZE, BITS, MODE = 32, 4, \"mxfp4\""));
}

TEST(Exporters, AreFoundByName) {
  for (const Exporter& exporter : Exporters()) EXPECT_EQ(FindExporter(exporter.name), &exporter);
  EXPECT_EQ(FindExporter("gguf"), nullptr);
}

}  // namespace
}  // namespace moe
