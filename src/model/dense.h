#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "moescope/model.h"

namespace moe {

/// Model::dense(), of tensors whose roles are decided. `tied_head`: the output head is the
/// embedding, so that a second copy of it in the files is none of the model's weights.
std::vector<DenseWeight> DenseWeightsOf(std::span<const ModelTensor> tensors, bool tied_head);

/// Why a weight outside the experts is not in Model::dense(), though its name and shape say that it
/// belongs there: its values can't be decoded. nullopt: it is there, or is no such weight; so are
/// routers, beside which families keep scales of their own.
std::optional<std::string> DenseRefusal(const ModelTensor& tensor);

}  // namespace moe
