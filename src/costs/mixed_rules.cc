#include "costs/mixed_rules.h"

#include <algorithm>

namespace moe {
namespace {

bool IsHigh(const RecipeUnit& unit, int64_t layers) {
  if (unit.role == "lm_head") return true;
  const bool sensitive =
      unit.proj == "down_proj" || unit.proj == "v_proj" || unit.proj.ends_with("+v_proj");
  if (!sensitive || !unit.layer) return false;
  const int64_t layer = *unit.layer, eighth = layers / 8;
  return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

const RecipeOption* OptionOf(const RecipeUnit& unit, const QuantScheme& scheme) {
  if (AreSame(unit.chosen.scheme, scheme)) return &unit.chosen;
  const auto found = std::ranges::find_if(unit.alternatives, [&](const RecipeOption& option) {
    return AreSame(option.scheme, scheme);
  });
  return found == unit.alternatives.end() ? nullptr : &*found;
}

}  // namespace

std::optional<MixedPlan> PlanOf(const MixedRule& rule, const Recipe& recipe) {
  int64_t layers = 0;
  for (const RecipeUnit& unit : recipe.units)
    layers = std::max(layers, unit.layer.value_or(-1) + 1);
  MixedPlan plan{recipe.coverage.untouched_bytes, 0};
  for (const RecipeUnit& unit : recipe.units) {
    const bool free = unit.chosen_by == "budget" && unit.chosen.scheme;
    const int64_t bits = IsHigh(unit, layers) ? rule.high : rule.low;
    const RecipeOption* option = free ? OptionOf(unit, {"", "affine", bits, 64}) : &unit.chosen;
    if (option == nullptr) return std::nullopt;
    plan.bytes += option->bytes;
    plan.cost += option->cost.value_or(0);
  }
  return plan;
}

}  // namespace moe
