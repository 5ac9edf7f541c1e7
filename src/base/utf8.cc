#include "base/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace moe {
namespace {

constexpr size_t kLongestText = 200;

struct Character {
  size_t bytes = 0;  ///< 0: no UTF-8
  uint32_t code_point = 0;
};

/// The UTF-8 character that `text` (not empty) starts with.
Character FirstCharacter(std::string_view text) {
  struct Form {
    uint8_t mask, lead;
    uint32_t smallest;  // code point; less is an overlong form
  };
  constexpr Form kForms[] = {
      {0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
  const auto first = static_cast<uint8_t>(text[0]);
  for (size_t bytes = 1; bytes <= std::size(kForms) && bytes <= text.size(); ++bytes) {
    const Form& form = kForms[bytes - 1];
    if ((first & form.mask) != form.lead) continue;
    uint32_t code_point = first & static_cast<uint8_t>(~form.mask);
    for (size_t i = 1; i < bytes; ++i) {
      const auto next = static_cast<uint8_t>(text[i]);
      if ((next & 0xc0) != 0x80) return {};
      code_point = (code_point << 6) | (next & 0x3fu);
    }
    const bool surrogate = code_point >= 0xd800 && code_point <= 0xdfff;
    if (code_point < form.smallest || code_point > 0x10ffff || surrogate) return {};
    return {bytes, code_point};
  }
  return {};
}

/// C0 and C1 controls, line separators, and the marks that reorder text.
bool CommandsTerminals(uint32_t code_point) {
  struct Range {
    uint32_t first, last;
  };
  constexpr Range kRanges[] = {{0x00, 0x1f},     {0x7f, 0x9f},     {0x61c, 0x61c},
                               {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069}};
  return std::any_of(std::begin(kRanges), std::end(kRanges), [code_point](const Range& range) {
    return code_point >= range.first && code_point <= range.last;
  });
}

/// `text` with \xNN for what is no UTF-8 and for the characters that `escapes` tells.
template <class Predicate>
std::string EscapedIf(std::string_view text, const Predicate& escapes) {
  std::string escaped;
  while (!text.empty()) {
    const Character first = FirstCharacter(text);
    const std::string_view raw = text.substr(0, std::max<size_t>(1, first.bytes));
    text.remove_prefix(raw.size());
    if (first.bytes > 0 && !escapes(first.code_point)) {
      escaped += raw;
    } else {
      for (const char c : raw) escaped += fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
    }
  }
  return escaped;
}

}  // namespace

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const bool ascii = static_cast<uint8_t>(text[0]) < 0x80;  // nearly always
    const size_t bytes = ascii ? 1 : FirstCharacter(text).bytes;
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

std::string AsUtf8(std::string_view text) {
  return EscapedIf(text, [](uint32_t) { return false; });
}

std::string Escaped(std::string_view text) { return EscapedIf(text, CommandsTerminals); }

std::string EscapedLines(std::string_view text) {
  return EscapedIf(text, [](uint32_t c) { return c != '\n' && CommandsTerminals(c); });
}

std::string Printable(std::string_view text) {
  size_t end = 0;
  while (end < text.size() && end < kLongestText) {
    end += std::max<size_t>(1, FirstCharacter(text.substr(end)).bytes);
  }
  const std::string shown = Escaped(text.substr(0, end));
  return end < text.size() ? fmt::format("{}... ({} bytes)", shown, text.size()) : shown;
}

}  // namespace moe
