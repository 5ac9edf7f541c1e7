#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "codec/config_words.h"

namespace moe {

// Values of keys of config.json's quantization, as the libraries that write them take them.

/// In lower case; "": absent or no text.
std::string TextAt(const Json& object, std::string_view key);

/// true or false; 1 or 0, as Python takes them.
std::optional<bool> FlagOf(const Json& value);
std::optional<bool> FlagAt(const Json& object, std::string_view key);

/// A positive integer, maybe written as 4.0.
std::optional<uint64_t> CountOf(const Json& value);
/// Columns of a group; -1, which means all of a row, is 0.
std::optional<uint64_t> GroupOf(const Json& value);
/// Of the first of `keys` that has one.
std::optional<uint64_t> CountAt(const Json& object, std::initializer_list<std::string_view> keys);
std::optional<uint64_t> GroupAt(const Json& object, std::initializer_list<std::string_view> keys);

/// [rows, columns], or compressed-tensors' "128x128".
std::optional<GridSize> BlockOf(const Json& value);

}  // namespace moe
