#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/pattern.h"
#include "experts/families.h"
#include "moescope/experts.h"

namespace moe {

/// A rule made from a family's row.
struct PresetRule {
  /// Capturing groups of rule.match; the expert's is there where the name has a number of it.
  static constexpr int64_t kModule = 1, kLayerPath = 2, kLayer = 3, kExpert = 4;

  ExtractRule rule;
  const Family* family;        ///< whose names they are; "any": what every family may be saved as
  const LayoutTensor* tensor;  ///< what the rule reads
  std::string suffix;          ///< every match ends with it: a cheap first test
  bool shared = false;
  /// Where the shapes decide: the tail of down_proj for gate_up_proj, and the other way round; "":
  /// there is no such neighbour.
  std::string_view partner_tail = {};
};

/// A weight whose name a preset's rule matched.
struct PresetMatch {
  const WeightShape& weight;
  const PresetRule& rule;
  const PatternMatch& groups;

  std::string RouterName() const;  ///< what the router of these experts is called
  std::optional<std::string> PartnerName() const;
};

/// What a router's matrix is called: a pattern, and what every match ends with.
struct RouterPattern {
  std::string match, suffix;
};

struct Presets {
  std::vector<PresetRule> rules;
  std::vector<RouterPattern> routers;
};

/// The rules of `choice` ("auto", "off" or the name of `family`), which point into `table`: those
/// of `family`, if known, then what every family may be re-saved as (stacked by transformers 5,
/// MLX, GGUF, one matrix an expert), then those of all other families whose names are their own, or
/// whose sign is there. kBadArgument: an unknown name (the hint lists the known ones), or a row of
/// the table that can't be understood.
Result<Presets> PresetsOf(std::string_view choice, const Family* family,
                          std::span<const WeightShape> weights, const FamilyTable& table);

}  // namespace moe
