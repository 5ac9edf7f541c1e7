#pragma once

#include <string>
#include <vector>

#include "costs/matrix_costs.h"
#include "insight/run.h"
#include "moescope/model.h"
#include "recipe/recipe.h"

namespace moe {

struct CostOptions {
  std::vector<QuantScheme> candidates;  ///< of those measured; empty: all
  CostKind kind = CostKind::kAuto;
};

/// The recipe of a run's model before anything is chosen, for Plan::Create(): its units, the bytes
/// and costs of their candidates, what keeps the form that mlx-lm's own rule gives it, and what
/// takes no part. Names and shapes are those of `model`, the checkpoint that the run is about.
///
/// kNotFound as ReadRunErrors(), or a candidate was not measured; kUnsupported as MlxNames::Of();
/// no cost is known; kBadArgument: the tables are of another model; kActivation without an imatrix.
Result<Recipe> RecipeOfRun(Run& run, const Model& model, const CostOptions& options);

/// Floors where the user names none: six bits for attention, embeddings, the head, shared experts
/// and dense MLPs.
std::vector<Recipe::Floor> UsualFloors();

}  // namespace moe
