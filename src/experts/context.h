#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/pattern.h"
#include "experts/axes.h"
#include "experts/presets.h"
#include "experts/proj_names.h"
#include "experts/rules.h"
#include "moescope/experts.h"

namespace moe {

/// What is the same for all weights of a checkpoint.
struct ExtractContext {
  struct CompiledRouter {
    std::string suffix;  // every match ends with it
    Pattern pattern;
  };

  ExtractOptions options;  ///< `model` with what names and the family add
  ProjNames names;
  std::vector<std::string> shared_keywords;  ///< lower case, none blank
  Pattern layer_pattern, expert_pattern;
  const Family* family;  ///< nullptr: unknown
  Axes axes;
  std::vector<PresetRule> presets;  ///< `rules` point to them
  std::vector<CompiledRule> rules;
  std::vector<CompiledRouter> routers;
};

/// Compiles all patterns; kBadArgument names the rule, or the family whose row can't be understood.
Result<ExtractContext> MakeContext(ExtractOptions options, std::span<const WeightShape> weights,
                                   const FamilyTable& table);

}  // namespace moe
