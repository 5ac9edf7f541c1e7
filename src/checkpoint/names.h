#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/utf8.h"

namespace moe {

/// "a.safetensors: tensor 'w1'": the `where` of an error about one tensor.
std::string TensorPlace(const std::filesystem::path& path, std::string_view name);
std::string TensorPlace(std::string_view name);  ///< "tensor 'w1'"

/// ".safetensors" of "A.SafeTensors".
std::string SuffixOf(const std::filesystem::path& path);

}  // namespace moe
