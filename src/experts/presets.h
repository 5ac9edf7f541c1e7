#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/experts.h"

namespace moe {

/// Which way the last two axes of a stack go.
enum class AxisOrder {
  kOutIn,     ///< [experts, out, in]
  kInOut,     ///< [experts, in, out]
  kByShapes,  ///< either, under one name: the shapes decide (formats.md 10.1)
};

/// One tensor name of a layout class.
struct LayoutPart {
  const char* tail;  ///< what follows the module's path and a dot; '#' is the expert's number
  unsigned ndim;     ///< 3: a stack of experts
  std::vector<const char*> projs;  ///< one: the whole tensor; two: halves along the output axis
  AxisOrder order = AxisOrder::kOutIn;
  bool interleaved = false;      ///< the two projections alternate
  bool flat = false;             ///< 2-D, all experts along the rows (DBRX)
  bool flat_transposed = false;  ///< flat, and each slice is [in, out]
};

/// A layout class of formats.md 10.1: what the tensors of one block of experts are called.
struct LayoutClass {
  const char* name;
  std::vector<LayoutPart> parts;
};

/// A layout class under the module that has it.
struct Placement {
  const char* layout;  ///< name of a LayoutClass
  const char*
      module;  ///< PCRE2 without capturing groups, below the layer's number; "" is the layer
};

/// A model family, a row of formats.md 10.2. All that differs between families is here.
struct Family {
  const char* row;
  const char* name;  ///< for parsing.presets
  const char* title;
  std::vector<const char*> model_types;  ///< config.json's model_type, of the text model
  std::vector<const char*> gguf_archs;   ///< general.architecture
  std::vector<Placement> routed, shared;
  const char* router;                         ///< names, for people
  const char* layers = R"((?:.*\.)?layers)";  ///< before the layer's number
  /// End of a name that only this family has. Its names mean something else for others: they are
  /// read only where the config or this sign tells the family.
  const char* sign = nullptr;
  bool shared_in_stack = false;  ///< MLX stacks one expert more than the router has: the shared one
  bool router_has_more = false;  ///< its router has rows of shared or identity experts as well
  bool gated = true;             ///< its experts have a gate_proj
  bool every_layer = false;      ///< where the config has no key about layers, all have experts
  bool always_shared = false;    ///< layers with experts have a shared one, of which no key speaks
};

std::span<const LayoutClass> AllLayoutClasses();
std::span<const Family> AllFamilies();

/// A rule made from a family's row.
struct PresetRule {
  ExtractRule rule;    ///< group 1: layer; group 2: expert, where the name has one
  std::string family;  ///< whose names they are; "any": what every family may be saved as
  std::string suffix;  ///< every match ends with it: a cheap first test
  std::string proj;    ///< of the whole tensor; "" where the rule splits
  bool shared = false;
  AxisOrder order = AxisOrder::kOutIn;
  bool flat = false, flat_transposed = false;
};

/// The rules of `choice` ("auto", "off" or a family's name). "auto": those of `family`, if known,
/// then what every family may be re-saved as (stacked by transformers 5, MLX, GGUF, one matrix an
/// expert), then those of all other families whose names are their own, or whose sign is there.
/// kBadArgument lists the known names.
Result<std::vector<PresetRule>> PresetRules(std::string_view choice, const Family* family,
                                            std::span<const WeightShape> weights);

/// The family of config.json's model_type, else of the GGUF architecture, else the one whose sign
/// is among the names; nullptr: none known.
const Family* FindFamily(std::string_view model_type, std::string_view gguf_arch,
                         std::span<const WeightShape> weights);

/// The family of that name; nullptr: none.
const Family* FamilyNamed(std::string_view name);

/// docs/architectures.md: the two tables as text.
std::string ArchitecturesMarkdown();

}  // namespace moe
