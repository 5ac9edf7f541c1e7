#include "report/recipe_data.h"

#include <gmock/gmock.h>

#include <fstream>

#include "base/temp_folder.h"

namespace moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const QuantScheme kQ4 = {"", "affine", 4, 64}, kQ8 = {"", "affine", 8, 64};

// 512 weights each: 288 bytes in q4, 544 in q8.
RecipeUnit UnitOf(int64_t layer, const QuantScheme& chosen, double at_q4, double at_q8,
                  const std::string& by) {
  RecipeUnit unit;
  unit.role = "routed_expert";
  unit.layer = layer;
  unit.proj = "down_proj";
  const std::string name = "layers." + std::to_string(layer) + ".down_proj";
  unit.modules = {{name, name, {2, 4, 64}}};
  const RecipeOption q4 = {kQ4, 288, at_q4}, q8 = {kQ8, 544, at_q8};
  const bool is_four = chosen.bits == 4;
  unit.chosen = is_four ? q4 : q8;
  unit.alternatives = {is_four ? q8 : q4};
  unit.chosen_by = by;
  return unit;
}

Recipe ThreeLayers() {
  Recipe recipe;
  recipe.model = {"headers:1", "m", "f", "bfloat16"};
  recipe.objective = {"test", 8, kQ4, 16.0};
  recipe.budget = {"bits", "6", 2000, std::nullopt};
  recipe.units = {UnitOf(0, kQ8, 9, 1, "budget"), UnitOf(1, kQ4, 3, 1, "budget"),
                  UnitOf(2, kQ4, 4, 1, "pin")};
  recipe.pins = {{"layers.2", kQ4}};
  recipe.floors = {{"attention", kQ8}, {"routed_expert", kQ4}};
  recipe.keep = {"router"};
  recipe.coverage = {3, 3, 3072, 100};
  recipe.not_known = {"this"};
  return recipe;
}

void Write(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

TEST(RecipeData, HasNothingOfARunWithoutRecipes) {
  const TempFolder folder;
  EXPECT_TRUE(RecipesJson(folder.path()).is_array());
  EXPECT_TRUE(RecipesJson(folder.path()).empty());
}

TEST(RecipeData, TellsEachRecipeByName) {
  const TempFolder folder;
  Write(folder.path() / "recipes/b.json", RecipeJson(ThreeLayers()));
  Write(folder.path() / "recipes/a.json", "{}");
  Write(folder.path() / "recipes/notes.txt", "not a recipe");
  const Json list = RecipesJson(folder.path());
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list.front()["name"].text(), "a");
  EXPECT_THAT(list.front()["error"].text(), HasSubstr("a.json"));
  const Json& one = list[1];
  EXPECT_EQ(one["name"].text(), "b");
  EXPECT_FALSE(one.contains("error"));
  EXPECT_EQ(one["bytes"].get<uint64_t>(), 100u + 544 + 288 + 288);
  EXPECT_EQ(one["source_bytes"].get<uint64_t>(), 3072u);
  EXPECT_EQ(one["bits"].get<double>(), 8.0 * 1120 / 1536);
  EXPECT_EQ(one["objective"].get<double>(), 0.5);
  EXPECT_EQ(one["reference"].text(), "q4");
  EXPECT_EQ(one["front"]["marks"].Text(),
            R"([{"name":"b","points":[[1220,0.5]]},{"name":"q4 for all","points":[[964,1.0]]},)"
            R"({"name":"mlx-lm's mixed rules","points":[]}])");
  EXPECT_EQ(one["beside"].Text(), R"([{"name":"q4 for all","bytes":964,"value":1.0,"best":1.0}])");
  EXPECT_EQ(one["choices"].Text(),
            R"({"schemes":[{"name":"q4","bits":4.5},{"name":"q8","bits":8.5}],)"
            R"("changes":[[0,0,1,0,2,0],[0,1],[1,1]]})");
  EXPECT_EQ(one["groups"].front()["parts"].Text(),
            R"([{"scheme":"q4","units":2},{"scheme":"q8","units":1}])");
  EXPECT_EQ(one["cells"].size(), 3u);
  EXPECT_EQ(one["cells"].front().Text(),
            R"({"layer":0,"proj":"down_proj","scheme":"q8","bits":8.5})");
  EXPECT_EQ(one["pins"].Text(), R"([{"what":"layers.2","scheme":"q4"}])");
  EXPECT_EQ(one["floors"].Text(), R"([{"what":"routed_expert","scheme":"q4"}])");
  EXPECT_EQ(one["held"].Text(), R"([{"by":"pin","role":"routed_expert","units":1}])");
  EXPECT_EQ(one["furthest"].front()["module"].text(), "layers.0.down_proj");
  EXPECT_EQ(one["not_known"].get<std::vector<std::string>>(), std::vector<std::string>{"this"});
}

// The third unit is pinned to q4; of the others all four choices but (q4, q8) are on the front.
TEST(RecipeData, TheFrontKeepsPins) {
  const TempFolder folder;
  Write(folder.path() / "recipes/b.json", RecipeJson(ThreeLayers()));
  const Json front = RecipesJson(folder.path()).front()["front"]["points"];
  std::vector<std::vector<double>> points;
  for (const Json& point : front) points.push_back(point.get<std::vector<double>>());
  using Point = std::vector<double>;
  EXPECT_THAT(points,
              ElementsAre(Point{100 + 864, 1, 4.5}, Point{100 + 1120, 0.5, 8.0 * 1120 / 1536},
                          Point{100 + 1376, 0.375, 8.0 * 1376 / 1536}));
}

TEST(RecipeData, WithoutAReferenceNothingIsRelative) {
  const TempFolder folder;
  Recipe recipe = ThreeLayers();
  recipe.objective.reference_value = 0;
  Write(folder.path() / "recipes/b.json", RecipeJson(recipe));
  const Json one = RecipesJson(folder.path()).front();
  EXPECT_TRUE(one["objective"].is_null());
  for (const char* key : {"front", "beside", "choices"}) EXPECT_TRUE(one[key].is_null()) << key;
}

}  // namespace
}  // namespace moe
