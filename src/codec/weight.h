#pragma once

#include <optional>

#include "moescope/weight.h"

namespace moe {

class QuantConfig;

/// FindWeight() of a model whose config.json says `config`: it must agree with the tensors, and
/// tells apart what they leave open.
Result<std::optional<Weight>> FindWeight(const TensorRef& tensor, const TensorIndex& tensors,
                                         const QuantConfig& config);

}  // namespace moe
