#include "recipe/recipe.h"

#include <gmock/gmock.h>

#include "base/json_text.h"
#include "base/temp_folder.h"
#include "base/test_files.h"
#include "recipe/sample_recipe.h"

namespace moe {
namespace {

using testing::HasSubstr;

TEST(StoredBytes, AreThoseOfMlxsFiles) {
  struct {
    StoredForm scheme;
    uint64_t bytes;
  } const kCases[] = {
      {QuantScheme{"", "affine", 4, 64}, 3 * 8 * 128 / 2 + 3 * 8 * 2 * 4},
      {QuantScheme{"", "affine", 3, 128}, 3 * 8 * 128 * 3 / 8 + 3 * 8 * 4},
      {QuantScheme{"", "mxfp4", 4, 32}, 3 * 8 * 128 / 2 + 3 * 8 * 4},
      {QuantScheme{"", "mxfp8", 8, 32}, 3 * 8 * 128 + 3 * 8 * 4},
      {QuantScheme{"", "nvfp4", 4, 16}, 3 * 8 * 128 / 2 + 3 * 8 * 8},
      {std::nullopt, 3 * 8 * 128 * 2},
  };
  const std::vector<uint64_t> shape = {3, 8, 128};
  for (const auto& [scheme, bytes] : kCases) EXPECT_EQ(StoredBytes(shape, scheme, 16), bytes);
  EXPECT_EQ(StoredBytes(shape, QuantScheme{"", "affine", 4, 64}, 32), 1536 + 3 * 8 * 2 * 8);
  EXPECT_EQ(StoredBytes(shape, std::nullopt, 32), 12288);
}

TEST(StoredBytes, AreNoneWhereASchemeDoesNotFit) {
  const std::vector<uint64_t> odd = {8, 96}, huge = {uint64_t{1} << 40, uint64_t{1} << 17};
  EXPECT_EQ(StoredBytes(odd, QuantScheme{"", "affine", 4, 64}, 16), std::nullopt);
  EXPECT_EQ(StoredBytes(odd, QuantScheme{"", "affine", 4, 0}, 16), std::nullopt);
  EXPECT_EQ(StoredBytes(odd, QuantScheme{"", "q4_K", 4, 32}, 16), std::nullopt);
  EXPECT_EQ(StoredBytes(huge, std::nullopt, 16), std::nullopt);
  EXPECT_EQ(StoredBytes(std::vector<uint64_t>(), std::nullopt, 16), std::nullopt);
}

/// Reads `text` as a recipe.
Result<Recipe> Read(const std::string& text) {
  const TempFolder folder;
  return ReadRecipe(folder.Write("recipe.json", text));
}

TEST(Recipe, IsReadAsItWasWritten) {
  const std::string text = RecipeJson(SampleRecipe());
  const auto read = Read(text);
  ASSERT_TRUE(read) << read.error().Text();
  EXPECT_EQ(RecipeJson(*read), text);
  ASSERT_EQ(read->units.size(), 4u);
  EXPECT_EQ(read->units[0].chosen.scheme->mode, "mxfp4");
  EXPECT_EQ(read->units[0].cost_terms.at("energy"), 2.5);
  EXPECT_EQ(read->units[0].modules[1].hf, "model.layers.0.mlp.experts.*.up_proj");
  EXPECT_EQ(read->units[2].chosen.cost, std::nullopt);
  EXPECT_EQ(read->units[3].layer, std::nullopt);
  EXPECT_FALSE(read->units[3].chosen.scheme);
  EXPECT_EQ(read->pins[0].pattern, "lm_head");
  EXPECT_EQ(read->objective.reference->bits, 4);
}

TEST(Recipe, TellsWhatFollowsFromItsUnits) {
  const auto json = ParseLenientJson(RecipeJson(SampleRecipe()), "recipe");
  ASSERT_TRUE(json);
  const Json& coverage = (*json)["coverage"];
  EXPECT_EQ(coverage["bytes"].get<uint64_t>(), 8704u + 9216 + 144 + 4096 + 640);
  EXPECT_EQ(coverage["quantized_weights"].get<uint64_t>(), 16384u + 8192 + 128);
  EXPECT_DOUBLE_EQ(coverage["bits_per_weight"].get<double>(), 8.0 * (8704 + 9216 + 144) / 24704);
  EXPECT_EQ((*json)["units"][0]["weights"].get<uint64_t>(), 16384u);
}

/// `text` with its first `from` as `to`.
std::string Changed(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Recipe, NamesTheKeyThatIsBroken) {
  struct {
    const char *from, *to, *says;
  } const kCases[] = {
      {"\"schema_version\": 1", "\"schema_version\": 2",
       "/schema_version: is 2, but this program reads 1"},
      {"\"schema_version\": 1", "\"version\": 1", "/schema_version: is missing"},
      {"\"dtype\": \"bfloat16\"", "\"dtype\": \"fp4\"",
       "/model/dtype: must be one of bfloat16, float16, float32, but is \"fp4\""},
      {"\"layer\": 0", "\"layer\": \"0\"", "/units/0/layer: must be an integer, or null"},
      {"\"mlx\"", "\"MLX\"", "/units/0/modules/0/mlx: is missing"},
      {"\"bytes\": 8704", "\"bytes\": -1", "/units/0/chosen/bytes: must be an integer from 0 on"},
      {"\"bytes\": 8704", "\"bytes\": 8705",
       "/units/0/chosen/bytes: is 8705, but mxfp4 4 bits in groups of 32 takes 8704 bytes"},
      {"\"mode\": \"mxfp4\"", "\"mode\": \"fp4\"",
       "/units/0/chosen/scheme: must be \"float\", or an object of mode"},
      {"\"bits\": 6", "\"bits\": 7", "/floors/0/scheme: must be"},
      {"\"energy\": 2.5", "\"energy\": NaN", "/units/0/cost_terms: must be an object of numbers"},
      {"\"weights\": 16384", "\"weights\": 1", "/units/0/weights: is not the 16384"},
      {"mlp.switch_mlp.up_proj", "mlp.switch_mlp.gate_proj",
       "/units/0/modules/1/mlx: 'model.layers.0.mlp.switch_mlp.gate_proj' is in another unit, too"},
      {"model.layers.0.mlp.switch_mlp.up_proj", "group_size",
       "/units/0/modules/1/mlx: 'group_size' is no module's path: in MLX's config it says what the "
       "default is"},
      {"model.layers.0.mlp.switch_mlp.gate_proj", "mode", "/units/0/modules/0/mlx: 'mode' is no"},
      {"model.layers.0.mlp.switch_mlp.gate_proj", "bits", "/units/0/modules/0/mlx: 'bits' is no"},
      {"\"untouched_bytes\": 640", "\"untouched_bytes\": 641", "/coverage/bytes: is not the 22801"},
      {"\"bytes\": 10240", "\"bytes\": 10241", "/units/0/alternatives/0/bytes"},
      {"\"schema_version\": 1", "\"schema_version\": 1,,", "recipe.json"},
  };
  const std::string text = RecipeJson(SampleRecipe());
  for (const auto& [from, to, says] : kCases) {
    const auto read = Read(Changed(text, from, to));
    ASSERT_FALSE(read) << says;
    EXPECT_EQ(read.error().code, ErrorCode::kMalformed);
    EXPECT_THAT(read.error().Text(), HasSubstr(says));
    EXPECT_THAT(read.error().Text(), HasSubstr("recipe.json"));
  }
  EXPECT_THAT(Read("[]").error().Text(), HasSubstr("must be an object"));
}

TEST(Recipe, RefusesWhatDoesNotFitOrIsTooLarge) {
  Recipe recipe = SampleRecipe();
  recipe.units[1].chosen.scheme = QuantScheme{"", "affine", 8, 128};  // of rows of 64
  EXPECT_THAT(Read(RecipeJson(recipe)).error().Text(),
              HasSubstr("/units/1/chosen/scheme: affine 8 bits in groups of 128 does not fit"));
  recipe = SampleRecipe();
  recipe.units[3].modules[0].shape = {uint64_t{1} << 40, uint64_t{1} << 40};
  EXPECT_THAT(Read(RecipeJson(recipe)).error().Text(),
              HasSubstr("/units/3/modules/0/shape: is more than 2^56 weights"));
  recipe = SampleRecipe();
  recipe.units[3].modules.clear();
  EXPECT_THAT(Read(RecipeJson(recipe)).error().Text(), HasSubstr("/units/3/modules: is empty"));
}

TEST(Recipe, ItsSchemaIsInTheDocs) { EXPECT_EQ(RecipeSchemaText(), DocText("recipe.schema.json")); }

}  // namespace
}  // namespace moe
