#include "experts/config_numbers.h"

#include <algorithm>
#include <charconv>

namespace moe {

using nlohmann::json;

const json* At(const json& object, std::string_view path) {
  const size_t slash = path.find('/');
  const auto found = object.find(std::string(path.substr(0, slash)));
  if (found == object.end()) return nullptr;
  if (slash == std::string_view::npos) return &*found;
  return found->is_object() ? At(*found, path.substr(slash + 1)) : nullptr;
}

std::optional<uint64_t> NumberOf(const json& config, std::span<const char* const> keys) {
  for (const char* key : keys) {
    const json* value = At(config, key);
    if (value == nullptr) continue;
    if (value->is_number_unsigned()) return value->get<uint64_t>();
    if (!value->is_array() || value->empty()) continue;
    const json& first = value->front();
    const bool one =
        std::all_of(value->begin(), value->end(), [&](const json& item) { return item == first; });
    return one && first.is_number_unsigned() ? std::optional(first.get<uint64_t>()) : std::nullopt;
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
