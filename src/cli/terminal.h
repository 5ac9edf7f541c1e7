#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace moe::cli {

/// Characters of UTF-8 text.
size_t Width(std::string_view text);

/// The part from character `begin` to `end`.
std::string_view Characters(std::string_view text, size_t begin, size_t end);

/// What the locale says, installed or not: whether a terminal shows more than ASCII.
bool Utf8Locale();
/// What stands for text that was cut out, one character.
std::string_view CutMark();

/// Characters in a line of the terminal that this descriptor is; nullopt if it is none.
std::optional<size_t> TerminalWidth(int descriptor);

/// A line of results: its end is cut off where it would not fit the terminal that stdout is.
std::string CutToTerminal(const std::string& line);

/// `text` as a shell reads it as one word, printable.
std::string ShellWord(const std::string& text);

}  // namespace moe::cli
