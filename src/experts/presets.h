#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/experts.h"

namespace moe {

/// One rule of a model family.
struct PresetRule {
  ExtractRule rule;
  std::string proj;     ///< projection of the whole tensor; "" where the rule splits or names it
  bool shared = false;  ///< its matrices are shared experts whatever the keywords say
  std::string refusal;  ///< not "": why such a tensor is left unread rather than guessed
};

/// A model family whose experts the template's rules do not find by themselves.
struct Preset {
  std::string name;
  std::vector<std::string> model_types;  ///< config.json's model_type
  bool by_names = false;                 ///< its names occur in no other family: no config needed
  std::vector<PresetRule> rules;
};

std::span<const Preset> AllPresets();

/// The presets that `choice` ("auto", "off" or a name) asks for. "auto" goes by `model_type`, or by
/// names alone where that is "". kBadArgument lists the known names.
Result<std::vector<const Preset*>> ChoosePresets(std::string_view choice,
                                                 std::string_view model_type);

}  // namespace moe
