#include "recipe/mixed_rules.h"

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
  return FindOption(unit.alternatives, scheme);
}

/// `scheme_of` says what each unit gets.
template <class SchemeOf>
std::optional<RulePlan> PlanOfAll(const Recipe& recipe, SchemeOf scheme_of) {
  RulePlan plan{recipe.coverage.untouched_bytes, 0};
  bool used = false;
  for (const RecipeUnit& unit : recipe.units) {
    if (unit.chosen_by == "pin" || unit.chosen_by == "keep") {
      plan.bytes += unit.chosen.bytes;
      plan.cost += unit.chosen.cost.value_or(0);
      continue;
    }
    const RecipeOption* option = OptionOf(unit, scheme_of(unit));
    used = used || option != nullptr;
    plan.bytes += option != nullptr
                      ? option->bytes
                      : StoredBytes(unit, std::nullopt, recipe.float_bits()).value_or(0);
    if (option != nullptr) plan.cost += option->cost.value_or(0);
  }
  return used ? std::optional(plan) : std::nullopt;
}

bool HasScheme(const Recipe& recipe, const QuantScheme& scheme) {
  return std::ranges::any_of(
      recipe.units, [&](const RecipeUnit& unit) { return OptionOf(unit, scheme) != nullptr; });
}

}  // namespace

std::optional<RulePlan> PlanOf(const MixedRule& rule, const Recipe& recipe) {
  const QuantScheme low{"", "affine", rule.low, 64}, high{"", "affine", rule.high, 64};
  if (recipe.unit != "layer-proj" || !HasScheme(recipe, low) || !HasScheme(recipe, high)) {
    return std::nullopt;
  }
  int64_t layers = 0;
  for (const RecipeUnit& unit : recipe.units)
    layers = std::max(layers, unit.layer.value_or(-1) + 1);
  return PlanOfAll(recipe,
                   [&](const RecipeUnit& unit) { return IsHigh(unit, layers) ? high : low; });
}

std::optional<RulePlan> PlanOf(const QuantScheme& scheme, const Recipe& recipe) {
  return PlanOfAll(recipe, [&](const RecipeUnit&) { return scheme; });
}

}  // namespace moe
