#include "experts/families.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "experts/extract_weight.h"

namespace moe {
namespace {

using testing::HasSubstr;

constexpr const char *kGate = kGateProj, *kUp = kUpProj, *kDown = kDownProj;

// Nothing of it is like the known families: prefix, module, tails, router, shared expert.
const std::vector<LayoutClass> kLayouts = {
    {"bank",
     {{"bank.w_in", 3, {kGate, kUp}, AxisOrder::kByShapes},
      {"bank.w_out", 3, {kDown}, AxisOrder::kByShapes}}},
    {"units",
     {{"unit_#.w_gate", 2, {kGate}}, {"unit_#.w_up", 2, {kUp}}, {"unit_#.w_out", 2, {kDown}}}},
    {"rows", {{"flat.w_out", 2, {kDown}, AxisOrder::kRowsInOut}}},
    {"common", {{"w_gate", 2, {kGate}}, {"w_up", 2, {kUp}}, {"w_out", 2, {kDown}}}},
};
const std::vector<Family> kFamilies = {{"1",
                                        "toy",
                                        "Toy",
                                        {"toy"},
                                        {},
                                        {{"bank", "mix"}, {"units", "mix"}, {"rows", "mix"}},
                                        {{"common", R"(mix\.common)"}},
                                        {"M.picker.weight", "M.picker.bias"},
                                        R"(body\.floor)"}};
const FamilyTable kTable = {kLayouts, kFamilies, {}};

using Weights = std::vector<WeightShape>;

Extraction ExtractOf(const Weights& all, const WeightShape& weight) {
  ExtractOptions options = DefaultExtractOptions();
  options.model.model_type = "toy";
  const auto context = MakeContext(std::move(options), all, kTable);
  EXPECT_TRUE(context.has_value()) << context.error().Text();
  return ExtractWeight(*context, weight).value();
}

// H = 8, I = 6, two experts.
const WeightShape kFused = {"body.floor.3.mix.bank.w_in", {2, 8, 12}, "", ""};
const WeightShape kOut = {"body.floor.3.mix.bank.w_out", {2, 6, 8}, "", ""};
const WeightShape kPicker = {"body.floor.3.mix.picker.weight", {2, 8}, "", ""};

// A tail that is no other family's once made the search for the neighbours throw.
TEST(NewFamily, HasTheOrderOfItsAxesToldByItsOwnNeighboursAndRouter) {
  for (const Weights& beside : {Weights{kFused, kOut}, Weights{kFused, kPicker}}) {
    const Extraction got = ExtractOf(beside, kFused);
    ASSERT_EQ(got.banks.size(), 2U) << got.unmatched_reason.value_or("none");
    EXPECT_EQ(got.banks[0].proj, kGate);
    EXPECT_EQ(got.banks[1].proj, kUp);
    EXPECT_EQ(got.banks[1].first_layer, 3);
    EXPECT_EQ(got.banks[1].rows, 6U);
    EXPECT_EQ(got.banks[1].cols, 8U);
    EXPECT_EQ(got.banks[1].row_stride, 1U);
    EXPECT_EQ(got.banks[1].col_stride, 12U);
  }
  const Extraction down = ExtractOf({kFused, kOut}, kOut);
  ASSERT_EQ(down.banks.size(), 1U);
  EXPECT_EQ(down.banks[0].rows, 8U);
  EXPECT_EQ(down.banks[0].cols, 6U);
}

TEST(NewFamily, IsRefusedWhereNothingTellsTheOrder) {
  const Extraction alone = ExtractOf({kFused}, kFused);
  EXPECT_TRUE(alone.refused);
  EXPECT_THAT(alone.unmatched_reason.value_or(""), HasSubstr("order of its axes is unknown"));
}

TEST(NewFamily, HasItsExpertsItsSharedOnesAndItsRouterByTheirOwnNames) {
  const Extraction unit = ExtractOf({}, {"body.floor.0.mix.unit_5.w_up", {6, 8}, "", ""});
  ASSERT_EQ(unit.banks.size(), 1U);
  EXPECT_EQ(unit.preset, "toy");
  EXPECT_EQ(unit.banks[0].proj, kUp);
  EXPECT_EQ(unit.banks[0].ExpertIdAt(0), 5);

  const Extraction shared = ExtractOf({}, {"body.floor.0.mix.common.w_out", {8, 6}, "", ""});
  EXPECT_EQ(shared.role, Role::kSharedExpert);
  ASSERT_EQ(shared.banks.size(), 1U);
  EXPECT_TRUE(shared.banks[0].is_shared_expert);

  const WeightShape flat = {"body.floor.3.mix.flat.w_out", {12, 8}, "", ""};
  const Extraction rows = ExtractOf({flat, kPicker}, flat);
  ASSERT_EQ(rows.banks.size(), 1U);
  EXPECT_EQ(rows.banks[0].experts, 2U);

  EXPECT_EQ(ExtractOf({}, kPicker).role, Role::kRouter);
  EXPECT_EQ(ExtractOf({}, {"body.floor.3.mix.other.weight", {2, 8}, "", ""}).role, Role::kOther);
}

struct Fault {
  const char* name;
  LayoutTensor tensor;
  Placement placement;
  const char* router;
  const char* layers;
  const char* message;
};

TEST(FamilyTable, RefusesARowThatCantBeUnderstood) {
  const AxisOrder by_shapes = AxisOrder::kByShapes;
  const LayoutTensor before = {"fused", 3, {kGate, kUp}, by_shapes}, fine = {"w", 2, {kUp}};
  const Fault faults[] = {
      {"Layout", fine, {"other", "m"}, "M.r", "l", "no layout class 'other'"},
      {"Router", fine, {"it", "m"}, "picker", "l", "neither 'M.' nor 'P.'"},
      {"Layers", fine, {"it", "m"}, "M.r", "(a|b)", "'layers' has a capturing group"},
      {"Module", fine, {"it", "(a|b)"}, "M.r", "l", "module '(a|b)': a capturing group"},
      {"Tail", {"(a|b).w", 2, {kUp}}, {"it", "m"}, "M.r", "l", "'(a|b).w' of layout class 'it'"},
      {"NamedGroup", {"(?P<x>a).w", 2, {kUp}}, {"it", "m"}, "M.r", "l", "a capturing group"},
      {"NoProj", {"w", 2, {}}, {"it", "m"}, "M.r", "l", "neither one projection nor two"},
      {"Axes", {"w", 4, {kUp}}, {"it", "m"}, "M.r", "l", "neither 2 nor 3 axes"},
      {"Shapes", {"w", 2, {kUp}, by_shapes}, {"it", "m"}, "M.r", "l", "but no 3 axes"},
      {"Plain", {"(?:a.)?w", 3, {kUp}, by_shapes}, {"it", "m"}, "M.r", "l", "that is no text"},
      {"Flat", {"w", 3, {kUp}, AxisOrder::kRowsOutIn}, {"it", "m"}, "M.r", "l", "but no 2 axes"},
      {"Pattern", {"[w", 2, {kUp}}, {"it", "m"}, "M.r", "l", "rule 'new:it'"},
  };
  for (const Fault& row : faults) {
    const std::vector<LayoutClass> layouts = {{"it", {before, row.tensor}}};
    const std::vector<Family> families = {
        {"1", "new", "New", {}, {}, {row.placement}, {}, row.router, row.layers}};
    const auto context = MakeContext(DefaultExtractOptions(), {}, {layouts, families, {}});
    ASSERT_FALSE(context.has_value()) << row.name;
    EXPECT_EQ(context.error().code, ErrorCode::kBadArgument) << row.name;
    EXPECT_THAT(context.error().Text(), HasSubstr("new")) << row.name;
    EXPECT_THAT(context.error().Text(), HasSubstr(row.message)) << row.name;
  }
}

TEST(FamilyTable, UnderstandsAllRowsThatAreKnown) {
  for (const Family& family : KnownFamilies().families) {
    ExtractOptions options = DefaultExtractOptions();
    options.presets = family.name;
    const auto context = MakeContext(std::move(options), {}, KnownFamilies());
    EXPECT_TRUE(context.has_value()) << family.name << ": " << context.error().Text();
  }
}

}  // namespace
}  // namespace moe
