#include "costs/matrix_costs.h"

#include <utility>

#include "base/utf8.h"
#include "costs/mlx_units.h"
#include "evidence/module_inputs.h"
#include "experts/families.h"

namespace moe {
namespace {

constexpr double kDownFactor = 3;  // fitted on two models: docs/recipes.md

double WeightsIn(uint64_t rows, uint64_t cols) { return static_cast<double>(rows * cols); }

std::optional<double> Quotient(std::optional<double> energy, std::optional<double> residual) {
  return energy && residual ? std::optional(*energy / *residual) : std::nullopt;
}

std::optional<double> ActivationCost(const MatrixNumbers& numbers, size_t scheme) {
  if (numbers.never_routed) return 0.0;
  if (scheme >= numbers.act.size() || !numbers.act[scheme] || !numbers.energy) return {};
  return *numbers.act[scheme] * *numbers.act[scheme] * *numbers.energy *
         numbers.token_share.value_or(1);
}

}  // namespace

MatrixCosts::MatrixCosts(const Model& model, const RunErrors& errors, CostKind kind,
                         std::vector<size_t> candidates)
    : errors_(errors), kind_(kind), candidates_(std::move(candidates)), energies_(model, errors) {}

std::string MatrixCosts::Name() const {
  if (kind_ == CostKind::kWeight) return "weight: w_rel_fro^2 x weights";
  if (kind_ == CostKind::kActivation) return "activation: sum a_c d^2 of the experts";
  return energies_.measured() ? "w_rel_fro^2 x energy / residual, energies of the calibration"
                              : "w_rel_fro^2 x energy / residual, energies guessed from weights";
}

double MatrixCosts::FactorOf(std::string_view proj) { return proj == kDownProj ? kDownFactor : 1; }

const MatrixNumbers* MatrixCosts::NumbersOf(const MatrixId& id) const {
  const auto found = errors_.matrices.find(id);
  return found == errors_.matrices.end() || found->second.rel.empty() ? nullptr : &found->second;
}

std::optional<double> MatrixCosts::CostOf(const MatrixNumbers& numbers, size_t scheme,
                                          const Weighing& weighing) const {
  if (scheme >= numbers.rel.size() || !numbers.rel[scheme]) return std::nullopt;
  const double square = *numbers.rel[scheme] * *numbers.rel[scheme];
  if (kind_ == CostKind::kWeight) return square * weighing.weights;
  if (kind_ == CostKind::kActivation) return ActivationCost(numbers, scheme);
  if (!weighing.share) return std::nullopt;
  return weighing.factor * square * *weighing.share;
}

Costs MatrixCosts::CostsOf(const MatrixId& id, const Weighing& weighing) const {
  Costs costs(candidates_.size());
  const MatrixNumbers* numbers = NumbersOf(id);
  for (size_t c = 0; numbers != nullptr && c < costs.size(); ++c) {
    costs[c] = CostOf(*numbers, candidates_[c], weighing);
  }
  return costs;
}

Costs MatrixCosts::OfRouted(const ExpertMatrix& matrix) const {
  const MatrixKey key = matrix.key();
  return CostsOf(IdOf(matrix), {WeightsIn(matrix.rows(), matrix.cols()), FactorOf(key.proj),
                                Quotient(energies_.OfExpert(key.layer, key.expert),
                                         energies_.Residual(key.layer))});
}

Costs MatrixCosts::OfShared(const ExpertMatrix& matrix) const {
  const MatrixKey key = matrix.key();
  auto share = Quotient(energies_.OfShared(key.layer), energies_.Residual(key.layer));
  if (share) *share *= energies_.experts_per_token() * energies_.experts_per_token();
  return CostsOf(IdOf(matrix),
                 {WeightsIn(matrix.rows(), matrix.cols()), FactorOf(key.proj), share});
}

/// As large beside those of routed experts as it is for an average token: their weights in the
/// router, about 1/K each, are left out of their energies.
double MatrixCosts::ShareOfDense(const DenseWeight& weight, std::string_view role) const {
  const double square = energies_.experts_per_token() * energies_.experts_per_token();
  if (role == kHeadRole || role == kEmbeddingRole) return square;
  std::optional<double> own;
  if (role == kAttentionRole) own = energies_.ShareOfAttention(weight.layer());
  const bool is_mlp = ModuleNameOf(weight.module).name.starts_with("ffn_");
  if (role == kDenseRole && is_mlp) own = energies_.ShareOfMlp(weight.layer());
  return own ? square * *own : energies_.ShareOf(weight.layer());
}

Costs MatrixCosts::OfDense(const DenseWeight& weight, std::string_view role,
                           std::string_view proj) const {
  return CostsOf({AsUtf8(weight.module), -1, -1},
                 {WeightsIn(weight.rows, weight.cols), FactorOf(proj), ShareOfDense(weight, role)});
}

void AddTo(Costs& a, const Costs& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = a[i] && b[i] ? std::optional(*a[i] + *b[i]) : std::nullopt;
  }
}

}  // namespace moe
