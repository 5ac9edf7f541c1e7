#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "costs/run_errors.h"
#include "moescope/model.h"

namespace moe {

/// The row of an expert's matrix in a run's tables.
MatrixId IdOf(const ExpertMatrix& matrix);

/// What the experts of each layer add to the residual stream, and how large that is there: what
/// errors are weighed with. Units are the square of an activation; of guessed ones only ratios
/// mean anything.
///
/// Per token, energy(e) = sum_i |W_down,e[:, i]|^2 E[h_i^2] * P(token goes to e) of a routed
/// expert, which is `energy` of data/evidence times token_share times K, the experts per token.
/// (The router's weights, about 1/K each, are left out: they are the same for all.) An expert that
/// the calibration says nothing of has the guessed one instead, on the scale of its layer's
/// others. resid(l) is the mean squared length of an embedding, and what layers 0 to l add: of
/// attention and dense MLPs, too (docs/recipes.md). What of those is not known counts as nothing,
/// and notes() say so.
class Energies {
 public:
  Energies(const Model& model, const RunErrors& errors);

  bool measured() const { return measured_; }      ///< from calibration, not guessed
  uint64_t replaced() const { return replaced_; }  ///< experts of which it says nothing
  /// What is not known, and was taken for something else: lines for people.
  const std::vector<std::string>& notes() const { return notes_; }
  double experts_per_token() const { return per_token_; }

  /// nullopt: not known.
  std::optional<double> OfExpert(int64_t layer, int64_t expert) const;
  std::optional<double> OfShared(int64_t layer) const;  ///< of all shared experts together
  std::optional<double> Residual(int64_t layer) const;

  /// What attention, or the dense MLP, of this layer adds / resid; nullopt: not known.
  std::optional<double> ShareOfAttention(int64_t layer) const;
  std::optional<double> ShareOfMlp(int64_t layer) const;
  /// (sum of the routed experts' energies) / resid, of this layer, or the mean of all where it has
  /// no experts; what other weights are weighed with.
  double ShareOf(int64_t layer) const;

 private:
  struct DenseGuess;
  void AddDense(const Model& model, const RunErrors& errors);
  void AddExperts(const Model& model, const RunErrors& errors);
  void ReplaceUnseen();
  void AddUp();

  struct Layer {
    std::map<int64_t, double> routed;  ///< by expert
    std::map<int64_t, double> unseen;  ///< guesses of those that the calibration lacks
    double seen_energy = 0, seen_guess = 0;
    double shared = 0;
    std::optional<double> attention, mlp;
    double residual = 0;
  };
  std::optional<double> ShareOfPart(int64_t layer, std::optional<double> Layer::* part) const;

  bool measured_ = false;
  uint64_t replaced_ = 0;
  double per_token_ = 1, embedding_ = 0, mean_share_ = 1;
  std::map<int64_t, Layer> layers_;
  std::vector<std::string> notes_;
};

}  // namespace moe
