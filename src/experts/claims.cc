#include "experts/claims.h"

#include "codec/companions.h"
#include "experts/filter.h"
#include "experts/model_facts.h"
#include "experts/weight_names.h"

namespace moe {
namespace {

// The projections that a tensor holds by its name alone.
std::vector<std::string> ProjsOf(const ExtractContext& context, const Subject& subject) {
  if (!subject.hits.empty()) {
    const RuleHit& hit = subject.hits.front();
    if (hit.rule->rule.packed_split) return hit.rule->rule.packed_split->projs;
    if (hit.preset() != nullptr) return {hit.preset()->tensor->projs.front()};
  }
  if (IsW13(subject.facts.lower)) return {kGateProj, kUpProj};
  const auto proj = context.names.Infer(subject.weight.name);
  return proj ? std::vector<std::string>{*proj} : std::vector<std::string>{};
}

bool IsExpertsWeight(const ExtractContext& context, const Subject& subject) {
  const std::string& lower = subject.facts.lower;
  const bool named =
      !subject.hits.empty() || (EndsAsWeight(context.names, lower) && !IsOfAdapter(lower));
  return subject.is_expert() && named;
}

Result<std::optional<int64_t>> FirstNumber(const Pattern& pattern, const std::string& name) {
  const auto match = pattern.Search(name);
  if (!match) return tl::make_unexpected(match.error());
  return NumberIn(*match, 1);
}

}  // namespace

Result<std::vector<ExpertClaim>> ClaimsByName(const ExtractContext& context,
                                              std::string_view tensor) {
  const WeightShape weight{WeightNameOf(tensor), {}, "", ""};
  const auto subject = Look(context, weight, false);
  if (!subject) return tl::make_unexpected(subject.error());
  if (!IsExpertsWeight(context, *subject)) return std::vector<ExpertClaim>{};
  auto layer = FirstNumber(context.layer_pattern, weight.name);
  if (!layer) return tl::make_unexpected(std::move(layer.error()));
  auto expert = FirstNumber(context.expert_pattern, weight.name);
  if (!expert) return tl::make_unexpected(std::move(expert.error()));
  if (!*layer) *layer = LayerNumber(weight.name);
  if (!subject->hits.empty()) {
    const RuleHit& hit = subject->hits.front();
    if (const auto& group = hit.rule->rule.expert_group) *expert = NumberIn(hit.match, *group);
  }
  std::vector<ExpertClaim> claims;
  for (std::string& proj : ProjsOf(context, *subject)) {
    claims.push_back({StackFor(context, *subject, *layer), subject->shared, layer->value_or(-1),
                      context.names.Canonicalise(proj).value_or(proj), *expert});
  }
  return claims;
}

}  // namespace moe
