#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "experts/context.h"
#include "experts/roles.h"

namespace moe {

/// One weight on its way through filter, rules and fallback.
struct Subject {
  const WeightShape& weight;
  NameFacts facts;
  std::optional<Role> named_role;  ///< what its name says that it is, other than an expert
  bool shared = false;
  std::vector<RuleHit> hits;  ///< in the order in which they are tried
  std::optional<int64_t> layer;
  std::optional<std::string> stack;

  bool is_expert() const { return facts.expert_like && !named_role; }
  const std::string& tensor() const { return weight.tensor.empty() ? weight.name : weight.tensor; }
  std::string DerivedName(const std::string& proj) const { return tensor() + "::" + proj; }
};

/// All that the name and the shape tell, but for layer and stack. Without a shape (`has_shape`
/// false) rules for any number of dimensions may hit.
Result<Subject> Look(const ExtractContext& context, const WeightShape& weight, bool has_shape);

/// The stack of a name in a layer: the part of the model that the name lies in, or "mtp" for the
/// layers that come after the model's own: multi-token prediction (checkpoints.md 10.3).
std::optional<std::string> StackFor(const ExtractContext& context, const Subject& subject,
                                    const std::optional<int64_t>& layer);

/// Whether a tensor that is not analysed is told as unmatched.
bool IsReported(const ExtractContext& context, const Subject& subject);

/// Fills role, layer and stack. True: rules and fallback are to be tried; false: it is no expert,
/// or can't be read, and `out` says why.
bool PassesFilter(const ExtractContext& context, const Subject& subject, Extraction& out);

}  // namespace moe
