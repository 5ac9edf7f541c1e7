#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "recipe/mixed_rules.h"
#include "recipe/plan.h"
#include "recipe/recipe.h"

namespace moe {

// What people look at first in a recipe.

/// Bits per weight of what is chosen, scales and biases included.
double BitsOf(const RecipeUnit& unit);
/// Of all units that are quantized together; 0 if none is.
double MeanBits(const Recipe& recipe);

/// The units of a role; experts' are told apart by projection.
struct RecipeGroup {
  struct Part {
    StoredForm scheme;
    double bits = 0;
    uint64_t units = 0;
  };
  std::string role, proj;  ///< proj "": of all
  uint64_t weights = 0, bytes = 0;
  std::vector<Part> parts;  ///< the fewest bits first
};

/// In the order of their names.
std::vector<RecipeGroup> GroupsOf(const Recipe& recipe);

/// The quantized units, kept ones aside, whose bits are furthest from the mean, at most so many.
std::vector<const RecipeUnit*> FurthestUnits(const Recipe& recipe, size_t most);

/// Another way to quantize the model, beside the best recipe of no more bytes.
struct PlanComparison {
  std::string_view rule;  ///< of mlx_lm, as "mixed_3_6"; "": the recipe's reference for all
  RulePlan other;
  double best = 0;  ///< what that recipe costs
};

/// With the reference, and mlx_lm's rules as far as there are such; `plan` is the recipe's.
std::vector<PlanComparison> ComparisonsOf(const Recipe& recipe, const Plan& plan);

}  // namespace moe
