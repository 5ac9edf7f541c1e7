#pragma once

#include <string>

#include "moescope/model.h"

namespace moe {

/// What tells models apart whatever folder they are in: FNV-1a of the names, types and shapes of
/// all tensors, in the order of their names: "headers:0123456789abcdef". Values are not read.
std::string FingerprintOf(const Model& model);

}  // namespace moe
