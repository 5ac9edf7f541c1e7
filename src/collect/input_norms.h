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

/// The norms before the experts of each layer, before what makes attention's values, and before
/// dense MLPs: an RMSNorm gives each of its values the mean square of its weight.
///
/// Threads: Of() may be called from any thread at once.
class InputNorms {
 public:
  explicit InputNorms(const Model& model);

  /// Squares of the weights of the norm before this gate or up matrix, cols() many; empty: no norm
  /// of that width is there, or it can't be read.
  const std::vector<double>& Of(const ExpertMatrix& matrix) const;
  /// The same of a weight that makes values (v_proj and the like), and of a dense MLP's gate and
  /// up; empty also of other weights.
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
