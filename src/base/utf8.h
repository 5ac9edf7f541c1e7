#pragma once

#include <string>
#include <string_view>

namespace moe {

/// True for well-formed UTF-8: no overlong forms, no surrogates, nothing past U+10FFFF.
bool IsUtf8(std::string_view text);

/// `text` as UTF-8: bytes that are none become \xNN, all else stays.
std::string AsUtf8(std::string_view text);

/// `text` from a file, fit for a terminal: control characters, line ends, marks that reorder text,
/// and what is no UTF-8 become \xNN.
std::string Escaped(std::string_view text);

/// Escaped(), but line ends stay: for a text of several lines.
std::string EscapedLines(std::string_view text);

/// Escaped(), with long texts cut: fit for a part of a message.
std::string Printable(std::string_view text);

}  // namespace moe
