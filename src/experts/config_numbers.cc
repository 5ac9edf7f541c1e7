#include "experts/config_numbers.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace moe {

using nlohmann::json;

const json* At(const json& object, std::string_view path) {
  const size_t slash = path.find('/');
  const auto found = object.find(std::string(path.substr(0, slash)));
  if (found == object.end()) return nullptr;
  if (slash == std::string_view::npos) return &*found;
  return found->is_object() ? At(*found, path.substr(slash + 1)) : nullptr;
}

std::optional<uint64_t> WholeNumber(const json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  if (value.is_string()) {
    const auto number = IntegerIn(value.get_ref<const std::string&>());
    return number ? std::optional(static_cast<uint64_t>(*number)) : std::nullopt;
  }
  if (!value.is_number_float()) return std::nullopt;
  const double number = value.get<double>();
  const bool whole = number >= 0 && number <= INT32_MAX && number == std::floor(number);
  return whole ? std::optional(static_cast<uint64_t>(number)) : std::nullopt;
}

std::vector<std::string> UnreadableKeys(const json& config, std::span<const char* const> keys) {
  const auto readable = [](const json& value) {
    return value.is_null() || WholeNumber(value).value_or(UINT64_MAX) <= INT32_MAX;
  };
  std::vector<std::string> unreadable;
  for (const char* key : keys) {
    const json* value = At(config, key);
    if (value == nullptr) continue;
    const bool fine =
        value->is_array() ? std::all_of(value->begin(), value->end(), readable) : readable(*value);
    if (!fine) unreadable.push_back(key);
  }
  return unreadable;
}

std::optional<uint64_t> NumberOf(const json& config, std::span<const char* const> keys) {
  for (const char* key : keys) {
    const json* value = At(config, key);
    if (value == nullptr) continue;
    if (const auto number = WholeNumber(*value)) return number;
    if (!value->is_array() || value->empty()) continue;
    const json& first = value->front();
    const bool one =
        std::all_of(value->begin(), value->end(), [&](const json& item) { return item == first; });
    return one ? WholeNumber(first) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<uint64_t> CountOf(const json& config, std::span<const char* const> keys) {
  const auto count = NumberOf(config, keys);
  return count && *count <= INT32_MAX ? count : std::nullopt;
}

bool HasAny(const json& config, std::span<const char* const> keys) {
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
