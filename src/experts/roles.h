#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/pattern.h"
#include "moescope/experts.h"

namespace moe {

/// What a tensor's name tells about it, apart from rules and projections.
struct NameFacts {
  std::string lower;  ///< the name in lower case
  size_t ndim = 0;
  bool expert_named = false;  ///< contains `experts`, all shared keywords, or is in a rule
  bool expert_like = false;   ///< expert_named, or below `switch_mlp`, `moe`, `block_sparse_moe`
  bool has_expert_index = false;
};

/// The table of name patterns that tell roles (contract D8, D21).
class RoleTable {
 public:
  static const RoleTable& Get();

  /// Role of a tensor that is no expert matrix by its name: router, norm, attention, ... nullopt:
  /// the name does not say so.
  Result<std::optional<Role>> Classify(const NameFacts& facts) const;

  /// True for names under a module that holds experts: `switch_mlp`, `moe`, `block_sparse_moe`.
  static bool InExpertModule(std::string_view lower);

  /// True for `moe.gate_proj.weight` and the like: a matrix without an expert's number right below
  /// a module that holds experts is a dense MLP (the first layers of Kimi-Linear).
  static bool IsDenseInExpertModule(const NameFacts& facts);

 private:
  RoleTable();
  std::vector<Pattern> patterns_;
};

/// D25: the part of the model that the name lies in (`encoder`, `decoder`, `mtp`, `vision`, ...).
std::optional<std::string> StackOf(std::string_view lower);

/// "storage uint32 (quantized weight; scales in X.scales) is of no scheme that is read".
std::string UndecodedReason(const TensorInfo& tensor);

/// The dot-separated parts of a name.
std::vector<std::string_view> NameComponents(std::string_view name);

}  // namespace moe
