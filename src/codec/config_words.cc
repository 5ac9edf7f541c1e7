#include "codec/config_words.h"

#include <fmt/format.h>

#include "checkpoint/names.h"
#include "codec/dialects.h"
#include "codec/module_names.h"

namespace moe {
namespace {

constexpr const char* kConfig = "quantization config";

/// One of compressed-tensors' config_groups.
struct Group {
  QuantWords words;
  Entries names;
  std::vector<NamePattern> patterns;
  bool of_class = false;  ///< a class of modules ("Linear"), or no targets

  Group(const std::string& name, const Json& group, QuantWords all) : words(std::move(all)) {
    words.entry = fmt::format("{}, {}", kConfig, Printable(name));
    const Json* targets = group.is_array() ? &group : group.Find("targets");
    if (const Json* weights = group.Find("weights")) {
      ReadGroup(*weights, words);
    } else if (group.is_array()) {
      ReadPreset(name, words);
    }
    if (const std::string format = TextAt(group, "format"); !format.empty()) words.format = format;
    if (words.format == "mixed-precision") words.format.clear();
    if (!targets || !targets->is_array()) {
      of_class = true;
      return;
    }
    for (const Json& target : *targets) {
      if (target.is_string()) AddTarget(target);
    }
  }

  void AddTarget(const Json& text) {
    const std::string& target = text.text();
    if (target.starts_with("re:")) {
      patterns.emplace_back(target.substr(3));
    } else if (!target.empty() && target[0] >= 'A' && target[0] <= 'Z' &&
               target.find('.') == std::string::npos) {
      of_class = true;
    } else {
      names.Add(target, text);
    }
  }

  /// 3: by name, 2: by pattern, 1: by class, 0: no target.
  int Level(std::string_view module) const {
    if (names.Find(module)) return 3;
    for (const NamePattern& pattern : patterns) {
      if (pattern.Matches(module)) return 2;
    }
    return of_class ? 1 : 0;
  }
};

/// GPTQModel's `dynamic` and AutoRound's `extra_config` with patterns: the first that matches.
struct Rule {
  std::string name;
  NamePattern pattern;
  bool excludes;
  const Json* value;
};

}  // namespace

// ---- QuantWords ----

std::string QuantWords::Text(std::string_view key) const {
  return object ? TextAt(*object, key) : "";
}

std::optional<bool> QuantWords::Flag(std::string_view key) const {
  return object ? FlagAt(*object, key) : std::nullopt;
}

// ---- QuantConfig ----

struct QuantConfig::Impl {
  Json object;
  QuantWords all;   ///< what is said of every module
  QuantWords none;  ///< nothing but the object
  Exclusions excluded;
  std::vector<Group> groups;
  bool has_groups = false, by_layer = false;
  Entries entries;  ///< of MLX, AutoRound (extra_config), ModelOpt (quantized_layers)
  std::vector<Rule> rules;

  void Read();
  void ReadRules(const Json& table);
  std::optional<QuantWords> Own(std::string_view module) const;
  QuantWords Merged(const std::string& name, const Json& value) const;
};

void QuantConfig::Impl::Read() {
  // hf_quant_config.json: {"producer": .., "quantization": {..}}
  if (const Json* inner = object.Find("quantization"); inner && inner->is_object()) {
    object = Json(*inner);
  }
  none.object = all.object = &object;
  if (!object.is_object()) return;
  all.entry = kConfig;
  all.method = QuantMethod(object);
  all.format = TextAt(object, "format");
  if (all.method.empty() && !TextAt(object, "quant_algo").empty()) all.method = "modelopt";
  for (const char* key : {"ignore", "ignored_layers", "modules_to_not_convert", "exclude_modules",
                          "llm_int8_skip_modules"}) {
    if (const Json* list = object.Find(key)) excluded.Add(*list);
  }
  if (const Json* table = object.Find("config_groups"); table && table->is_object()) {
    has_groups = true;
    for (const auto& [name, group] : table->items()) groups.emplace_back(name, group, all);
    return;
  }
  ReadFlat(object, all);
  if (const Json* layers = object.Find("quantized_layers"); layers && layers->is_object()) {
    by_layer = true;
    for (const auto& [name, value] : layers->items()) entries.Add(name, value);
  }
  for (const char* key : {"dynamic", "extra_config"}) {
    if (const Json* table = object.Find(key); table && table->is_object()) ReadRules(*table);
  }
  if (!all.method.empty()) return;
  for (const auto& [name, value] : object.items()) {
    if (value.is_object() || value.is_boolean()) entries.Add(name, value);
  }
}

void QuantConfig::Impl::ReadRules(const Json& table) {
  for (const auto& [name, value] : table.items()) {
    entries.Add(name, value);
    const bool marked = name.starts_with("-:") || name.starts_with("+:");
    rules.push_back({name, NamePattern(std::string_view(name).substr(marked ? 2 : 0)),
                     name.starts_with("-:"), &value});
  }
}

/// MLX takes a module's entry alone, the others fill it up from what is said of all.
QuantWords QuantConfig::Impl::Merged(const std::string& name, const Json& value) const {
  QuantWords words = all;
  if ((all.method.empty() || by_layer) && value != true) words = none;
  words.method = all.method;
  words.entry = fmt::format("{}, {}", kConfig, Printable(name));
  if (all.method.empty() && rules.empty()) words.quantized = value != false;
  ReadFlat(value, words);
  return words;
}

std::optional<QuantWords> QuantConfig::Impl::Own(std::string_view module) const {
  if (const Entries::Entry* entry = entries.Find(module)) return Merged(entry->name, *entry->value);
  for (const Rule& rule : rules) {
    if (!rule.pattern.Matches(module)) continue;
    return rule.excludes ? none : Merged(rule.name, *rule.value);
  }
  return std::nullopt;
}

QuantConfig::QuantConfig() : QuantConfig(Json()) {}

QuantConfig::QuantConfig(Json quantization) {
  auto impl = std::make_unique<Impl>();
  impl->object = std::move(quantization);
  impl->Read();
  impl_ = std::move(impl);
}

QuantConfig::~QuantConfig() = default;
QuantConfig::QuantConfig(QuantConfig&&) noexcept = default;
QuantConfig& QuantConfig::operator=(QuantConfig&&) noexcept = default;

std::vector<QuantWords> QuantConfig::Of(std::string_view module) const {
  constexpr size_t kLongestName = 1024;  // of a longer one each part would be looked up
  if (module.size() > kLongestName) return {impl_->none};
  if (impl_->excluded.Holds(module)) return {impl_->none};
  if (!impl_->has_groups) {
    const auto own = impl_->Own(module);
    if (own) return {*own};
    return {impl_->by_layer ? impl_->none : impl_->all};
  }
  int best = 1;
  std::vector<QuantWords> words;
  for (const Group& group : impl_->groups) {
    const int level = group.Level(module);
    if (level < best) continue;
    if (level > best) words.clear();
    best = level;
    words.push_back(group.words);
  }
  if (words.empty()) words.push_back(impl_->none);
  return words;
}

std::set<std::string> QuantConfig::EntriesBeside(std::span<const std::string> modules) const {
  if (!impl_->rules.empty()) return {};  // patterns
  std::set<std::string> beside = impl_->entries.Names();
  for (const std::string& module : modules) {
    if (const Entries::Entry* entry = impl_->entries.Find(module)) beside.erase(entry->name);
  }
  return beside;
}

std::string QuantMethod(const Json& quantization) {
  const std::string method = TextAt(quantization, "quant_method");
  if (method == "intel/auto-round") return "auto-round";
  if (method == "gptq_marlin" || method == "awq_marlin") return method.substr(0, method.find('_'));
  return method.starts_with("modelopt") ? "modelopt" : method;
}

}  // namespace moe
