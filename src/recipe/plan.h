#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "moescope/error.h"
#include "recipe/knapsack.h"
#include "recipe/recipe.h"

namespace moe {

/// What holds whatever the budget is.
struct PlanRules {
  std::string unit = "layer-proj";  ///< Recipe::unit: what of a role gets one scheme
  std::vector<Recipe::Pin> pins;    ///< searched in the modules' names, MLX's and the checkpoint's
  std::vector<Recipe::Floor> floors;
  std::vector<std::string> keep;  ///< roles
};

/// Chooses recipes for one model.
///
/// A unit of a role in `keep` stays as it is; a pin says its scheme, and goes before; else it takes
/// one of its candidates, of which those with fewer bits than a floor of its role are out; where
/// none is left (a floor of floats leaves none), it is the float that it is. Then units are put
/// together as `unit` says, whose candidates are those of all parts. Costs are added up; what is
/// not known costs nothing.
///
/// Threads: const members may be called from any thread at once.
class Plan {
 public:
  /// `recipe`: all but what is chosen here. Its units are the smallest that get one scheme:
  /// `alternatives` are the candidates (schemes with their costs), `chosen` is what a unit is that
  /// is kept or has no candidate. kBadArgument: a pattern that can't be read or matches nothing,
  /// pins that contradict each other, a pinned scheme that doesn't fit.
  static Result<Plan> Create(Recipe recipe, const PlanRules& rules);

  /// The plan that a recipe was made by, from what the recipe says: its units may be what they are,
  /// or one of their alternatives; pinned and kept ones are as they are.
  static Result<Plan> Of(Recipe recipe);

  // The least cost, or in the last one the fewest bytes. kBadArgument names the nearest budget that
  // can be met. `value` of the recipe's budget is the number; who read it from a text may set that.

  Result<Recipe> AtBits(double bits) const;     ///< average over all weights that are quantized
  Result<Recipe> AtSize(uint64_t bytes) const;  ///< of all: untouched ones, too
  /// At most `share` times what that scheme costs for all: PlanOf() it, mixed_rules.h.
  Result<Recipe> AsGoodAs(const QuantScheme& scheme, double share = 1) const;

  /// Recipes of all sizes, the smallest first: Knapsack::Front(). With `bits` of what is quantized.
  struct Point {
    uint64_t bytes = 0;  ///< as Recipe::bytes()
    double bits = 0, cost = 0;
    std::vector<StoredForm> schemes;  ///< by unit
  };
  std::vector<Point> Front(uint64_t points) const;

 private:
  Plan(Recipe recipe, std::vector<std::vector<RecipeOption>> options, Knapsack knapsack);
  static Result<Plan> Made(Recipe recipe, std::vector<std::vector<RecipeOption>> options);
  Recipe RecipeOf(const KnapsackChoice& choice) const;
  Recipe RecipeOf(const std::vector<uint32_t>& options) const;
  double BitsIn(uint64_t units_bytes) const;
  uint64_t BytesIn(double bits) const;  ///< the most that are no more bits, up to those of the best

  Recipe recipe_;
  std::vector<std::vector<RecipeOption>> options_;  ///< by unit
  Knapsack knapsack_;
  uint64_t quantized_weights_ = 0, float_bytes_ = 0;  ///< of units that are, or are not, quantized
};

}  // namespace moe
