#include "recipe/overview.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <utility>

namespace moe {
namespace {

void Count(const RecipeUnit& unit, RecipeGroup& group) {
  const double bits = BitsOf(unit);
  const auto found = std::ranges::find_if(group.parts, [&](const RecipeGroup::Part& part) {
    return part.bits == bits && AreSame(part.scheme, unit.chosen.scheme);
  });
  if (found != group.parts.end()) {
    ++found->units;
  } else {
    group.parts.push_back({unit.chosen.scheme, bits, 1});
  }
}

}  // namespace

double BitsOf(const RecipeUnit& unit) {
  return 8 * static_cast<double>(unit.chosen.bytes) / static_cast<double>(WeightsOf(unit));
}

double MeanBits(const Recipe& recipe) {
  double bytes = 0, weights = 0;
  for (const RecipeUnit& unit : recipe.units) {
    if (!unit.chosen.scheme) continue;
    bytes += static_cast<double>(unit.chosen.bytes);
    weights += static_cast<double>(WeightsOf(unit));
  }
  return weights > 0 ? 8 * bytes / weights : 0;
}

std::vector<RecipeGroup> GroupsOf(const Recipe& recipe) {
  std::map<std::pair<std::string, std::string>, RecipeGroup> by_name;
  for (const RecipeUnit& unit : recipe.units) {
    const std::string proj = unit.role.ends_with("_expert") ? unit.proj : "";
    RecipeGroup& group = by_name[{unit.role, proj}];
    group.role = unit.role;
    group.proj = proj;
    group.weights += WeightsOf(unit);
    group.bytes += unit.chosen.bytes;
    Count(unit, group);
  }
  std::vector<RecipeGroup> groups;
  for (auto& [name, group] : by_name) {
    std::ranges::stable_sort(group.parts, {}, &RecipeGroup::Part::bits);
    groups.push_back(std::move(group));
  }
  return groups;
}

std::vector<PlanComparison> ComparisonsOf(const Recipe& recipe, const Plan& plan) {
  std::vector<PlanComparison> comparisons;
  const auto add = [&](std::string_view rule, const std::optional<RulePlan>& other) {
    if (!other || !(other->cost > 0)) return;
    const auto best = plan.AtSize(other->bytes);
    if (best) comparisons.push_back({rule, *other, best->objective.value});
  };
  if (const StoredForm& reference = recipe.objective.reference) add("", PlanOf(*reference, recipe));
  for (const MixedRule& rule : kMixedRules) add(rule.name, PlanOf(rule, recipe));
  return comparisons;
}

std::vector<const RecipeUnit*> FurthestUnits(const Recipe& recipe, size_t most) {
  const double mean = MeanBits(recipe);
  std::vector<const RecipeUnit*> units;
  for (const RecipeUnit& unit : recipe.units) {
    if (unit.chosen_by != "keep" && unit.chosen.scheme) units.push_back(&unit);
  }
  std::ranges::stable_sort(units, std::greater(),
                           [&](const RecipeUnit* unit) { return std::abs(BitsOf(*unit) - mean); });
  units.resize(std::min(units.size(), most));
  return units;
}

}  // namespace moe
