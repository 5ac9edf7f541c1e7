#include "recipe/plan.h"

#include <gmock/gmock.h>

#include "base/temp_folder.h"

namespace moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const QuantScheme kQ4 = {"", "affine", 4, 32}, kQ8 = {"", "affine", 8, 32},
                  kQ6 = {"", "affine", 6, 32};  // 5, 9 and 7 bits a weight

RecipeUnit UnitOf(const std::string& role, std::optional<int64_t> layer, const std::string& proj,
                  std::vector<uint64_t> shape, double at_q4, double at_q8) {
  RecipeUnit unit;
  unit.role = role;
  unit.layer = layer;
  unit.proj = proj;
  const std::string name = layer ? "layers." + std::to_string(*layer) + "." + proj : proj;
  unit.modules = {{"mlx." + name, "hf." + name, std::move(shape)}};
  unit.chosen = {std::nullopt, *StoredBytes(unit, std::nullopt, 16), 0};
  unit.alternatives = {{kQ4, *StoredBytes(unit, kQ4, 16), at_q4},
                       {kQ8, *StoredBytes(unit, kQ8, 16), at_q8}};
  return unit;
}

// In q4 and q8: up 5120 and 9216 bytes, down 2560 and 4608, lm_head 640 and 1152; the router 144.
Recipe TwoLayers() {
  Recipe recipe;
  recipe.objective.name = "test";
  recipe.coverage.untouched_bytes = 1000;
  recipe.units = {UnitOf("routed_expert", 0, "up_proj", {4, 64, 32}, 8, 1),
                  UnitOf("routed_expert", 0, "down_proj", {2, 64, 32}, 9, 1),
                  UnitOf("routed_expert", 1, "up_proj", {4, 64, 32}, 4, 1),
                  UnitOf("routed_expert", 1, "down_proj", {2, 64, 32}, 2, 1),
                  UnitOf("embedding", std::nullopt, "lm_head", {16, 64}, 3, 1),
                  UnitOf("router", 0, "gate", {4, 32}, 0, 0)};
  recipe.units.back().chosen = {kQ8, 144, std::nullopt};
  return recipe;
}

PlanRules KeepingRouters() {
  PlanRules rules;
  rules.keep = {"router"};
  return rules;
}

Plan Of(const PlanRules& rules = KeepingRouters()) {
  auto plan = Plan::Create(TwoLayers(), rules);
  EXPECT_TRUE(plan) << plan.error().Text();
  return std::move(*plan);
}

/// By unit; 0: a float.
std::vector<int64_t> BitsOf(const Recipe& recipe) {
  std::vector<int64_t> bits;
  for (const RecipeUnit& unit : recipe.units) {
    bits.push_back(unit.chosen.scheme ? unit.chosen.scheme->bits : 0);
  }
  return bits;
}

TEST(Plan, TakesTheLeastCostInItsBits) {
  // 25728 weights; 16144 bytes at least, and 17688 in 5.5 bits: what is left buys lm_head's 512.
  const auto recipe = Of().AtBits(5.5);
  ASSERT_TRUE(recipe) << recipe.error().Text();
  EXPECT_THAT(BitsOf(*recipe), ElementsAre(4, 4, 4, 4, 8, 8));
  EXPECT_EQ(recipe->objective.value, 8 + 9 + 4 + 2 + 1);
  EXPECT_EQ(recipe->budget.kind, "bits");
  EXPECT_EQ(recipe->budget.bytes, 17688u);
  EXPECT_EQ(recipe->units[5].chosen_by, "keep");
  EXPECT_EQ(recipe->units[4].chosen_by, "budget");
  ASSERT_EQ(recipe->units[4].alternatives.size(), 1u);
  EXPECT_EQ(recipe->units[4].alternatives[0].scheme->bits, 4);
  // 19296 bytes: down of layer 0 and lm_head.
  EXPECT_THAT(BitsOf(*Of().AtBits(6)), ElementsAre(4, 8, 4, 4, 8, 8));
  EXPECT_THAT(BitsOf(*Of().AtBits(1e300)), ElementsAre(8, 8, 8, 8, 8, 8));
}

TEST(Plan, TakesTheLeastCostInASizeOfAllFiles) {
  const auto recipe = Of().AtSize(1000 + 16144 + 512);
  ASSERT_TRUE(recipe);
  EXPECT_THAT(BitsOf(*recipe), ElementsAre(4, 4, 4, 4, 8, 8));
  EXPECT_EQ(recipe->bytes(), 1000u + 16144 + 512);
  EXPECT_THAT(BitsOf(*Of().AtSize(1000 + 16144 + 511)), ElementsAre(4, 4, 4, 4, 4, 8));
}

TEST(Plan, TakesTheFewestBytesThatAreGoodEnough) {
  EXPECT_THAT(BitsOf(*Of().AsGoodAs(kQ4, 0.7)), ElementsAre(4, 8, 4, 4, 4, 8));
  const auto as_q4 = Of().AsGoodAs(kQ4);
  ASSERT_TRUE(as_q4);
  EXPECT_THAT(BitsOf(*as_q4), ElementsAre(4, 4, 4, 4, 4, 8));
  EXPECT_EQ(as_q4->budget.kind, "as_good_as");
  EXPECT_EQ(as_q4->budget.cost, 26);
  EXPECT_THAT(Of().AsGoodAs({"", "affine", 3, 64}).error().Text(), HasSubstr("affine 3 bits"));
}

TEST(Plan, NamesTheNearestBudgetThatCanBeMet) {
  EXPECT_THAT(Of().AtBits(5).error().Text(), HasSubstr("the fewest bits are 5.0200"));  // 5.01990
  EXPECT_TRUE(Of().AtBits(5.0200));
  EXPECT_THAT(Of().AtSize(17143).error().Text(), HasSubstr("the fewest are 17144"));
  EXPECT_THAT(Of().AsGoodAs(kQ4, 0.15).error().Text(), HasSubstr("the least is 0.1924"));  // 5/26
  EXPECT_TRUE(Of().AsGoodAs(kQ4, 0.1924));
  EXPECT_EQ(Of().AsGoodAs(kQ4, 0.15).error().code, ErrorCode::kBadArgument);
}

TEST(Plan, IsReadFromTheRecipeThatItMade) {
  PlanRules rules = KeepingRouters();
  rules.pins = {{R"(hf\.layers\.1\.up)", kQ8}};
  rules.floors = {{"embedding", kQ8}};
  for (const char* unit : {"layer-proj", "layer"}) {
    rules.unit = unit;
    const Plan plan = Of(rules);
    const auto again = Plan::Of(*plan.AtSize(100'000));
    ASSERT_TRUE(again) << again.error().Text();
    const auto front = plan.Front(50), second = again->Front(50);
    ASSERT_GT(front.size(), 2u);
    ASSERT_EQ(front.size(), second.size());
    for (size_t i = 0; i < front.size(); ++i) {
      EXPECT_EQ(front[i].bytes, second[i].bytes);
      EXPECT_EQ(front[i].bits, second[i].bits);
      EXPECT_DOUBLE_EQ(front[i].cost, second[i].cost);
    }
    EXPECT_EQ(plan.AsGoodAs(kQ4)->bytes(), again->AsGoodAs(kQ4)->bytes());
  }
}

TEST(Plan, PinsGoBeforeWhatIsKept) {
  PlanRules rules = KeepingRouters();
  rules.pins = {{"gate$", std::nullopt}, {R"(hf\.layers\.1\.)", kQ6}};
  const auto recipe = Of(rules).AtSize(100'000);
  ASSERT_TRUE(recipe);
  EXPECT_THAT(BitsOf(*recipe), ElementsAre(8, 8, 6, 6, 8, 0));
  EXPECT_EQ(recipe->units[5].chosen_by, "pin");
  EXPECT_EQ(recipe->units[2].chosen.bytes, 8192u * 7 / 8);
  EXPECT_EQ(recipe->units[2].chosen.cost, std::nullopt);  // was not measured
  EXPECT_EQ(recipe->pins.size(), 2u);
}

TEST(Plan, BitsLeaveEveryByteThatTheyAllow) {
  Recipe recipe;
  recipe.units = {UnitOf("attention", 0, "odd", {1, 96}, 0, 0),
                  UnitOf("other", 0, "a", {13, 32}, 3, 1), UnitOf("other", 0, "b", {11, 32}, 3, 2)};
  PlanRules rules;
  rules.pins = {{"odd", QuantScheme{"", "mxfp4", 4, 32}}};  // 51 bytes of 915 in 864 weights
  const auto plan = Plan::Create(recipe, rules);
  ASSERT_TRUE(plan) << plan.error().Text();
  const auto most = plan->AtBits(16);
  ASSERT_TRUE(most) << most.error().Text();
  EXPECT_THAT(BitsOf(*most), ElementsAre(4, 8, 8));
  EXPECT_EQ(most->budget.bytes, 51u + 468 + 396);
  for (const Plan::Point& point : plan->Front(1000)) {  // the bits of a choice buy it
    const auto bought = plan->AtBits(point.bits);
    ASSERT_TRUE(bought) << bought.error().Text();
    EXPECT_EQ(bought->budget.bytes, point.bytes);
    EXPECT_EQ(bought->objective.value, point.cost);
  }
}

TEST(Plan, FloatsDontCountInBits) {
  PlanRules rules = KeepingRouters();
  rules.pins = {{"lm_head", std::nullopt}};
  const auto recipe = Of(rules).AtBits(5.03);  // 24704 weights: 15532 bytes of 15504 at least
  ASSERT_TRUE(recipe);
  EXPECT_THAT(BitsOf(*recipe), ElementsAre(4, 4, 4, 4, 0, 8));
  EXPECT_EQ(recipe->budget.bytes, 15532u + 2048);
}

TEST(Plan, AFloorLeavesOutFewerBits) {
  PlanRules rules = KeepingRouters();
  rules.floors = {{"embedding", kQ6}, {"attention", kQ8}};
  const auto recipe = Of(rules).AtSize(1000 + 16144 + 512);
  ASSERT_TRUE(recipe);
  EXPECT_THAT(BitsOf(*recipe), ElementsAre(4, 4, 4, 4, 8, 8));
  EXPECT_EQ(recipe->units[4].chosen_by, "floor");
  EXPECT_EQ(recipe->units[0].chosen_by, "budget");
}

TEST(Plan, AFloorThatNoCandidateReachesLeavesAFloat) {
  PlanRules rules = KeepingRouters();
  rules.floors = {{"embedding", QuantScheme{"", "mxfp8", 8, 32}}, {"routed_expert", kQ8}};
  Recipe start = TwoLayers();
  for (const size_t of_q4 : {0, 4}) start.units[of_q4].alternatives.resize(1);
  const auto recipe = Plan::Create(start, rules)->AtBits(9);
  ASSERT_TRUE(recipe) << recipe.error().Text();
  EXPECT_THAT(BitsOf(*recipe), ElementsAre(0, 8, 8, 8, 0, 8));
  EXPECT_EQ(recipe->units[0].chosen_by, "floor");
  EXPECT_THAT(BitsOf(*Plan::Of(*recipe)->AtBits(9)), ElementsAre(0, 8, 8, 8, 0, 8));
}

TEST(Plan, AFloorOfFloatsKeepsThem) {
  PlanRules rules = KeepingRouters();
  rules.floors = {{"embedding", std::nullopt}};
  const auto recipe = Of(rules).AtBits(5.03);  // as where the pin says so
  ASSERT_TRUE(recipe) << recipe.error().Text();
  EXPECT_THAT(BitsOf(*recipe), ElementsAre(4, 4, 4, 4, 0, 8));
  const RecipeUnit& head = recipe->units[4];
  EXPECT_EQ(head.chosen_by, "floor");
  EXPECT_EQ(head.chosen.bytes, 2048u);
  EXPECT_EQ(head.chosen.cost, 0);
  EXPECT_EQ(head.alternatives.size(), 2u);
  EXPECT_EQ(recipe->budget.bytes, 15532u + 2048);
  const auto again = Plan::Of(*recipe);
  ASSERT_TRUE(again) << again.error().Text();
  EXPECT_THAT(BitsOf(*again->AtBits(5.03)), ElementsAre(4, 4, 4, 4, 0, 8));
}

TEST(Plan, UnitsOfARoleMayChooseTogether) {
  struct {
    const char* unit;
    std::vector<int64_t> bits;  // where lm_head and one more step of the cheapest fit
    uint64_t bytes;
  } const kCases[] = {{"layer-proj", {4, 8, 4, 4, 8, 8}, 2560},
                      {"layer", {8, 4, 8, 8}, 6144 + 512},
                      {"proj", {4, 8, 8, 8}, 4096 + 512},
                      {"model", {8, 8, 8}, 12288 + 512}};
  for (const auto& [unit, bits, bytes] : kCases) {
    PlanRules rules = KeepingRouters();
    rules.unit = unit;
    const auto recipe = Of(rules).AtSize(1000 + 16144 + bytes);
    ASSERT_TRUE(recipe) << unit;
    EXPECT_EQ(BitsOf(*recipe), bits) << unit;
    EXPECT_EQ(recipe->unit, unit);
  }
  PlanRules rules = KeepingRouters();
  rules.unit = "model";
  const Recipe recipe = *Of(rules).AtBits(6);
  EXPECT_EQ(recipe.units[0].modules.size(), 4u);
  EXPECT_EQ(recipe.units[0].layer, std::nullopt);
  EXPECT_EQ(recipe.units[0].proj, "*");
  EXPECT_EQ(recipe.units[0].chosen.cost, 8 + 9 + 4 + 2);
}

TEST(Plan, JoinedUnitsHaveTheTermsThatHoldForAll) {
  Recipe recipe = TwoLayers();
  recipe.units[0].cost_terms = {{"factor", 1}, {"residual", 7}};
  recipe.units[1].cost_terms = {{"factor", 2}, {"residual", 7}, {"energy", 2.5}};
  recipe.units[2].cost_terms = {{"factor", 1}, {"residual", 9}};
  recipe.units[3].cost_terms = {{"factor", 2}, {"energy", 1.5}};
  struct {
    const char* unit;
    std::map<std::string, double> terms;
  } const kCases[] = {{"layer-proj", {{"factor", 1}, {"residual", 7}}},
                      {"layer", {{"residual", 7}, {"energy", 2.5}}},
                      {"proj", {{"factor", 1}}},
                      {"model", {{"energy", 4}}}};
  for (const auto& [unit, terms] : kCases) {
    PlanRules rules = KeepingRouters();
    rules.unit = unit;
    const auto plan = Plan::Create(recipe, rules);
    ASSERT_TRUE(plan) << plan.error().Text();
    EXPECT_EQ(plan->AtBits(6)->units[0].cost_terms, terms) << unit;
  }
}

TEST(Plan, RefusesPinsThatCantHold) {
  struct {
    std::vector<Recipe::Pin> pins;
    const char* says;
  } const kCases[] = {
      {{{"layers\\.9", kQ4}}, "pin 'layers\\.9': matches the name of no module"},
      {{{"(", kQ4}}, "pin '('"},
      {{{"lm_head", kQ4}, {"head", kQ8}},
       "pin 'head': contradicts the pin 'lm_head' of mlx.lm_head"},
      {{{"down", QuantScheme{"", "affine", 4, 64}}},
       "pin 'down': affine 4 bits in groups of 64 does not fit mlx.layers.0.down_proj"},
  };
  for (const auto& [pins, says] : kCases) {
    PlanRules rules = KeepingRouters();
    rules.pins = pins;
    const auto plan = Plan::Create(TwoLayers(), rules);
    ASSERT_FALSE(plan) << says;
    EXPECT_THAT(plan.error().Text(), HasSubstr(says));
  }
  PlanRules twice = KeepingRouters();
  twice.pins = {{"lm_head", kQ8}, {"head", kQ8}};  // say the same
  EXPECT_TRUE(Plan::Create(TwoLayers(), twice));
}

TEST(Plan, WhatHasNoCandidateStaysAsItIs) {
  Recipe recipe = TwoLayers();
  recipe.units[4].alternatives.clear();
  recipe.units[3].alternatives[0].cost = std::nullopt;  // failed
  const auto plan = Plan::Create(recipe, KeepingRouters());
  ASSERT_TRUE(plan);
  EXPECT_THAT(BitsOf(*plan->AtSize(1'000'000)), ElementsAre(8, 8, 8, 8, 0, 8));
  EXPECT_THAT(BitsOf(*plan->AtSize(1000 + 5120 + 2560 + 5120 + 4608 + 2048 + 144)),
              ElementsAre(4, 4, 4, 8, 0, 8));
}

TEST(Plan, ItsFrontGoesFromTheSmallestToTheBest) {
  const auto front = Of().Front(1000);
  ASSERT_GT(front.size(), 3u);
  EXPECT_EQ(front.front().bytes, 17144u);
  EXPECT_NEAR(front.front().bits, 5.0199, 1e-4);
  EXPECT_EQ(front.front().cost, 26);
  EXPECT_EQ(front[1].bytes, 17144u + 512);
  EXPECT_EQ(front.back().cost, 5);
  EXPECT_DOUBLE_EQ(front.back().bits, 9);
}

TEST(Plan, ItsRecipesCanBeReadBack) {
  for (const char* unit : {"layer-proj", "model"}) {
    PlanRules rules = KeepingRouters();
    rules.unit = unit;
    rules.pins = {{"lm_head", std::nullopt}};
    const TempFolder folder;
    const auto recipe = Of(rules).AtBits(6);
    ASSERT_TRUE(recipe);
    const auto read = ReadRecipe(folder.Write("recipe.json", RecipeJson(*recipe)));
    ASSERT_TRUE(read) << read.error().Text();
    EXPECT_EQ(RecipeJson(*read), RecipeJson(*recipe));
  }
}

}  // namespace
}  // namespace moe
