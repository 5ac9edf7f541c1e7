#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/experts.h"

namespace moe {

/// How the axes of a tensor of experts go.
enum class AxisOrder {
  kOutIn,      ///< [experts, out, in]; of one expert [out, in]
  kInOut,      ///< [experts, in, out]
  kByShapes,   ///< either, under one name: the shapes decide (checkpoints.md 10.1)
  kRowsOutIn,  ///< [experts * out, in]: all experts along the rows of a matrix (DBRX)
  kRowsInOut,  ///< [experts * in, out]
};

/// The projections of an expert, as the tables call them.
inline constexpr const char *kGateProj = "gate_proj", *kUpProj = "up_proj",
                            *kDownProj = "down_proj";

/// A tensor of a layout class.
struct LayoutTensor {
  /// What follows the module's path and a dot. PCRE2 without capturing groups, but that a dot is a
  /// dot and '#' the expert's number. Plain text where the shapes decide: its neighbour is found by
  /// the other's tail.
  const char* tail;
  unsigned ndim;                   ///< 3: a stack of experts
  std::vector<const char*> projs;  ///< one: the whole tensor; two: halves along the output axis
  AxisOrder order = AxisOrder::kOutIn;
  bool interleaved = false;  ///< the two projections alternate
  bool shared_last = false;  ///< the stack may end in the shared expert (Family::shared_in_stack)

  bool is_flat() const { return order == AxisOrder::kRowsOutIn || order == AxisOrder::kRowsInOut; }
  bool is_fused() const { return projs.size() > 1; }
  bool is_down() const { return !is_fused() && std::string_view(projs.front()) == kDownProj; }
};

/// A layout class of checkpoints.md 10.1: what the tensors of one block of experts are called.
struct LayoutClass {
  const char* name;
  std::vector<LayoutTensor> tensors;
};

/// A layout class under the module that has it.
struct Placement {
  const char* layout;  ///< name of a LayoutClass
  const char* module;  ///< PCRE2 without capturing groups, below the layer's number; "" is the
                       ///< layer, "*" any module
};

/// What chooses experts. In names 'M' is the experts' module, 'P' the layer.
struct Router {
  constexpr Router(const char* the_matrix, const char* the_rest = "")
      : matrix(the_matrix), rest(the_rest) {}
  const char* matrix;  ///< [experts, hidden]: its shape tells how experts lie
  const char* rest;    ///< its other tensors, for people
};

/// A model family, a row of checkpoints.md 10.2. All that differs between families is here.
struct Family {
  const char* row;
  const char* name;  ///< for parsing.presets
  const char* title;
  std::vector<const char*> model_types;  ///< config.json's model_type, of the text model
  std::vector<const char*> gguf_archs;   ///< general.architecture
  std::vector<Placement> routed, shared;
  Router router;
  const char* layers = R"((?:.*\.)?layers)";  ///< before the layer's number; as Placement::module
  const char* sign = nullptr;                 ///< end of a name that only this family has
  bool shared_in_stack = false;  ///< MLX stacks one expert more than the router has: the shared one
  bool router_has_more = false;  ///< its router has rows of shared or identity experts as well
  bool only_if_known = false;    ///< its names mean something else for others: they are read only
                                 ///< where the config or the sign tells the family
  bool gated = true;             ///< its experts have a gate_proj
  bool every_layer = false;      ///< where the config has no key about layers, all have experts
  bool always_shared = false;    ///< layers with experts have a shared one, of which no key speaks

  bool HasSign(std::span<const WeightShape> weights) const;
};

/// Families, and the layout classes that they are made of.
struct FamilyTable {
  std::span<const LayoutClass> layouts;
  std::span<const Family> families;
  std::span<const Family> any;  ///< what every family may be re-saved as, under the name "any"

  /// nullptr: none.
  const LayoutClass* LayoutNamed(std::string_view name) const;
  const Family* Named(std::string_view name) const;

  /// The family of config.json's model_type, else of the GGUF architecture, else the one whose sign
  /// is among the names; nullptr: none known.
  const Family* Find(const ModelFacts& model, std::span<const WeightShape> weights) const;
};

/// The families that moescope knows.
const FamilyTable& KnownFamilies();

/// docs/architectures.md: the two tables as text.
std::string ArchitecturesMarkdown(const FamilyTable& table);

}  // namespace moe
