#pragma once

#include <string_view>

#include "experts/proj_names.h"

namespace moe {

// What names of stored matrices look like, in lower case.

/// True for a name that ends in "w2_weight", in the projection itself, or in "weight" behind it (or
/// behind a number of it): all that a stored matrix is called.
bool EndsAsWeight(const ProjNames& names, std::string_view lower);

/// True for gate and up of vLLM's stacks, under a name that says nothing of their order.
bool IsW13(std::string_view lower);

/// True for a matrix of a LoRA adapter, which is no weight by itself.
bool IsOfAdapter(std::string_view lower);

}  // namespace moe
