#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "insight/run.h"
#include "moescope/error.h"

namespace moe {

/// Relative errors (w_rel_fro) of some weights under one scheme.
struct DenseErrors {
  std::optional<double> median, worst;  ///< over those that have it
  std::string worst_module;
  uint64_t failed = 0;  ///< weights without it
};

/// Weights outside the experts that have something in common.
struct DenseGroup {
  std::string role;    ///< RoleName(): "attention", ...
  int64_t layer = -1;  ///< of RestOfModel::attention; -1: none
  uint64_t matrices = 0, weights = 0;
  double bytes = 0;  ///< as stored
  std::vector<DenseErrors> schemes;
};

/// What a run measured outside the experts.
struct RestOfModel {
  std::vector<std::string> schemes;   ///< in the order of the table
  std::vector<DenseGroup> roles;      ///< the one with the most weights first
  std::vector<DenseGroup> attention;  ///< of each layer, in order; stacks of one number together
};

/// From data/dense_stats and data/dense_quant_sim. nullopt: the run has not measured such weights;
/// fails as Run::Open() and TableReader::Read().
Result<std::optional<RestOfModel>> ReadRestOfModel(Run& run);

}  // namespace moe
