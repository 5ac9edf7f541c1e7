#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/utf8.h"

namespace moe {

/// "a.safetensors: tensor 'w1'": the `where` of an error about one tensor.
std::string TensorPlace(const std::filesystem::path& path, std::string_view name);

/// ".safetensors" of "A.SafeTensors".
std::string SuffixOf(const std::filesystem::path& path);

}  // namespace moe
