#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "recipe/recipe.h"

namespace moe {

/// A rule of mlx_lm.convert --quant-predicate: down_proj (and v_proj, lm_head) of the first and
/// last eighth of the layers, and of every third between, gets the high width, all else the low
/// one; in groups of 64 (mlx_lm 0.32.2, mlx_lm/convert.py).
struct MixedRule {
  std::string_view name;
  int64_t low, high;
};
inline constexpr MixedRule kMixedRules[] = {
    {"mixed_2_6", 2, 6}, {"mixed_3_4", 3, 4}, {"mixed_3_6", 3, 6}, {"mixed_4_6", 4, 6}};

/// What a rule makes of a recipe's units, whatever floors it has: pinned and kept ones stay as they
/// are in it, and so do as floats those that a scheme does not fit.
struct RulePlan {
  uint64_t bytes = 0;  ///< as Recipe::bytes()
  double cost = 0;
};
/// nullopt: no unit has such a candidate, or units are not those of a layer and projection.
std::optional<RulePlan> PlanOf(const MixedRule& rule, const Recipe& recipe);
/// One scheme for all.
std::optional<RulePlan> PlanOf(const QuantScheme& scheme, const Recipe& recipe);

}  // namespace moe
