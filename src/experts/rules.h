#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/pattern.h"
#include "experts/presets.h"
#include "moescope/experts.h"

namespace moe {

/// A rule of the user, of a preset or of the template, ready to be matched.
struct CompiledRule {
  ExtractRule rule;
  Pattern pattern;
  const PresetRule* preset;  ///< nullptr for a user's rule or one of the template

  /// Rules of the template come after the presets, so that the presets need not know them.
  bool is_generic() const;
};

/// A rule whose pattern a weight's name matched; views into that name.
struct RuleHit {
  const CompiledRule* rule;
  PatternMatch match;

  const PresetRule* preset() const { return rule->preset; }
  PresetMatch ByPreset(const WeightShape& weight) const { return {weight, *preset(), match}; }
};

/// The enabled rules in the order in which they are tried: the user's, the presets' (which must
/// keep their place), the template's.
Result<std::vector<CompiledRule>> CompileRules(std::span<const ExtractRule> rules,
                                               std::span<const PresetRule> presets);

/// The number that a group captured; nullopt: none, or one that no model can have.
std::optional<int64_t> NumberIn(const std::optional<PatternMatch>& match, int64_t group);

}  // namespace moe
