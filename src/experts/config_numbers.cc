#include "experts/config_numbers.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace moe {

const Json* At(const Json& object, std::string_view path) {
  const size_t slash = path.find('/');
  const Json* found = object.Find(path.substr(0, slash));
  if (found == nullptr || slash == std::string_view::npos) return found;
  return At(*found, path.substr(slash + 1));
}

std::optional<uint64_t> WholeNumber(const Json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  if (value.is_string()) {
    const auto number = IntegerIn(value.text());
    return number ? std::optional(static_cast<uint64_t>(*number)) : std::nullopt;
  }
  if (!value.is_number_float()) return std::nullopt;
  const double number = value.get<double>();
  const bool whole = number >= 0 && number <= INT32_MAX && number == std::floor(number);
  return whole ? std::optional(static_cast<uint64_t>(number)) : std::nullopt;
}

std::vector<std::string> UnreadableKeys(const Json& config, std::span<const char* const> keys) {
  const auto readable = [](const Json& value) {
    return value.is_null() || WholeNumber(value).value_or(UINT64_MAX) <= INT32_MAX;
  };
  std::vector<std::string> unreadable;
  for (const char* key : keys) {
    const Json* value = At(config, key);
    if (value == nullptr) continue;
    const bool fine =
        value->is_array() ? std::all_of(value->begin(), value->end(), readable) : readable(*value);
    if (!fine) unreadable.push_back(key);
  }
  return unreadable;
}

std::optional<uint64_t> NumberOf(const Json& config, std::span<const char* const> keys) {
  for (const char* key : keys) {
    const Json* value = At(config, key);
    if (value == nullptr) continue;
    if (const auto number = WholeNumber(*value)) return number;
    if (!value->is_array() || value->empty()) continue;
    const Json& first = value->front();
    const bool one =
        std::all_of(value->begin(), value->end(), [&](const Json& item) { return item == first; });
    return one ? WholeNumber(first) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<uint64_t> CountOf(const Json& config, std::span<const char* const> keys) {
  const auto count = NumberOf(config, keys);
  return count && *count <= INT32_MAX ? count : std::nullopt;
}

bool HasAny(const Json& config, std::span<const char* const> keys) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](const char* key) { return At(config, key) != nullptr; });
}

std::optional<int64_t> IntegerIn(std::string_view text) {
  int32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

}  // namespace moe
