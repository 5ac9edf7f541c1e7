#include "codec/config_values.h"

#include <charconv>
#include <cmath>

#include "base/text.h"

namespace moe {
namespace {

/// The first of `keys` that `read` can read.
std::optional<uint64_t> FirstOf(const Json& object, std::initializer_list<std::string_view> keys,
                                std::optional<uint64_t> (*read)(const Json&)) {
  for (const std::string_view key : keys) {
    const Json* value = object.Find(key);
    if (const auto number = value ? read(*value) : std::nullopt) return number;
  }
  return std::nullopt;
}

}  // namespace

std::string TextAt(const Json& object, std::string_view key) {
  const Json* value = object.Find(key);
  return value && value->is_string() ? LowerAscii(value->text()) : "";
}

std::optional<bool> FlagOf(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer() && (value == 0 || value == 1)) return value == 1;
  return std::nullopt;
}

std::optional<bool> FlagAt(const Json& object, std::string_view key) {
  const Json* value = object.Find(key);
  return value ? FlagOf(*value) : std::nullopt;
}

std::optional<uint64_t> CountOf(const Json& value) {
  if (value.is_number_float()) {
    const double number = value.get<double>();
    const bool whole = number >= 1 && number < 1e15 && number == std::floor(number);
    return whole ? std::optional(static_cast<uint64_t>(number)) : std::nullopt;
  }
  const bool positive = value.is_number_integer() && value.get<double>() > 0;
  return positive ? std::optional(value.get<uint64_t>()) : std::nullopt;
}

std::optional<uint64_t> GroupOf(const Json& value) {
  return value == -1 ? std::optional<uint64_t>(0) : CountOf(value);
}

std::optional<uint64_t> CountAt(const Json& object, std::initializer_list<std::string_view> keys) {
  return FirstOf(object, keys, CountOf);
}

std::optional<uint64_t> GroupAt(const Json& object, std::initializer_list<std::string_view> keys) {
  return FirstOf(object, keys, GroupOf);
}

std::optional<GridSize> BlockOf(const Json& value) {
  GridSize block;
  if (value.is_string()) {
    const std::string& text = value.text();
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
