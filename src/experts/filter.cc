#include "experts/filter.h"

#include <algorithm>

#include "base/text.h"
#include "experts/model_facts.h"

namespace moe {
namespace {

bool HasSharedKeywords(const ExtractContext& context, const std::string& lower) {
  const auto& words = context.shared_keywords;
  return !words.empty() && std::all_of(words.begin(), words.end(), [&](const std::string& word) {
    return lower.find(word) != std::string::npos;
  });
}

Result<std::vector<RuleHit>> HitsOf(const ExtractContext& context, const WeightShape& weight,
                                    bool has_shape) {
  std::vector<RuleHit> hits;
  for (const CompiledRule& rule : context.rules) {
    const auto& ndim = rule.rule.ndim;
    if (has_shape && ndim && *ndim != static_cast<int64_t>(weight.shape.size())) continue;
    if (rule.preset != nullptr && !weight.name.ends_with(rule.preset->suffix)) continue;
    auto match = rule.pattern.Match(weight.name);
    if (!match) return tl::make_unexpected(std::move(match.error()));
    if (*match) hits.push_back({&rule, std::move(**match)});
  }
  return hits;
}

// A name that means something else in general, but is the router's in the family's row.
Result<bool> IsFamilysRouter(const ExtractContext& context, const Subject& subject) {
  if (subject.facts.ndim > 2 || subject.facts.has_expert_index) return false;
  for (const auto& router : context.routers) {
    if (!subject.weight.name.ends_with(router.suffix)) continue;
    const auto match = router.pattern.Match(subject.weight.name);
    if (!match) return tl::make_unexpected(match.error());
    if (*match) return true;
  }
  return false;
}

Result<std::optional<Role>> NamedRole(const ExtractContext& context, const Subject& subject) {
  auto role = RoleTable::Get().Classify(subject.facts);
  if (!role || *role) return role;
  const auto router = IsFamilysRouter(context, subject);
  if (!router) return tl::make_unexpected(router.error());
  return *router ? std::optional(Role::kRouter) : std::nullopt;
}

bool IsNeverAnalysed(Role role) {
  return role == Role::kRouter || role == Role::kCompanion || role == Role::kNorm;
}

// Why an expert's weight holds nothing that can be read; "": it does.
std::string UnreadableReason(const WeightShape& weight) {
  const bool empty = std::find(weight.shape.begin(), weight.shape.end(), 0U) != weight.shape.end();
  return empty ? "empty" : weight.undecoded;
}

}  // namespace

Result<Subject> Look(const ExtractContext& context, const WeightShape& weight, bool has_shape) {
  Subject subject{weight, {}, {}, false, {}, {}, {}};
  NameFacts& facts = subject.facts;
  facts.lower = LowerAscii(weight.name);
  facts.ndim = weight.shape.size();
  auto hits = HitsOf(context, weight, has_shape);
  if (!hits) return tl::make_unexpected(std::move(hits.error()));
  subject.hits = std::move(*hits);
  subject.shared = HasSharedKeywords(context, facts.lower) ||
                   std::any_of(subject.hits.begin(), subject.hits.end(), [](const RuleHit& hit) {
                     return hit.preset() != nullptr && hit.preset()->shared;
                   });
  const auto expert = context.expert_pattern.Search(weight.name);
  if (!expert) return tl::make_unexpected(expert.error());
  facts.has_expert_index = NumberIn(*expert, 1).has_value();
  facts.expert_named =
      facts.lower.find("experts") != std::string::npos || subject.shared || !subject.hits.empty();
  facts.expert_like = facts.expert_named || (RoleTable::InExpertModule(facts.lower) &&
                                             !RoleTable::IsDenseInExpertModule(facts));
  auto role = NamedRole(context, subject);
  if (!role) return tl::make_unexpected(std::move(role.error()));
  subject.named_role = *role;
  return subject;
}

std::optional<std::string> StackFor(const ExtractContext& context, const Subject& subject,
                                    const std::optional<int64_t>& layer) {
  const ModelFacts& model = context.options.model;
  if (auto stack = StackOf(subject.facts.lower)) return stack;
  if (!layer) return std::nullopt;
  const bool beyond = model.layers && static_cast<uint64_t>(*layer) >= *model.layers;
  return beyond || model.mtp_layers.contains(*layer) ? std::optional<std::string>("mtp")
                                                     : std::nullopt;
}

bool IsReported(const ExtractContext& context, const Subject& subject) {
  return context.options.experts_only && subject.is_expert();
}

bool PassesFilter(const ExtractContext& context, const Subject& subject, Extraction& out) {
  const WeightShape& weight = subject.weight;
  const bool expert = subject.is_expert();
  out.layer = LayerNumber(weight.name);
  out.stack = StackFor(context, subject, out.layer);
  if (subject.named_role) out.role = *subject.named_role;
  if (expert) out.role = subject.shared ? Role::kSharedExpert : Role::kRoutedExpert;
  if (IsNeverAnalysed(out.role)) return false;
  const bool left_out = !expert || (subject.shared && !context.options.include_shared_expert);
  if (context.options.experts_only && left_out) return false;
  const std::string unreadable = UnreadableReason(weight);
  if (!unreadable.empty() && IsReported(context, subject)) out.unmatched_reason = unreadable;
  out.considered = unreadable.empty();
  return out.considered;
}

}  // namespace moe
