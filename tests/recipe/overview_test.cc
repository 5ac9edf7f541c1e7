#include "recipe/overview.h"

#include <gmock/gmock.h>

#include "sample_recipe.h"

namespace moe {
namespace {

using testing::ElementsAre;

TEST(Overview, BitsAreThoseOfWhatIsQuantized) {
  const Recipe recipe = SampleRecipe();
  EXPECT_EQ(BitsOf(recipe.units[0]), 4.25);
  EXPECT_EQ(BitsOf(recipe.units[3]), 16);
  // 8704, 9216 and 144 bytes of 16384, 8192 and 128 weights; lm_head stays a float.
  EXPECT_EQ(MeanBits(recipe), 8.0 * 18064 / 24704);
  Recipe nothing;
  EXPECT_EQ(MeanBits(nothing), 0);
}

TEST(Overview, UnitsAreCountedByRoleAndExpertsByProjection) {
  Recipe recipe = SampleRecipe();
  recipe.units.push_back(recipe.units[1]);
  recipe.units.back().chosen = {QuantScheme{"", "affine", 4, 32}, 5120, 1};
  recipe.units.push_back(recipe.units[1]);
  std::vector<std::string> names;
  const auto groups = GroupsOf(recipe);
  for (const RecipeGroup& group : groups) names.push_back(group.role + "/" + group.proj);
  EXPECT_THAT(names, ElementsAre("embedding/", "routed_expert/down_proj",
                                 "routed_expert/gate_proj+up_proj", "router/"));
  EXPECT_EQ(groups[1].weights, 3u * 8192);
  EXPECT_EQ(groups[1].bytes, 2u * 9216 + 5120);
  ASSERT_EQ(groups[1].parts.size(), 2u);
  EXPECT_EQ(groups[1].parts[0].scheme->bits, 4);  // the fewest bits first
  EXPECT_EQ(groups[1].parts[0].units, 1u);
  EXPECT_EQ(groups[1].parts[1].bits, 9);
  EXPECT_EQ(groups[1].parts[1].units, 2u);
  EXPECT_FALSE(groups[0].parts[0].scheme);
}

TEST(Overview, UnitsFurthestFromTheMeanAreNeitherKeptNorFloats) {
  const Recipe recipe = SampleRecipe();  // 5.85 bits: 4.25 is nearer than 9
  std::vector<std::string> projs;
  for (const RecipeUnit* unit : FurthestUnits(recipe, 10)) projs.push_back(unit->proj);
  EXPECT_THAT(projs, ElementsAre("down_proj", "gate_proj+up_proj"));
  EXPECT_EQ(FurthestUnits(recipe, 1).size(), 1u);
}

}  // namespace
}  // namespace moe
