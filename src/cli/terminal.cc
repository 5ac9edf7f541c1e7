#include "cli/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>

#include "base/text.h"
#include "checkpoint/names.h"

namespace moe::cli {
namespace {

bool StartsCharacter(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }

}  // namespace

size_t Width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), StartsCharacter));
}

std::string_view Characters(std::string_view text, size_t begin, size_t end) {
  size_t character = 0, from = text.size(), to = text.size();
  for (size_t i = 0; i < text.size(); ++i) {
    if (!StartsCharacter(text[i])) continue;
    if (character == begin) from = i;
    if (character == end) to = i;
    ++character;
  }
  return text.substr(from, to - from);
}

bool Utf8Locale() {
  // The first of its variables that is set counts.
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string locale = LowerAscii(value);
    return locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
  }
  return false;
}

std::string_view CutMark() { return Utf8Locale() ? "…" : "~"; }

std::optional<size_t> TerminalWidth(int descriptor) {
  constexpr size_t kUsual = 80;
  if (isatty(descriptor) == 0) return std::nullopt;
  winsize size{};
  const bool told = ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return told ? size.ws_col : kUsual;
}

std::string CutToTerminal(const std::string& line) {
  const auto width = TerminalWidth(STDOUT_FILENO);
  if (!width || Width(line) <= *width) return line;
  return fmt::format("{}{}", Characters(line, 0, *width - 1), CutMark());
}

std::string ShellWord(const std::string& text) {
  constexpr std::string_view kPlain = "%+,-./:=@_~";
  const bool plain =
      !text.empty() && text.front() != '~' &&
      std::all_of(text.begin(), text.end(), [&](const unsigned char c) {
        return std::isalnum(c) != 0 || kPlain.find(static_cast<char>(c)) != std::string_view::npos;
      });
  if (plain) return text;
  const bool printable = Escaped(text) == text;
  std::string word = printable ? "'" : "$'";
  for (const char c : text) {
    if (printable) {
      word += c == '\'' ? "'\\''" : std::string(1, c);
    } else if (c == '\'' || c == '\\') {
      word += std::string("\\") + c;
    } else {
      word += Escaped(std::string(1, c));
    }
  }
  return word + "'";
}

}  // namespace moe::cli
