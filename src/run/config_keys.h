#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/error.h"
#include "run/json_text.h"

namespace moe {

/// What a config value must be. The list kinds hold elements of one type. Integers fit int64, those
/// of kUnsigned uint64; a float with an integer value counts as one.
enum class KeyType {
  kObject,
  kSwitch,  ///< true, false, or an object
  kObjectList,
  kString,
  kBool,
  kInteger,
  kUnsigned,
  kNumber,
  kStringList,
  kIntegerList,
  kNumberList,
  kAny,  ///< checked where it is used (a rule's layout and packed_split: contract section 6, D9)
};

/// One key of analysis_config.json. From this table come validation, "did you mean", the JSON
/// Schema and docs/config.md.
struct ConfigKey {
  std::string_view pointer;  ///< "/scan/max_files"; `*` is any element or any key
  KeyType type;
  bool nullable;
  bool required;            ///< of the object that holds it
  std::string_view values;  ///< allowed strings, "a|b|c"; "" any. Of a list's elements, trimmed
  std::string_view absent;  ///< what a missing key means, as JSON text or in words
  std::string_view doc;
  /// JSON list for the schema's enum where the values are checked elsewhere; "" none.
  std::string_view schema_enum = "";
};

std::span<const ConfigKey> ConfigKeys();

/// Checks types, allowed values and required keys of `config`. kBadArgument: "PATH /scan/max_files:
/// must be an integer or null, but is a string". Unknown keys go to `warnings` with the closest
/// known.
Result<void> CheckConfigKeys(const Json& config, const std::string& where,
                             std::vector<std::string>& warnings);

/// The same for `plots` alone, whatever else is in `config` or missing.
Result<void> CheckPlotsKeys(const Json& config, const std::string& where,
                            std::vector<std::string>& warnings);

/// The error of a value that has the right type and can't be used.
[[nodiscard]] tl::unexpected<Error> BadConfigValue(const std::string& where,
                                                   std::string_view pointer,
                                                   const std::string& message);

/// JSON Schema (draft 2020-12) of the file.
std::string ConfigSchemaText();

/// The table of docs/config.md.
std::string ConfigKeysMarkdown();

}  // namespace moe
