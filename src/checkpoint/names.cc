#include "checkpoint/names.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>

namespace moe {
namespace {

constexpr size_t kLongestText = 200;

/// Bytes of the UTF-8 character that `text` (not empty) starts with; 0 if it starts with none.
size_t CharacterBytes(std::string_view text) {
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
      if ((next & 0xc0) != 0x80) return 0;
      code_point = (code_point << 6) | (next & 0x3fu);
    }
    const bool surrogate = code_point >= 0xd800 && code_point <= 0xdfff;
    return code_point < form.smallest || code_point > 0x10ffff || surrogate ? 0 : bytes;
  }
  return 0;
}

}  // namespace

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t bytes = CharacterBytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

std::string Printable(std::string_view text) {
  std::string printable;
  size_t i = 0;
  while (i < text.size() && i < kLongestText) {
    const size_t bytes = CharacterBytes(text.substr(i));
    const auto first = static_cast<uint8_t>(text[i]);
    if (bytes == 0 || first < 0x20 || first == 0x7f) {
      printable += fmt::format("\\x{:02x}", first);
      ++i;
    } else {
      printable += text.substr(i, bytes);
      i += bytes;
    }
  }
  if (i < text.size()) printable += fmt::format("... ({} bytes)", text.size());
  return printable;
}

std::string TensorPlace(const std::filesystem::path& path, std::string_view name) {
  return fmt::format("{}: tensor '{}'", path.string(), Printable(name));
}

}  // namespace moe
