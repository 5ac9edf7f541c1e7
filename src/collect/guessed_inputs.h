#pragma once

#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/model.h"
#include "moescope/weight.h"

namespace moe {

// The mean squares of an expert's inputs, guessed from weights alone ("@free" of the study that
// docs/recipes.md tells of): an RMSNorm gives each of its values the mean square of its weight;
// outputs of gate and up are independent normals of mean 0.

/// E[silu(g)^2] for a normal g of mean 0 and this variance; within 1e-4 of it.
double MeanSquareOfSilu(double variance);

/// By hidden value of an expert, what down_proj gets: E[silu(g)^2] E[u^2] where there is a gate;
/// E[relu(u)^4] where there is none (squared ReLU, Nemotron-H). `gate`, `up`: variances; gate may
/// be empty.
std::vector<double> GuessDownInput(const std::vector<double>& gate, const std::vector<double>& up);

/// What stands before the experts of each layer, and before what makes attention's values.
///
/// Threads: Of() may be called from any thread at once.
class InputNorms {
 public:
  explicit InputNorms(const Model& model);

  /// Squares of the weights of the norm before this gate or up matrix, cols() many; empty: no norm
  /// of that width is there, or it can't be read.
  const std::vector<double>& Of(const ExpertMatrix& matrix) const;
  /// The same of a weight that makes values (v_proj and the like); empty also of other weights.
  const std::vector<double>& Of(const DenseWeight& weight) const;

 private:
  const std::vector<double>& First(std::span<const std::string_view> names, std::string_view weight,
                                   int64_t layer, uint64_t cols) const;
  const std::vector<double>& Squares(const TensorRef& norm) const;

  const Model& model_;
  TensorIndex tensors_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, std::vector<double>> squares_;  // by the norm's name
};

}  // namespace moe
