#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "moescope/checkpoint.h"

namespace moe {

// Names of the tensors of a quantized weight: the payload, which holds the codes, and its
// companions (scales, zero points, ...) beside it, in the same module.

/// What names of companions look like in lower case, of schemes that are read and of others: a
/// pattern to be searched.
inline constexpr const char* kCompanionPattern =
    R"((?:^|[._])(?:scales?(?:_inv|_\d)?|biases|qbiases|qzeros|g_idx|scb|zero_points?|zeros)"
    R"(|weight_shape|absmax)$|\.(?:nested_)?quant_map$|\.quant_state\.)";

/// The module whose payload has this name: without .weight, .weight_packed, .qweight, _blocks.
std::string_view ModuleOf(std::string_view payload);

/// The weight whose payload has this name: "X.weight" of X.qweight, "X" of a stack's X_blocks.
std::string WeightNameOf(std::string_view payload);

/// Where the scales of a payload of this name and dtype would lie ("X.scales"); nullopt: neither
/// says that it is one.
std::optional<std::string> ScalesNameOf(std::string_view payload, DType dtype);

/// What stands behind the module's name in the name of a companion that changes a payload's values.
struct CompanionSuffix {
  std::string_view text;
  size_t least_axes = 0;  ///< of fewer it is something else
};

/// Those that a payload of this name may have.
std::span<const CompanionSuffix> CompanionSuffixes(std::string_view payload);

}  // namespace moe
