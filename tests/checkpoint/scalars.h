#pragma once

#include <string>
#include <vector>

namespace moe {

/// A safetensors file of one float32 for each of these names, which need no escape in JSON.
std::string Scalars(const std::vector<std::string>& names);

}  // namespace moe
