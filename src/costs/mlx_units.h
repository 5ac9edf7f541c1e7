#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "costs/matrix_costs.h"
#include "experts/mlx_names.h"
#include "model/mlx_plan.h"
#include "moescope/model.h"
#include "recipe/recipe.h"

namespace moe {

// Roles of a recipe's units.
inline constexpr std::string_view kRoutedRole = "routed_expert", kSharedRole = "shared_expert",
                                  kRouterRole = "router", kAttentionRole = "attention",
                                  kEmbeddingRole = "embedding", kHeadRole = "lm_head",
                                  kDenseRole = "dense";

/// What mlx-lm stores in one scheme each, with what it costs, before anything is chosen.
struct MlxUnits {
  /// Routed experts of a layer by projection (gate and up together), and every other weight by
  /// itself. `chosen`: what a unit is if it is kept; no `alternatives`, where mlx-lm leaves it.
  std::vector<RecipeUnit> units;
  uint64_t matrices = 0, measured = 0;  ///< of the model; with errors
  uint64_t other_stacks = 0;            ///< experts' matrices that mlx-lm drops
  std::string refused_storage;          ///< of experts that mlx-lm leaves packed; "": none
  bool is_split = false;                ///< a weight becomes several modules
};

/// `dtype`: of the modules that the recipe says nothing else of.
MlxUnits UnitsOf(const Model& model, const MlxNames& names, const MlxPlan& plan,
                 const MatrixCosts& costs, std::string_view dtype);

}  // namespace moe
