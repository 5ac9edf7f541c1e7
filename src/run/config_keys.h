#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_text.h"
#include "moescope/error.h"

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

struct Config;

/// Where a value stands, for errors.
struct KeyPlace {
  const std::string& config;  ///< names it
  std::string pointer;        ///< "/stats/eps"; of an element of kObjectList that of the list

  /// The error of a value that has the right type and can't be used, or of what is `below` it.
  [[nodiscard]] tl::unexpected<Error> Bad(const std::string& message,
                                          const std::string& below = "") const;
};

/// One key of analysis_config.json. From this table come validation, "did you mean", the JSON
/// Schema, docs/config.md, and what is read.
struct ConfigKey {
  std::string_view pointer;  ///< "/scan/max_files"; `*` is any element or any key
  KeyType type;
  bool nullable;            ///< null is as absent; of a kBool it is false
  bool required;            ///< of the object that holds it
  std::string_view values;  ///< allowed strings, "a|b|c"; "" any. Of a list's elements, trimmed
  /// What a missing key means: as JSON text, which is read in its place; or in words, then nothing
  /// is read.
  std::string_view absent;
  std::string_view doc;
  /// Puts the value where the program looks for it (config_values.h): after the keys of a kObject
  /// or kSwitch (of the latter null too), before those of each element of a kObjectList. nullptr:
  /// it has no value of its own, or what holds it reads it.
  Result<void> (*fill)(const Json& value, const KeyPlace& place, Config& config) = nullptr;
  /// JSON list for the schema's enum where the values are checked elsewhere; "" none.
  std::string_view schema_enum = "";

  std::string name() const;  ///< the last part of `pointer`
};

std::span<const ConfigKey> ConfigKeys();

const ConfigKey* FindConfigKey(std::string_view pointer);  ///< nullptr: none

/// The keys that an object at `pointer` may have, in table order.
std::vector<const ConfigKey*> ConfigKeysBelow(std::string_view pointer);

std::string ExpectedOf(const ConfigKey& key);  ///< "an integer or null"
std::vector<std::string> AllowedValues(const ConfigKey& key);

/// The value of `key` in the object that may hold it, or what its row says of an absent one; null
/// where that is words.
Json ValueIn(const Json& object, const ConfigKey& key);

/// The error of a value that has the right type and can't be used.
[[nodiscard]] tl::unexpected<Error> BadConfigValue(const std::string& where,
                                                   std::string_view pointer,
                                                   const std::string& message);

}  // namespace moe
