#include "run/config_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "run/config_keys.h"

namespace moe {
namespace {

using enum KeyType;

constexpr double kTwoTo63 = 9223372036854775808.0;

bool IsInteger(const Json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>() < (uint64_t{1} << 63);
  if (value.is_number_integer()) return true;
  if (!value.is_number_float()) return false;
  const double number = value.get<double>();
  return number == std::floor(number) && number >= -kTwoTo63 && number < kTwoTo63;
}

bool IsUnsigned(const Json& value) {
  if (value.is_number_unsigned()) return true;
  if (!value.is_number_float()) return false;
  const double number = value.get<double>();
  return number == std::floor(number) && number >= 0 && number < 2 * kTwoTo63;
}

template <class Predicate>
bool IsListOf(const Json& value, Predicate predicate) {
  return value.is_array() && std::all_of(value.begin(), value.end(), predicate);
}

bool HasType(const Json& value, const ConfigKey& key) {
  if (value.is_null() && key.nullable) return true;
  switch (key.type) {
    case kObject:
      return value.is_object();
    case kSwitch:
      return value.is_boolean() || value.is_object();
    case kObjectList:
      return IsListOf(value, [](const Json& v) { return v.is_object(); });
    case kString:
      return value.is_string();
    case kBool:
      return value.is_boolean();
    case kInteger:
      return IsInteger(value);
    case kUnsigned:
      return IsUnsigned(value);
    case kNumber:
      return value.is_number();
    case kStringList:
      return IsListOf(value, [](const Json& v) { return v.is_string(); });
    case kIntegerList:
      return IsListOf(value, IsInteger);
    case kNumberList:
      return IsListOf(value, [](const Json& v) { return v.is_number(); });
    case kAny:
      return true;
  }
  return false;
}

/// `name` as a part of a JSON pointer (RFC 6901).
std::string Escaped(std::string_view name) {
  std::string part;
  for (const char c : name) {
    if (c == '~') {
      part += "~0";
    } else if (c == '/') {
      part += "~1";
    } else {
      part += c;
    }
  }
  return part;
}

/// `value` as errors show it: JSON text, cut when long.
std::string InError(const Json& value) {
  constexpr size_t kMaxShown = 80;
  std::string text = value.Text({.ascii = true});
  if (text.size() <= kMaxShown) return text;
  return text.substr(0, kMaxShown) + "...";
}

class Checker {
 public:
  Checker(const std::string& where, std::vector<std::string>& warnings)
      : where_(where), warnings_(warnings) {}

  Result<void> CheckObject(const Json& object, const std::string& pattern,
                           const std::string& pointer) {
    const auto children = ConfigKeysBelow(pattern);
    for (const ConfigKey* child : children) {
      const std::string name(child->name());
      if (child->required && name != "*" && !object.contains(name)) {
        return BadConfigValue(where_, pointer + "/" + name,
                              "is missing; it must be " + ExpectedOf(*child));
      }
    }
    const bool any_key = children.size() == 1 && children.front()->name() == "*";
    for (const auto& [name, value] : object.items()) {
      const std::string part = Escaped(name);
      const std::string child_pattern = pattern + "/" + (any_key ? "*" : part);
      const ConfigKey* key = FindConfigKey(child_pattern);
      if (key == nullptr) {
        WarnUnknown(children, pointer, name);
      } else if (auto done = CheckValue(value, *key, child_pattern, pointer + "/" + part); !done) {
        return done;
      }
    }
    return {};
  }

  Result<void> CheckValue(const Json& value, const ConfigKey& key, const std::string& pattern,
                          const std::string& pointer) {
    if (!HasType(value, key)) {
      return BadConfigValue(where_, pointer,
                            fmt::format("must be {}, but is {}", ExpectedOf(key), InError(value)));
    }
    if (auto done = CheckAllowed(value, key, pointer); !done) return done;
    if (value.is_object() && key.type != kAny) return CheckObject(value, pattern, pointer);
    if (key.type != kObjectList || value.is_null()) return {};
    for (size_t i = 0; i < value.size(); ++i) {
      if (auto done = CheckObject(value[i], pattern + "/*", fmt::format("{}/{}", pointer, i));
          !done) {
        return done;
      }
    }
    return {};
  }

 private:
  Result<void> CheckAllowed(const Json& value, const ConfigKey& key, const std::string& pointer) {
    if (key.values.empty()) return {};
    if (value.is_string()) return CheckText(value.text(), key, pointer);
    for (size_t i = 0; value.is_array() && i < value.size(); ++i) {
      const std::string_view text = Trimmed(value[i].text());
      auto done = CheckText(text, key, fmt::format("{}/{}", pointer, i));
      if (!done) return done;
    }
    return {};
  }

  Result<void> CheckText(std::string_view text, const ConfigKey& key, const std::string& pointer) {
    const std::vector<std::string> allowed = AllowedValues(key);
    if (std::find(allowed.begin(), allowed.end(), text) != allowed.end()) return {};
    const auto closest = ClosestName(text, allowed);
    return BadConfigValue(
        where_, pointer,
        fmt::format("must be one of {}, but is {}{}", fmt::join(allowed, ", "), InError(text),
                    closest ? "; did you mean \"" + *closest + "\"?" : ""));
  }

  void WarnUnknown(const std::vector<const ConfigKey*>& children, const std::string& pointer,
                   const std::string& name) {
    std::vector<std::string> known;
    for (const ConfigKey* child : children) known.emplace_back(child->name());
    const auto closest = ClosestName(name, known);
    warnings_.push_back(fmt::format("[config] unknown key {}/{} is ignored{}", pointer,
                                    Escaped(name),
                                    closest ? "; did you mean \"" + *closest + "\"?" : ""));
  }

  const std::string& where_;
  std::vector<std::string>& warnings_;
};

}  // namespace

Result<void> CheckConfigKeys(const Json& config, const std::string& where,
                             std::vector<std::string>& warnings) {
  if (!config.is_object()) return BadConfigValue(where, "/", "must be an object");
  return Checker(where, warnings).CheckObject(config, "", "");
}

Result<void> CheckPlotsKeys(const Json& config, const std::string& where,
                            std::vector<std::string>& warnings) {
  if (!config.is_object()) return BadConfigValue(where, "/", "must be an object");
  const Json* plots = config.Find("plots");
  if (plots == nullptr) return {};
  return Checker(where, warnings).CheckValue(*plots, *FindConfigKey("/plots"), "/plots", "/plots");
}

}  // namespace moe
