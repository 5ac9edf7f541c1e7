#include "insight/choice.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "insight/run_fixture.h"

namespace moe {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::IsNan;

constexpr char kStats[] =
    "file,derived_tensor,layer,proj,expert_id,is_shared_expert,rows,cols,dtype,"
    "storage_bits_per_weight,rms\n"
    "f,a,0,up,0,False,8,32,bfloat16,16,1\n"
    "f,b,0,up,1,False,24,32,q8,8,1\n"
    "f,s,0,up,-1,True,8,32,bfloat16,16,1\n"
    "f,c,1,up,0,False,8,32,odd,,1\n";
constexpr char kQuant[] =
    "file,derived_tensor,layer,expert_id,scheme,mode,bits,group_size,w_rel_fro,error,"
    "bits_per_weight\n"
    "f,a,0,0,q4,affine,4,32,0.1,,5\n"
    "f,b,0,1,q4,affine,4,32,0.2,,4\n"
    "f,s,0,-1,q4,affine,4,32,0.3,,5\n"
    "f,a,0,0,q8,affine,8,32,0.01,,9\n"
    "f,b,0,1,q8,affine,8,32,,ValueError: 1 non-finite weights,\n";

TEST(Units, AreTheRoutedAndTheSharedExpertsOfEachLayerAndProjection) {
  const auto run = ReadRun(kStats, kQuant);
  ASSERT_TRUE(run) << run.error().Text();
  const auto units = UnitsOf(*run);
  ASSERT_EQ(units.size(), 3u);
  EXPECT_EQ(units[0].layer, 0u);
  EXPECT_FALSE(units[0].shared);
  EXPECT_TRUE(units[1].shared);
  EXPECT_EQ(units[2].layer, 1u);
  EXPECT_EQ(units[0].weights, 32 * 32);
  EXPECT_DOUBLE_EQ(units[0].stored_bits, (256 * 16 + 768 * 8) / 1024.0);
  EXPECT_THAT(units[2].stored_bits, IsNan());
}

TEST(Units, WeighEachMatrixByItsWeights) {
  const auto run = ReadRun(kStats, kQuant);
  ASSERT_TRUE(run);
  const Option q4 = UnitsOf(*run)[0].options[0];
  EXPECT_DOUBLE_EQ(q4.bits, (256 * 5 + 768 * 4) / 1024.0);
  EXPECT_DOUBLE_EQ(q4.square, (256 * 0.01 + 768 * 0.04) / 1024);
  EXPECT_THAT(q4.errors, ElementsAre(DoubleNear(0.15, 1e-9), DoubleNear(0.19, 1e-9), 0.2));
  EXPECT_EQ(q4.matrices, 2u);
}

TEST(Units, ASchemeFitsWhereItHasAnErrorForEachMatrixThatAnyHas) {
  const auto run = ReadRun(kStats, kQuant);
  ASSERT_TRUE(run);
  const auto units = UnitsOf(*run);
  EXPECT_TRUE(units[0].options[0].fits);
  EXPECT_FALSE(units[0].options[1].fits);  // q8 failed on b
  EXPECT_TRUE(units[1].options[0].fits);
  EXPECT_FALSE(units[1].options[1].fits);
  EXPECT_FALSE(units[2].options[0].fits);  // nothing was measured
}

Option Fitting(double bits, double square) {
  const double error = std::sqrt(square);
  return {bits, square, {error, error, error}, 1, true};
}

/// A unit whose options are of 2, 4 and 5 bits.
Unit UnitOf(double weights, double at_2, double at_4, double at_5) {
  return {0, 0, false, weights, 16, {Fitting(2, at_2), Fitting(4, at_4), Fitting(5, at_5)}};
}

TEST(Frontier, IsWhatNoOtherBeatsInBitsAndError) {
  Unit unit = UnitOf(1, 0.3, 0.1, 0.2);                 // the last is beaten
  unit.options.push_back(Fitting(2, 0.25));             // beats the first
  unit.options.push_back(Fitting(3, 0.25));             // is not better for its bits
  unit.options.push_back({1, 0, {0, 0, 0}, 1, false});  // failed somewhere
  unit.options[1].errors = {0.5, 0.1, 0.9};             // of some matrices it is bad
  EXPECT_THAT(Frontier(unit, 1), ElementsAre(3, 1));
  EXPECT_THAT(Frontier(unit, 2), ElementsAre(3, 2));
}

// 100 weights each, one of which suffers more. One scheme for both takes 50, 100 or 125 bytes, with
// squares of 0.04 + 0.36, 0.01 + 0.09 and 0.009 + 0.03. For a bit gain: hard to 4 0.135, to 5 0.06;
// easy to 4 0.015, to 5 0.001.
std::vector<Unit> EasyAndHard() {
  return {UnitOf(100, 0.04, 0.01, 0.009), UnitOf(100, 0.36, 0.09, 0.03)};
}

TEST(Chooser, IsAsGoodAsOneSchemeInFewerBytes) {
  // From 0.4 by hard to 4 to 0.13 and by hard to 5 to 0.07, which is no more than 0.1.
  const Pick pick = Chooser(EasyAndHard()).AsGoodAs(1);
  EXPECT_THAT(pick.choice.schemes, ElementsAre(0, 2));
  EXPECT_DOUBLE_EQ(pick.choice.bytes, 100 * (2 + 5) / 8.0);
  EXPECT_DOUBLE_EQ(pick.choice.error, std::sqrt(0.07 / 2));
  EXPECT_EQ(pick.base, 1u);
  EXPECT_DOUBLE_EQ(pick.saves, 0.125);
}

TEST(Chooser, IsAsGoodAsOneSchemeInTheFewestBytesThatThereAre) {
  // 47 for the scheme alone in 250 bytes. Steps that gain most for a bit come to 31, in 262.5: the
  // first unit's is not needed once the second has 5 bits, 46 in all.
  const Chooser chooser({UnitOf(100, 0.25, 0.10, 0.09), UnitOf(300, 0.36, 0.09, 0.03),
                         UnitOf(100, 0.12, 0.10, 0.10)});
  const Pick pick = chooser.AsGoodAs(1);
  EXPECT_THAT(pick.choice.schemes, ElementsAre(0, 2, 0));
  EXPECT_DOUBLE_EQ(pick.choice.bytes, 237.5);
  EXPECT_DOUBLE_EQ(pick.choice.error, std::sqrt(46.0 / 500));
  EXPECT_DOUBLE_EQ(pick.saves, 1 - 237.5 / 250);
}

TEST(Chooser, LeavesAMixtureThatSavesNothingReal) {
  // The hard one is so small that better bits for it buy nothing: 4 and 5 bits are more than 4
  // and 4.
  const Chooser chooser({UnitOf(1000, 0.04, 0.01, 0.009), UnitOf(4, 0.36, 0.09, 0.03)});
  const Pick pick = chooser.AsGoodAs(1);
  EXPECT_THAT(pick.choice.schemes, ElementsAre(1, 1));
  EXPECT_EQ(pick.saves, 0);
}

TEST(Chooser, HasTheLeastErrorForEveryBudget) {
  const auto picks = Chooser(EasyAndHard()).ByBudget();
  std::vector<double> from;
  std::vector<std::vector<uint32_t>> schemes;
  for (const auto& [bytes, pick] : picks) {
    from.push_back(bytes);
    schemes.push_back(pick.choice.schemes);
  }
  EXPECT_THAT(from, ElementsAre(0, 50, 75, 87.5, 100, 112.5, 125));
  EXPECT_THAT(schemes, ElementsAre(ElementsAre(0, 0), ElementsAre(0, 0), ElementsAre(0, 1),
                                   ElementsAre(0, 2), ElementsAre(0, 2), ElementsAre(1, 2),
                                   ElementsAre(2, 2)));
  EXPECT_EQ(picks[0].pick.base, std::nullopt);
  EXPECT_EQ(picks[2].pick.base, 0u);
  EXPECT_DOUBLE_EQ(picks[2].pick.saves, 1 - std::sqrt(0.13 / 0.4));
  EXPECT_EQ(picks[4].pick.base, 1u);  // 100 bytes for one scheme, with more error than 87.5 have
  EXPECT_EQ(picks[6].pick.base, 2u);
}

TEST(Chooser, TakesASmallerStepWhereTheBestDoesNotFit) {
  const auto picks =
      Chooser({UnitOf(100, 0.04, 0.01, 0.009), UnitOf(300, 0.36, 0.09, 0.03)}).ByBudget();
  ASSERT_GT(picks.size(), 3u);
  EXPECT_DOUBLE_EQ(picks[2].bytes, 125);  // 100 and the easy one's 25; the hard one's are 75
  EXPECT_THAT(picks[2].pick.choice.schemes, ElementsAre(1, 0));
}

TEST(Chooser, FindsABetterChoiceThanTheBestSteps) {
  // Steps that gain most for a bit come to 225 bytes, beside which the first unit's 5 bits fit: 48.
  const auto picks = Chooser({UnitOf(100, 0.25, 0.10, 0.09), UnitOf(300, 0.36, 0.09, 0.03),
                              UnitOf(100, 0.12, 0.10, 0.10)})
                         .ByBudget();
  const auto pick = std::ranges::find(picks, 237.5, &BudgetPick::bytes);
  ASSERT_NE(pick, picks.end());
  EXPECT_THAT(pick->pick.choice.schemes, ElementsAre(0, 2, 0));
  EXPECT_DOUBLE_EQ(pick->pick.choice.error, std::sqrt(46.0 / 500));
}

TEST(Chooser, LeavesWhatGainsNothingRealOutOfAMixture) {
  // The third unit's step to 5 bits fits beside the cheapest, but gains less than a hundredth.
  std::vector<Unit> units = EasyAndHard();
  units.push_back(UnitOf(1, 0.01, 0.01, 0.0099));
  const auto picks = Chooser(std::move(units)).ByBudget();
  ASSERT_GT(picks.size(), 2u);
  EXPECT_DOUBLE_EQ(picks[2].bytes, 50.25 + 3 / 8.0);
  EXPECT_THAT(picks[2].pick.choice.schemes, ElementsAre(0, 0, 0));
  EXPECT_EQ(picks[2].pick.base, 0u);
}

TEST(Chooser, WhereASchemeDoesNotFitTheNearestInBitsTakesItsPlace) {
  std::vector<Unit> units = EasyAndHard();
  units[1].options[1].fits = false;
  units.push_back({0, 0, false, 100, 16, std::vector<Option>(3)});  // nothing fits
  const Choice choice = Chooser(std::move(units)).Uniform(1);
  EXPECT_THAT(choice.schemes, ElementsAre(1, 2, kAsStored));
  EXPECT_DOUBLE_EQ(choice.bytes, 100 * (4 + 5 + 16) / 8.0);
  EXPECT_DOUBLE_EQ(choice.error, std::sqrt((0.01 + 0.03) / 2));
}

TEST(Chooser, OffersSchemesThatFitHalfOfWhatAnyFits) {
  std::vector<Unit> units = EasyAndHard();
  units[0].weights = 99;
  units[0].options[0].fits = false;
  units[1].options[2].fits = false;
  EXPECT_THAT(Chooser(units).Usable(), ElementsAre(0, 1));
  units[1].options[0].fits = units[0].options[1].fits = units[1].options[1].fits = false;
  EXPECT_THAT(Chooser(units).Usable(), ElementsAre(0, 1, 2));  // none fits so much
}

TEST(Chooser, HasNoBudgetsWhereASizeIsNotKnown) {
  std::vector<Unit> units = EasyAndHard();
  units.push_back({0, 0, false, 100, std::nan(""), std::vector<Option>(3)});
  const auto picks = Chooser(std::move(units)).ByBudget();
  ASSERT_EQ(picks.size(), 1u);
  EXPECT_THAT(picks[0].pick.choice.bytes, IsNan());
}

TEST(Chooser, OfNothingChoosesNothing) {
  const auto units = UnitsOf(RunMatrices());
  EXPECT_THAT(units, IsEmpty());
  EXPECT_EQ(ReferenceScheme(Chooser(units), {}), std::nullopt);
}

SimulatedScheme SchemeOf(const std::string& mode, int64_t bits, int64_t group_size) {
  SimulatedScheme scheme;
  scheme.mode = mode;
  scheme.bits = bits;
  scheme.group_size = group_size;
  return scheme;
}

TEST(ReferenceScheme, IsAffineWithFourBitsInGroupsNearestTo64ElseOfAsManyBits) {
  const Chooser chooser(EasyAndHard());  // 2, 4 and 5 bits
  const auto of = [&](const SimulatedScheme& a, const SimulatedScheme& b,
                      const SimulatedScheme& c) {
    return ReferenceScheme(chooser, std::vector{a, b, c});
  };
  const SimulatedScheme other = SchemeOf("mxfp4", 4, 32);
  EXPECT_EQ(of(SchemeOf("affine", 4, 32), other, SchemeOf("affine", 4, 128)), 0u);
  EXPECT_EQ(of(other, SchemeOf("affine", 4, 128), SchemeOf("affine", 4, 64)), 2u);
  EXPECT_EQ(of(SchemeOf("affine", 2, 64), other, other), 1u);  // 4 is as near to 4.5 as 5
  SimulatedScheme searched = SchemeOf("affine", 4, 64);
  searched.name = "q4+search";
  EXPECT_EQ(of(searched, other, SchemeOf("affine", 4, 32)), 2u);
  EXPECT_EQ(of(searched, other, other), 0u);
}

}  // namespace
}  // namespace moe
