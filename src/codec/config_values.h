#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "codec/config_words.h"

namespace moe {

// Values of keys of config.json's quantization, as the libraries that write them take them.

using ConfigJson = nlohmann::ordered_json;

const ConfigJson* Member(const ConfigJson& object, std::string_view key);  ///< nullptr: absent
/// In lower case; "": absent or no text.
std::string TextAt(const ConfigJson& object, std::string_view key);

/// true or false; 1 or 0, as Python takes them.
std::optional<bool> FlagOf(const ConfigJson& value);
std::optional<bool> FlagAt(const ConfigJson& object, std::string_view key);

/// A positive integer, maybe written as 4.0.
std::optional<uint64_t> CountOf(const ConfigJson& value);
/// Columns of a group; -1, which means all of a row, is 0.
std::optional<uint64_t> GroupOf(const ConfigJson& value);
/// Of the first of `keys` that has one.
std::optional<uint64_t> CountAt(const ConfigJson& object,
                                std::initializer_list<std::string_view> keys);
std::optional<uint64_t> GroupAt(const ConfigJson& object,
                                std::initializer_list<std::string_view> keys);

/// [rows, columns], or compressed-tensors' "128x128".
std::optional<GridSize> BlockOf(const ConfigJson& value);

}  // namespace moe
