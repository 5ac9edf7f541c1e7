#include "codec/config_values.h"

#include <charconv>
#include <cmath>

#include "base/text.h"

namespace moe {
namespace {

/// The first of `keys` that `read` can read.
std::optional<uint64_t> FirstOf(const ConfigJson& object,
                                std::initializer_list<std::string_view> keys,
                                std::optional<uint64_t> (*read)(const ConfigJson&)) {
  for (const std::string_view key : keys) {
    const ConfigJson* value = Member(object, key);
    if (const auto number = value ? read(*value) : std::nullopt) return number;
  }
  return std::nullopt;
}

}  // namespace

const ConfigJson* Member(const ConfigJson& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

std::string TextAt(const ConfigJson& object, std::string_view key) {
  const ConfigJson* value = Member(object, key);
  return value && value->is_string() ? LowerAscii(value->get_ref<const std::string&>()) : "";
}

std::optional<bool> FlagOf(const ConfigJson& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer() && (value == 0 || value == 1)) return value == 1;
  return std::nullopt;
}

std::optional<bool> FlagAt(const ConfigJson& object, std::string_view key) {
  const ConfigJson* value = Member(object, key);
  return value ? FlagOf(*value) : std::nullopt;
}

std::optional<uint64_t> CountOf(const ConfigJson& value) {
  if (value.is_number_float()) {
    const double number = value.get<double>();
    const bool whole = number >= 1 && number < 1e15 && number == std::floor(number);
    return whole ? std::optional(static_cast<uint64_t>(number)) : std::nullopt;
  }
  return value.is_number_integer() && value > 0 ? std::optional(value.get<uint64_t>())
                                                : std::nullopt;
}

std::optional<uint64_t> GroupOf(const ConfigJson& value) {
  return value == -1 ? std::optional<uint64_t>(0) : CountOf(value);
}

std::optional<uint64_t> CountAt(const ConfigJson& object,
                                std::initializer_list<std::string_view> keys) {
  return FirstOf(object, keys, CountOf);
}

std::optional<uint64_t> GroupAt(const ConfigJson& object,
                                std::initializer_list<std::string_view> keys) {
  return FirstOf(object, keys, GroupOf);
}

std::optional<GridSize> BlockOf(const ConfigJson& value) {
  GridSize block;
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    const char* const end = text.data() + text.size();
    const auto rows = std::from_chars(text.data(), end, block.rows);
    if (rows.ec != std::errc() || rows.ptr == end || *rows.ptr != 'x') return std::nullopt;
    const auto cols = std::from_chars(rows.ptr + 1, end, block.cols);
    if (cols.ec != std::errc() || cols.ptr != end) return std::nullopt;
  } else if (value.is_array() && value.size() == 2) {
    block = {CountOf(value[0]).value_or(0), CountOf(value[1]).value_or(0)};
  }
  return block.rows > 0 && block.cols > 0 ? std::optional(block) : std::nullopt;
}

}  // namespace moe
