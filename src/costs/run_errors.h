#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "insight/run.h"
#include "moescope/error.h"
#include "moescope/quantize.h"

namespace moe {

/// Which matrix a row of a run's tables is about.
struct MatrixId {
  std::string tensor;  ///< derived_tensor of an expert's, module of another weight
  int64_t layer = -1, expert = -1;
  auto operator<=>(const MatrixId&) const = default;
};

/// What the tables of a run say of one matrix, as far as recipes ask.
struct MatrixNumbers {
  int64_t rows = 0, cols = 0;                   ///< 0: not known
  std::vector<std::optional<double>> rel, act;  ///< w_rel_fro and act_rel_fro, by scheme
  std::optional<double> energy, guessed_energy, token_share;  ///< as in data/evidence
  bool never_routed = false;
  std::optional<double> rms;  ///< of another weight than an expert's (energy: its, too)
};

/// The errors and energies of a run, by matrix.
struct RunErrors {
  std::vector<QuantScheme> schemes;  ///< those of quant_sim, without what is searched
  std::map<MatrixId, MatrixNumbers> matrices;
  bool has_energies = false;  ///< from calibration, of some matrix
  bool has_evidence = false;  ///< data/evidence is there
  bool has_dense = false;     ///< data/dense_quant_sim is there
};

/// Reads data/quant_sim, and evidence, dense_stats and dense_quant_sim if they are there. Fails as
/// TableReader does; kNotFound: there is no quant_sim, or it has no scheme.
Result<RunErrors> ReadRunErrors(Run& run);

}  // namespace moe
