#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "costs/energies.h"
#include "costs/run_errors.h"
#include "moescope/model.h"

namespace moe {

/// What errors cost.
enum class CostKind {
  kAuto,        ///< relative error^2 x energy / residual stream (docs/recipes.md)
  kWeight,      ///< relative error^2 x weights
  kActivation,  ///< squared error of what a matrix gives, as the calibration tells; experts only
};

/// What a unit's weights cost by candidate; nullopt where one of them is not known.
using Costs = std::vector<std::optional<double>>;

/// What each matrix of a run's model costs in each candidate.
///
/// Of routed experts f * w_rel_fro^2 * energy / resid(layer), f = 1 of gate and up, 3 of down; see
/// Energies. Other weights are weighed by the same idea, with what the attention or MLP that they
/// are a part of adds, or else with what the experts of their layer add; no study covers that, so
/// recipes have floors for them.
class MatrixCosts {
 public:
  /// `candidates`: numbers of the errors' schemes.
  MatrixCosts(const Model& model, const RunErrors& errors, CostKind kind,
              std::vector<size_t> candidates);

  size_t candidates() const { return candidates_.size(); }
  const QuantScheme& candidate(size_t i) const { return errors_.schemes[candidates_[i]]; }
  const Energies& energies() const { return energies_; }
  std::string Name() const;  ///< of the objective

  bool Knows(const MatrixId& id) const { return NumbersOf(id) != nullptr; }
  Costs OfRouted(const ExpertMatrix& matrix) const;
  Costs OfShared(const ExpertMatrix& matrix) const;
  /// `role`, `proj`: those of its unit.
  Costs OfDense(const DenseWeight& weight, std::string_view role, std::string_view proj) const;

  static double FactorOf(std::string_view proj);

 private:
  /// What an error is weighed with.
  struct Weighing {
    double weights, factor;
    std::optional<double> share;  ///< energy / resid
  };
  const MatrixNumbers* NumbersOf(const MatrixId& id) const;
  double ShareOfDense(const DenseWeight& weight, std::string_view role) const;
  Costs CostsOf(const MatrixId& id, const Weighing& weighing) const;
  std::optional<double> CostOf(const MatrixNumbers& numbers, size_t scheme,
                               const Weighing& weighing) const;

  const RunErrors& errors_;
  const CostKind kind_;
  const std::vector<size_t> candidates_;
  const Energies energies_;
};

/// Adds b to a; nullopt where one of both is.
void AddTo(Costs& a, const Costs& b);

}  // namespace moe
