#include "recipe/knapsack.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <limits>
#include <random>
#include <tuple>

#include "base/json_text.h"
#include "base/test_files.h"

namespace moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Units = std::vector<Knapsack::Unit>;

Knapsack Of(Units units) {
  auto made = Knapsack::Create(std::move(units));
  EXPECT_TRUE(made) << made.error().Text();
  return std::move(*made);
}

// C takes 2 bytes in any case.
Units ThreeUnits() { return {{{4, 9}, {6, 4}, {9, 1}}, {{4, 8}, {7, 3}, {9, 2.5}}, {{2, 0}}}; }

TEST(Knapsack, TakesTheLeastCostWithinABudget) {
  const Knapsack knapsack = Of(ThreeUnits());
  struct {
    uint64_t budget;
    std::vector<uint32_t> options;
    uint64_t bytes;
    double cost;
  } const kCases[] = {
      {10, {0, 0, 0}, 10, 17}, {12, {1, 0, 0}, 12, 12}, {15, {1, 1, 0}, 15, 7},
      {16, {1, 1, 0}, 15, 7},  {18, {2, 1, 0}, 18, 4},  {99, {2, 2, 0}, 20, 3.5},
  };
  for (const auto& expected : kCases) {
    const auto choice = knapsack.LeastCost(expected.budget);
    ASSERT_TRUE(choice) << expected.budget;
    EXPECT_EQ(choice->options, expected.options) << expected.budget;
    EXPECT_EQ(choice->bytes, expected.bytes) << expected.budget;
    EXPECT_EQ(choice->cost, expected.cost) << expected.budget;
    EXPECT_EQ(choice->gap, 0) << expected.budget;
  }
}

TEST(Knapsack, TakesTheFewestBytesWithinALimit) {
  const Knapsack knapsack = Of(ThreeUnits());
  const std::pair<double, uint64_t> kCases[] = {{17, 10},  {16.9, 12}, {12, 12}, {7, 15},
                                                {6.9, 17}, {4, 18},    {3.5, 20}};
  for (const auto& [limit, bytes] : kCases) {
    const auto choice = knapsack.FewestBytes(limit);
    ASSERT_TRUE(choice) << limit;
    EXPECT_EQ(choice->bytes, bytes) << limit;
    EXPECT_LE(choice->cost, limit);
  }
}

TEST(Knapsack, NamesTheNearestWhereNothingFits) {
  const Knapsack knapsack = Of(ThreeUnits());
  const auto small = knapsack.LeastCost(9);
  ASSERT_FALSE(small);
  EXPECT_EQ(small.error().code, ErrorCode::kBadArgument);
  EXPECT_THAT(small.error().Text(), HasSubstr("fits 9 bytes; the fewest are 10"));
  const auto low = knapsack.FewestBytes(3.4);
  ASSERT_FALSE(low);
  EXPECT_THAT(low.error().Text(), HasSubstr("at most 3.4; the least is 3.5"));
  EXPECT_EQ(knapsack.smallest().bytes, 10u);
  EXPECT_EQ(knapsack.best().cost, 3.5);
}

TEST(Knapsack, RefusesWhatItCannotAddUp) {
  struct {
    Units units;
    const char* says;
  } const kCases[] = {{{{{1, 1}}, {}}, "unit 1: has no option"},
                      {{{{1, -1}}}, "a cost of -1"},
                      {{{{1, std::numeric_limits<double>::quiet_NaN()}}}, "a cost of nan"},
                      {{{{1, 1e201}}}, "a cost of 1e+201"},
                      {{{{1, 1}}, {{~uint64_t{0}, 1}}}, "unit 1: the bytes add up to more"}};
  for (const auto& [units, says] : kCases) {
    const auto made = Knapsack::Create(units);
    ASSERT_FALSE(made) << says;
    EXPECT_THAT(made.error().Text(), HasSubstr(says));
  }
}

TEST(Knapsack, OfEqualChoicesTakesFewerBytesThenTheEarlierOptions) {
  // One of three alike may have more: which is decided by the first unit that differs.
  const Knapsack::Unit alike = {{1, 5}, {3, 2}};
  EXPECT_THAT(Of({alike, alike, alike}).LeastCost(5)->options, ElementsAre(0, 0, 1));
  EXPECT_THAT(Of({alike, alike, alike}).FewestBytes(12)->options, ElementsAre(0, 0, 1));
  // Options that are equal, or cost as much and are larger.
  EXPECT_THAT(Of({{{2, 1}, {2, 1}, {1, 3}, {3, 1}}}).LeastCost(9)->options, ElementsAre(0));
  // 4 bytes for 6 from {1, 0} or from {0, 1}; 5 bytes cost as much.
  EXPECT_EQ(Of({{{1, 5}, {3, 2}}, {{1, 4}, {3, 1}, {4, 1}}}).LeastCost(5)->bytes, 4u);
}

TEST(Knapsack, OfNoUnitsIsNothing) {
  EXPECT_THAT(Of({}).LeastCost(0)->options, IsEmpty());
  EXPECT_EQ(Of({}).Front(9).size(), 1u);
}

// ---- against all combinations ----

/// Small whole numbers, so that sums are exact and many are equal; some units have one option.
Units RandomUnits(std::mt19937& random, uint32_t most_units, uint32_t most_options) {
  Units units(1 + random() % most_units);
  for (Knapsack::Unit& unit : units) {
    unit.resize(random() % 5 == 0 ? 1 : 1 + random() % most_options);
    for (KnapsackOption& option : unit) option = {random() % 9, static_cast<double>(random() % 9)};
  }
  return units;
}

std::vector<KnapsackChoice> AllChoices(const Units& units) {
  std::vector<KnapsackChoice> all = {{}};
  for (const Knapsack::Unit& unit : units) {
    std::vector<KnapsackChoice> longer;
    for (const KnapsackChoice& choice : all) {
      for (uint32_t o = 0; o < unit.size(); ++o) {
        longer.push_back(choice);
        longer.back().options.push_back(o);
        longer.back().bytes += unit[o].bytes;
        longer.back().cost += unit[o].cost;
      }
    }
    all = std::move(longer);
  }
  return all;
}

auto CostFirst(const KnapsackChoice& choice) {
  return std::tuple(choice.cost, choice.bytes, choice.options);
}
auto BytesFirst(const KnapsackChoice& choice) {
  return std::tuple(choice.bytes, choice.cost, choice.options);
}

TEST(Knapsack, IsTheBestOfAllCombinations) {
  std::mt19937 random(13);
  for (int i = 0; i < 300; ++i) {
    const Units units = RandomUnits(random, 5, 4);
    const Knapsack knapsack = Of(units);
    std::vector<KnapsackChoice> all = AllChoices(units);
    std::ranges::sort(all, {}, CostFirst);
    for (uint64_t budget = 0; budget < 45; ++budget) {
      const auto best = std::ranges::find_if(all, [&](const auto& c) { return c.bytes <= budget; });
      const auto choice = knapsack.LeastCost(budget);
      ASSERT_EQ(choice.has_value(), best != all.end());
      if (!choice) continue;
      ASSERT_EQ(CostFirst(*choice), CostFirst(*best)) << "case " << i;
    }
    std::ranges::sort(all, {}, BytesFirst);
    for (double limit = 0; limit < 45; ++limit) {
      const auto best = std::ranges::find_if(all, [&](const auto& c) { return c.cost <= limit; });
      const auto choice = knapsack.FewestBytes(limit);
      ASSERT_EQ(choice.has_value(), best != all.end());
      if (!choice) continue;
      ASSERT_EQ(BytesFirst(*choice), BytesFirst(*best)) << "case " << i;
    }
  }
}

TEST(Knapsack, ItsFrontIsAllThatNoCombinationBeats) {
  std::mt19937 random(14);
  for (int i = 0; i < 100; ++i) {
    const Units units = RandomUnits(random, 5, 4);
    std::vector<KnapsackChoice> all = AllChoices(units);
    std::ranges::sort(all, {}, BytesFirst);
    std::vector<std::pair<uint64_t, double>> expected, found;
    for (const KnapsackChoice& choice : all) {
      if (expected.empty() || choice.cost < expected.back().second) {
        expected.emplace_back(choice.bytes, choice.cost);
      }
    }
    for (const KnapsackChoice& choice : Of(units).Front(1000)) {
      found.emplace_back(choice.bytes, choice.cost);
    }
    ASSERT_EQ(found, expected) << "case " << i;
  }
}

TEST(Knapsack, AFrontOfFewPointsIsPartOfTheWholeOne) {
  const Knapsack knapsack = Of(ThreeUnits());
  std::vector<uint64_t> bytes;
  for (const KnapsackChoice& choice : knapsack.Front(2)) bytes.push_back(choice.bytes);
  EXPECT_THAT(bytes, ElementsAre(10, 15, 20));
}

// ---- where the search must give up ----

TEST(Knapsack, SaysHowFarItMayBeFromTheBestWhereEverythingIsEqual) {
  // Costs go by bytes, of which no two agree: no bound tells good from bad.
  std::mt19937_64 random(15);
  Units units(20);
  for (Knapsack::Unit& unit : units) {
    for (int o = 0; o < 8; ++o) {
      const uint64_t bytes = random() % 1'000'000'007;
      unit.push_back({bytes, 2e9 - static_cast<double>(bytes)});
    }
  }
  const Knapsack knapsack = Of(units);
  const uint64_t budget = (knapsack.smallest().bytes + knapsack.best().bytes) / 2;
  const auto choice = knapsack.LeastCost(budget);
  ASSERT_TRUE(choice);
  EXPECT_LE(choice->bytes, budget);
  EXPECT_LT(choice->gap, 1e-6);
  EXPECT_GE(choice->cost * (1 - choice->gap), 20 * 2e9 - static_cast<double>(budget) - 1);
  EXPECT_EQ(knapsack.LeastCost(budget)->options, choice->options);  // the same each time
}

// ---- against HiGHS ----

/// As tests/data/knapsack/make_optima.py has it.
class MmixRandom {
 public:
  explicit MmixRandom(uint64_t seed) : state_(seed) {}
  uint64_t Below(uint64_t n) {
    state_ = state_ * 6364136223846793005 + 1442695040888963407;
    return (state_ >> 33) % n;
  }

 private:
  uint64_t state_;
};

struct Optimum {
  uint64_t seed = 0, layers = 0, dense = 0;
  bool jitter = false;
  uint64_t budget = 0, bytes = 0;
  double cost = 0;
};

Units UnitsOf(const Optimum& instance) {
  constexpr double kBits[] = {2.5, 3.25, 3.5, 4.25, 4.5, 4.5, 5.0, 5.5, 6.5, 8.25, 8.5, 16.0};
  constexpr double kErrors[] = {0.39,  0.22,   0.19,   0.115,  0.096,  0.091,
                                0.081, 0.0445, 0.0225, 0.0264, 0.0085, 0.0};
  constexpr uint64_t kExpert = 2048 * 7168;
  constexpr uint64_t kExperts[] = {2 * 256 * kExpert, 256 * kExpert, 3 * kExpert};
  MmixRandom random(instance.seed);
  Units units(3 * instance.layers + instance.dense);
  for (size_t u = 0; u < units.size(); ++u) {
    const bool is_dense = u >= 3 * instance.layers;
    const uint64_t weights = is_dense ? (1 + random.Below(20)) * 4194304 : kExperts[u % 3];
    const double energy = static_cast<double>(1 + random.Below(1000)) / 100.0;
    for (size_t o = 0; o < std::size(kBits); ++o) {
      uint64_t bytes = static_cast<uint64_t>(static_cast<double>(weights) * kBits[o]) / 8;
      if (instance.jitter) bytes += random.Below(weights / 100);
      const double factor = 1.0 + static_cast<double>(random.Below(1000)) / 5000.0;
      units[u].push_back({bytes, energy * (kErrors[o] * kErrors[o]) * factor});
    }
  }
  return units;
}

std::vector<Optimum> OptimaOfHighs() {
  const auto path = TestData() / "knapsack" / "optima.json";
  const auto json = ParseLenientJson(ReadText(path), path.string());
  EXPECT_TRUE(json) << json.error().Text();
  std::vector<Optimum> optima;
  for (const Json& item : *json) {
    const auto number = [&](const char* key) { return item[key].get<uint64_t>(); };
    optima.push_back({number("seed"), number("layers"), number("dense"), item["jitter"].get<bool>(),
                      number("budget"), number("bytes"), item["cost"].get<double>()});
  }
  return optima;
}

TEST(Knapsack, FindsWhatHighsFinds) {
  const std::vector<Optimum> optima = OptimaOfHighs();
  ASSERT_EQ(optima.size(), 12u);
  for (const Optimum& expected : optima) {
    const Knapsack knapsack = Of(UnitsOf(expected));
    const auto least = knapsack.LeastCost(expected.budget);
    ASSERT_TRUE(least) << least.error().Text();
    EXPECT_NEAR(least->cost, expected.cost, 1e-12 * expected.cost);
    EXPECT_LE(least->bytes, expected.budget);
    EXPECT_EQ(least->gap, 0);
    const auto fewest = knapsack.FewestBytes(least->cost);  // the way back
    ASSERT_TRUE(fewest) << fewest.error().Text();
    EXPECT_EQ(fewest->bytes, least->bytes);
    EXPECT_EQ(fewest->gap, 0);
  }
}

}  // namespace
}  // namespace moe
