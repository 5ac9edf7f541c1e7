#include "recipe/mixed_rules.h"

#include <gtest/gtest.h>

#include <string>

namespace moe {
namespace {

RecipeUnit Unit(int64_t layer, const std::string& proj) {
  RecipeUnit unit;
  unit.role = "routed_expert";
  unit.layer = layer;
  unit.proj = proj;
  unit.chosen = {QuantScheme{"", "affine", 2, 64}, 20, 200.0};
  unit.alternatives = {{QuantScheme{"", "affine", 6, 64}, 60, 6.0}};
  return unit;
}

// Of 16 layers mlx_lm's rule takes 0, 1, 14, 15 and of those between each third: 4, 7, 10, 13.
TEST(PlanOf, GivesTheHighWidthToDownProjectionsOfSomeLayers) {
  Recipe recipe;
  recipe.coverage.untouched_bytes = 1000;
  for (int64_t layer = 0; layer < 16; ++layer) {
    for (const char* proj : {"gate_proj+up_proj", "down_proj"}) {
      recipe.units.push_back(Unit(layer, proj));
    }
  }
  const auto plan = PlanOf({"mixed_2_6", 2, 6}, recipe);
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->bytes, 1000u + 24 * 20 + 8 * 60);
  EXPECT_DOUBLE_EQ(plan->cost, 24 * 200.0 + 8 * 6.0);
}

TEST(PlanOf, OfOneSchemeIsBlindToFloorsAndLeavesWhatDoesNotFitAFloat) {
  Recipe recipe;
  recipe.units = {Unit(0, "down_proj"), Unit(1, "down_proj"), Unit(2, "down_proj")};
  recipe.units[0].chosen_by = "floor";
  recipe.units[1].alternatives.clear();
  recipe.units[1].modules = {{"m", "m", {10, 64}}};
  recipe.units[2].chosen_by = "keep";
  const auto plan = PlanOf(QuantScheme{"", "affine", 6, 64}, recipe);
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->bytes, 60u + 2 * 640 + 20);
  EXPECT_DOUBLE_EQ(plan->cost, 6 + 200);
  EXPECT_FALSE(PlanOf(QuantScheme{"", "affine", 5, 64}, recipe).has_value());
}

TEST(PlanOf, LeavesWhatIsNotFreeAndNeedsBothWidths) {
  Recipe recipe;
  recipe.units = {Unit(0, "down_proj"), Unit(1, "down_proj")};
  recipe.units[0].chosen_by = "pin";
  const auto plan = PlanOf({"mixed_2_6", 2, 6}, recipe);
  EXPECT_EQ(plan->bytes, 20u + 60);
  EXPECT_DOUBLE_EQ(plan->cost, 200 + 6);  // of a pin as in the recipe, which it is compared with
  EXPECT_FALSE(PlanOf({"mixed_3_6", 3, 4}, recipe).has_value());
}

}  // namespace
}  // namespace moe
