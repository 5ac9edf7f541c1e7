#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "insight/run_matrices.h"

namespace moe {

/// What a scheme would do to all experts of a run together.
struct SchemeSummary {
  std::string name;
  std::optional<double> bits_per_weight;  ///< mean over the weights of the matrices that have it
  std::optional<uint64_t> bytes;          ///< of all matrices of the run, where it failed as stored
  std::optional<double> median_error, worst_error;  ///< w_rel_fro over the matrices that have it
  std::optional<uint32_t> worst;                    ///< the matrix
  uint64_t failed = 0;                              ///< matrices without w_rel_fro
};

struct RunSummary {
  uint64_t weights = 0;                   ///< of all matrices
  std::optional<double> bits_per_weight;  ///< as stored; nullopt where some matrix does not tell
  std::optional<uint64_t> bytes;          ///< as stored
  std::vector<SchemeSummary> schemes;     ///< the fewest bits first, unknown ones last
};

RunSummary Summarize(const RunMatrices& matrices);

}  // namespace moe
