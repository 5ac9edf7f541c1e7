#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moescope/checkpoint.h"
#include "moescope/error.h"
#include "moescope/model_facts.h"

namespace moe {

/// Input axes of a rule's `layout`; absent: the tensor has no such axis. Kept as the config wrote
/// them (negative counts from the end) and checked when a rule is applied: rows and columns must be
/// there, and together the axes name each of the tensor's exactly once.
struct RuleLayout {
  std::optional<int64_t> layer_axis, expert_axis, rows_axis, cols_axis;
};

/// A rule's `packed_split`: one tensor holds several projections beside each other.
struct PackedSplit {
  std::string axis = "rows";    ///< "rows"; anything else means columns
  bool equal = false;           ///< `"splits": "equal"`
  std::vector<int64_t> splits;  ///< sizes; one may be -1 (the rest); unused when equal
  std::vector<std::string> projs;
  bool interleave = false;  ///< row i belongs to part i mod n
};

struct ExtractRule {
  std::string name, match;  ///< `match`: Python re syntax, anchored at the start
  bool enabled = true;
  std::optional<int64_t> ndim, proj_group, expert_group;
  RuleLayout layout;
  /// Set when the config's layout or packed_split can't be used (a missing key, a wrong type): the
  /// rule then fails with this text wherever it matches, and nowhere else.
  std::optional<std::string> layout_error, packed_split_error;
  std::optional<PackedSplit> packed_split;
};

/// canonical projection name -> aliases, in config order (order decides).
using ProjAliases = std::vector<std::pair<std::string, std::vector<std::string>>>;

struct ExtractOptions {
  std::string layer_regex, expert_regex;
  ProjAliases proj_aliases;
  std::vector<std::string> shared_expert_keywords = {"shared", "expert"};
  bool strict_packed_split = true;
  bool proj_group_strict = false;
  bool experts_only = true;
  bool include_shared_expert = true;
  std::vector<ExtractRule> rules;
  std::string presets = "auto";  ///< "auto", "off" or a preset's name
  ModelFacts model;              ///< what is known before the tensors are looked at
};

/// What moescope takes when nobody wrote a config: the template's rules and names.
ExtractOptions DefaultExtractOptions();

/// A weight's name and decoded shape: what the extractor goes by.
struct WeightShape {
  std::string name;             ///< as the module is called: "X.weight", whatever holds it
  std::vector<uint64_t> shape;  ///< of the decoded array
  std::string tensor;           ///< the tensor that holds it, for `derived_tensor`; "": name
  std::string undecoded;        ///< not "": why its values can't be read
};

/// The tensor as a weight of its own: plain floats can be read, other dtypes say why not.
WeightShape PlainWeight(const TensorInfo& tensor);

/// What a tensor is for in the model. Every tensor has exactly one role; the output head counts as
/// an embedding, and a companion is part of another tensor's weight (scales, biases, ...).
enum class Role {
  kRoutedExpert,
  kSharedExpert,
  kRouter,
  kAttention,
  kEmbedding,
  kNorm,
  kCompanion,
  kOther,
};
inline constexpr size_t kRoleCount = 8;
std::string_view RoleName(Role role);  ///< "routed_expert", "shared_expert", ...

/// The matrices of one projection in one tensor: layers x experts of [rows, cols] each.
/// Element (l, e, r, c) is the tensor's logical row-major element number
///   offset + l * layer_stride + e * expert_stride + r * row_stride + c * col_stride.
struct ExpertBank {
  std::string derived_tensor;  ///< "NAME::PROJ", "NAME::split[rows]::PROJ"
  std::string proj;
  std::optional<std::string> stack;  ///< the model's part: "encoder", "mtp", ...
  bool is_shared_expert = false;
  int64_t first_layer = -1;                 ///< layer of position 0; -1: unknown
  bool has_layer_axis = false;              ///< 4-D: layer = max(first_layer, 0) + position
  std::optional<int64_t> single_expert_id;  ///< of the name or rule; used only when experts == 1
  uint64_t layers = 1, experts = 1, rows = 0, cols = 0;
  uint64_t offset = 0;
  uint64_t layer_stride = 0, expert_stride = 0, row_stride = 0, col_stride = 0;  ///< in elements

  uint64_t matrices() const { return layers * experts; }

  /// Ids of the matrix at (layer_pos, expert_pos) as the tables show them.
  int64_t LayerAt(uint64_t layer_pos) const;
  int64_t ExpertIdAt(uint64_t expert_pos) const;  ///< -1 for shared experts
};

/// A projection's name, given by a rule, that no alias maps to one of the known ones.
struct UnmappedProj {
  std::string context;  ///< "proj_group" or "packed_split"
  std::string rule_name, raw_proj, resolved_proj;
  std::string action;  ///< "kept_raw" or "dropped_strict"
  std::string derived_tensor;
  std::string suggested_proj, suggested_match;
};

/// What was decided about one tensor.
struct Extraction {
  Role role = Role::kOther;
  std::optional<int64_t> layer;      ///< the first number in the name; nullopt: none
  std::optional<std::string> stack;  ///< as ExpertBank::stack, whatever the tensor is
  bool considered = false;           ///< passed the filter: rules and fallback were tried
  std::string preset;                ///< family whose rule read it; "any": of all; "": no preset
  bool by_rule = false;              ///< else by fallback; meaningless without banks
  bool layout_given = false;         ///< by a rule of the user, whose word on the axes is taken
  std::vector<ExpertBank> banks;     ///< in output order; empty: nothing to analyse
  /// Why an expert-like tensor is not analysed; goes to unmatched_tensors. nullopt: nothing to
  /// report.
  std::optional<std::string> unmatched_reason;
  bool refused = false;  ///< unmatched because its shape contradicts others or the config
  std::vector<std::string> warnings;  ///< "[extract] ...", in order
  std::vector<UnmappedProj> unmapped_projs;
};

/// The matrices that a tensor is said to hold by its name alone: one projection of one expert or of
/// all experts of a layer.
struct ExpertClaim {
  std::optional<std::string> stack;
  bool is_shared_expert = false;
  int64_t layer = -1;
  std::string proj;
  std::optional<int64_t> expert;  ///< nullopt: all of the layer
};

/// Says of each tensor what it is and which expert matrices it holds. A filter by the name first;
/// then the rules in order (the user's, the presets', the template's), of which the first that
/// succeeds decides; last a fallback that goes by the projection's name alone.
///
/// Threads: Extract() may be called from any thread at once.
class Extractor {
 public:
  /// Compiles all patterns. `weights` are all weights of the checkpoint: where one name stands for
  /// several layouts, the shapes of its neighbours decide; none given: each weight is on its own.
  /// kBadArgument names the rule, the pattern and the offset of its fault.
  static Result<Extractor> Create(ExtractOptions options,
                                  std::span<const WeightShape> weights = {});
  ~Extractor();
  Extractor(Extractor&&) noexcept;
  Extractor& operator=(Extractor&&) noexcept;

  /// Fails only for what ends a run: a user's packed split that doesn't fit the tensor, unless
  /// ExtractOptions::strict_packed_split is off, or a pattern that hits its match limit (the
  /// message names the rule).
  Result<Extraction> Extract(const WeightShape& weight) const;
  Result<Extraction> Extract(const TensorInfo& tensor) const {
    return Extract(PlainWeight(tensor));
  }

  /// What a tensor of that name would hold, though it can't be read or is not there; payloads of
  /// quantized weights ("X.qweight", "X_blocks") too. Empty: no expert's weight.
  Result<std::vector<ExpertClaim>> ClaimsOf(std::string_view name) const;

  /// Name of the preset that the model_type, the GGUF architecture or a tensor's name gave; ""
  /// none.
  std::string_view family() const;

  /// ExtractOptions::model, and what the tensors' names and the family add.
  const ModelFacts& facts() const;

 private:
  struct Impl;
  explicit Extractor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace moe
