#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/pattern.h"
#include "codec/config_values.h"

namespace moe {

// How config.json's quantization names modules. Names are compared without the wrappers around the
// text model: "layers.0.mlp" for "model.language_model.layers.0.mlp" (checkpoints.md 10.3).

/// Without the wrappers around the text model: "layers.0.mlp" of
/// "model.language_model.layers.0.mlp".
std::string_view WithoutWrappers(std::string_view name);

/// A pattern of Python's re.match. One that cannot be compiled, or once took too many steps,
/// matches nothing: it may be asked for each of a million names.
class NamePattern {
 public:
  explicit NamePattern(std::string_view text);

  /// Whether it takes the name, under any of the wrappers.
  bool Matches(std::string_view module) const;

 private:
  bool MatchesName(const std::string& name) const;

  std::optional<Pattern> pattern_;
  std::unique_ptr<std::atomic<bool>> useless_ = std::make_unique<std::atomic<bool>>(false);
};

/// Lets a string_view look up std::string keys.
struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

/// Modules that the config leaves out: names, parts of names between dots, shell patterns or
/// "re:PATTERN".
class Exclusions {
 public:
  void Add(const Json& list);
  bool Holds(std::string_view module) const;

 private:
  void AddName(std::string_view name);
  bool HoldsPart(std::string_view core) const;

  std::unordered_set<std::string, TextHash, std::equal_to<>> names_;
  std::vector<std::string> globs_;
  std::vector<NamePattern> patterns_;
};

/// Entries of single modules, by name. Values are the config's.
class Entries {
 public:
  struct Entry {
    std::string name;
    const Json* value;
  };

  void Add(const std::string& name, const Json& value);
  const Entry* Find(std::string_view module) const;  ///< nullptr: none
  std::set<std::string> Names() const;

 private:
  using Map = std::unordered_map<std::string, Entry, TextHash, std::equal_to<>>;
  Map by_name_, by_core_;
};

}  // namespace moe
