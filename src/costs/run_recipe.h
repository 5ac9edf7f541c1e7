#pragma once

#include <string>
#include <vector>

#include "insight/run.h"
#include "moescope/model.h"
#include "recipe/recipe.h"

namespace moe {

/// What errors cost.
enum class CostKind {
  kAuto,        ///< relative error^2 x energy / residual stream (docs/recipes.md)
  kWeight,      ///< relative error^2 x weights
  kActivation,  ///< squared error of what a matrix gives, as the calibration tells; experts only
};

struct CostOptions {
  std::vector<QuantScheme> candidates;  ///< of those measured; empty: all
  CostKind kind = CostKind::kAuto;
};

/// The recipe of a run's model before anything is chosen, for Plan::Create(): its units, the bytes
/// and costs of their candidates, what keeps the form that mlx-lm's own rule gives it, and what
/// takes no part. Names and shapes are those of `model`, the checkpoint that the run is about.
///
/// Costs of routed experts are f * sum_e w_rel_fro(e)^2 * energy(e) / resid(layer), f = 1 of gate
/// and up, 3 of down; see Energies. Other weights are weighed by the same idea, with what the
/// experts of their layer add on average; no study covers that, so recipes have floors for them.
///
/// kNotFound as ReadRunErrors(), or a candidate was not measured; kUnsupported as MlxNames::Of();
/// no cost is known; kBadArgument: the tables are of another model; kActivation without an imatrix.
Result<Recipe> RecipeOfRun(Run& run, const Model& model, const CostOptions& options);

/// Floors where the user names none: six bits for attention, embeddings, the head, shared experts
/// and dense MLPs, or as many as each of their units can have.
std::vector<Recipe::Floor> UsualFloors(const Recipe& recipe);

}  // namespace moe
