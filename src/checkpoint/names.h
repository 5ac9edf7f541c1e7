#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace moe {

/// True for well-formed UTF-8: no overlong forms, no surrogates, nothing past U+10FFFF.
bool IsUtf8(std::string_view text);

/// `text` from a file, fit for a terminal: control characters, line ends, marks that reorder text,
/// and what is no UTF-8 become \xNN.
std::string Escaped(std::string_view text);

/// Escaped(), with long texts cut: fit for a part of a message.
std::string Printable(std::string_view text);

/// "a.safetensors: tensor 'w1'": the `where` of an error about one tensor.
std::string TensorPlace(const std::filesystem::path& path, std::string_view name);

}  // namespace moe
