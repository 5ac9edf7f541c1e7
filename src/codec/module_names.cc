#include "codec/module_names.h"

#include <algorithm>

namespace moe {
namespace {

/// `text` against a shell pattern of '*' and '?'.
bool MatchesGlob(std::string_view glob, std::string_view text) {
  size_t g = 0, t = 0, star = std::string_view::npos, from = 0;
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      from = t;
    } else if (g < glob.size() && (glob[g] == '?' || glob[g] == text[t])) {
      ++g;
      ++t;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      t = ++from;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

}  // namespace

std::string_view WithoutWrappers(std::string_view name) {
  constexpr std::string_view kWrappers[] = {"model",    "language_model", "text_model",
                                            "backbone", "transformer",    "thinker",
                                            "llm",      "module"};
  for (;;) {
    const size_t dot = name.find('.');
    if (dot == std::string_view::npos) return name;
    const std::string_view head = name.substr(0, dot);
    if (std::find(std::begin(kWrappers), std::end(kWrappers), head) == std::end(kWrappers)) {
      return name;
    }
    name.remove_prefix(dot + 1);
  }
}

// ---- NamePattern ----

NamePattern::NamePattern(std::string_view text) {
  auto pattern = Pattern::Compile(text, "quantization config");
  if (pattern) pattern_.emplace(std::move(*pattern));
  *useless_ = !pattern;
}

bool NamePattern::Matches(std::string_view module) const {
  constexpr const char* kSpellings[] = {"", "model.", "model.language_model.",
                                        "language_model.model.", "language_model."};
  const std::string core(WithoutWrappers(module));
  return MatchesName(std::string(module)) ||
         std::any_of(std::begin(kSpellings), std::end(kSpellings),
                     [&](const char* wrapper) { return MatchesName(wrapper + core); });
}

bool NamePattern::MatchesName(const std::string& name) const {
  if (*useless_) return false;
  const auto found = pattern_->Match(name);
  if (!found) *useless_ = true;
  return found && found->has_value();
}

// ---- Exclusions ----

void Exclusions::Add(const Json& list) {
  if (!list.is_array()) return;
  for (const Json& entry : list) {
    if (entry.is_string()) AddName(entry.text());
  }
}

bool Exclusions::Holds(std::string_view module) const {
  const std::string_view core = WithoutWrappers(module);
  return HoldsPart(core) ||
         std::any_of(globs_.begin(), globs_.end(),
                     [&](const std::string& glob) {
                       return MatchesGlob(glob, core) || MatchesGlob(glob + ".*", core);
                     }) ||
         std::any_of(patterns_.begin(), patterns_.end(),
                     [&](const NamePattern& pattern) { return pattern.Matches(module); });
}

void Exclusions::AddName(std::string_view name) {
  if (name.starts_with("re:")) {
    patterns_.emplace_back(name.substr(3));
    return;
  }
  while (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty()) return;
  if (name.find_first_of("*?") != std::string_view::npos) {
    globs_.emplace_back(WithoutWrappers(name));
  } else {
    names_.emplace(WithoutWrappers(name));
  }
}

/// Whether a run of the name's parts between dots is listed.
bool Exclusions::HoldsPart(std::string_view core) const {
  if (names_.empty()) return false;
  for (size_t begin = 0; begin < core.size();) {
    size_t end = core.find('.', begin);
    for (;; end = core.find('.', end + 1)) {
      end = std::min(end, core.size());
      if (names_.contains(core.substr(begin, end - begin))) return true;
      if (end == core.size()) break;
    }
    begin = std::min(core.find('.', begin), core.size() - 1) + 1;
  }
  return false;
}

// ---- Entries ----

void Entries::Add(const std::string& name, const Json& value) {
  by_name_.emplace(name, Entry{name, &value});
  by_core_.emplace(std::string(WithoutWrappers(name)), Entry{name, &value});
}

const Entries::Entry* Entries::Find(std::string_view module) const {
  if (const auto exact = by_name_.find(module); exact != by_name_.end()) return &exact->second;
  const auto found = by_core_.find(WithoutWrappers(module));
  return found == by_core_.end() ? nullptr : &found->second;
}

std::set<std::string> Entries::Names() const {
  std::set<std::string> names;
  for (const auto& [name, entry] : by_name_) names.insert(name);
  return names;
}

}  // namespace moe
