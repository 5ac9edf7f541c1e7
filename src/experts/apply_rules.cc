#include "experts/apply_rules.h"

#include <fmt/format.h>

#include "experts/banks.h"
#include "experts/packed_split.h"

namespace moe {
namespace {

// How a rule ended. Only kNext lets another rule try.
enum class RuleEnd { kDone, kNext, kFallback };

// The text that a rule's proj_group captured.
Checked<std::string> CapturedProj(const RuleHit& hit) {
  const int64_t group = *hit.rule->rule.proj_group;
  if (group < 0 || static_cast<size_t>(group) >= hit.match.groups.size()) {
    return tl::make_unexpected(fmt::format("proj_group {}: no such group", group));
  }
  const std::string text(hit.match.groups[static_cast<size_t>(group)].value_or(""));
  if (text.empty()) {
    return tl::make_unexpected(fmt::format("proj_group {} matched no text", group));
  }
  return text;
}

// The projection of the whole tensor. An empty name means that the tensor is dropped, with the
// reason in `out`.
Checked<std::string> ProjBy(const ExtractContext& context, const Subject& subject,
                            const RuleHit& hit, Extraction& out) {
  const ProjNames& names = context.names;
  if (hit.preset() != nullptr) {
    const std::string proj = hit.preset()->tensor->projs.front();
    return names.Canonicalise(proj).value_or(proj);
  }
  const ExtractRule& rule = hit.rule->rule;
  if (!rule.proj_group) {
    if (auto proj = names.Infer(subject.weight.name)) return *proj;
    return tl::make_unexpected("no proj_group, and no alias of proj_aliases is in the name");
  }
  const auto raw = CapturedProj(hit);
  if (!raw) return raw;
  if (auto proj = names.Canonicalise(*raw)) return *proj;
  const bool drop = context.options.proj_group_strict;
  const char* action = drop ? "dropped_strict" : "kept_raw";
  names.Note({"proj_group", rule.name, *raw, *raw, action, subject.DerivedName(*raw), "", ""},
             out.unmapped_projs);
  if (!drop) return raw;
  out.unmatched_reason =
      names.empty() ? "proj_group_strict_no_alias_map" : "proj_group_strict_unmapped";
  return std::string();
}

// The whole tensor as one projection.
Checked<void> ReadWhole(const ExtractContext& context, const Subject& subject, const RuleHit& hit,
                        Extraction& out) {
  const ExtractRule& rule = hit.rule->rule;
  if (rule.layout_error) return tl::make_unexpected(*rule.layout_error);
  const auto shape = ShapeBy(context, subject.weight, hit);
  if (!shape) return tl::make_unexpected(shape.error());
  const auto proj = ProjBy(context, subject, hit, out);
  if (!proj) return tl::make_unexpected(proj.error());
  if (proj->empty()) return {};
  const auto expert = rule.expert_group ? NumberIn(hit.match, *rule.expert_group) : std::nullopt;
  return AddBanks(subject, *shape, subject.DerivedName(*proj), *proj, expert, out.banks);
}

Result<RuleEnd> ApplyRule(const ExtractContext& context, const Subject& subject, const RuleHit& hit,
                          Extraction& out) {
  const ExtractRule& rule = hit.rule->rule;
  if (rule.packed_split || rule.packed_split_error) {
    const auto read = ApplyPackedSplit(context, subject, hit, out);
    if (!read) return tl::make_unexpected(read.error());
    return *read ? RuleEnd::kDone : RuleEnd::kFallback;
  }
  const auto read = ReadWhole(context, subject, hit, out);
  if (read) return RuleEnd::kDone;
  out.warnings.push_back(fmt::format("[extract] rule application failed for {}: rule '{}': {}",
                                     subject.weight.name, rule.name, read.error()));
  return RuleEnd::kNext;
}

void NoteDone(const ExtractContext& context, const Subject& subject, const RuleHit& hit,
              Extraction& out) {
  out.by_rule = true;
  out.layout_given = hit.preset() == nullptr && !hit.rule->is_generic();
  if (hit.preset() == nullptr) return;
  out.preset = hit.preset()->family->name;
  const auto routed = context.axes.RoutedBeforeShared(hit.ByPreset(subject.weight));
  if (routed) TakeSharedApart(*routed, out.banks);
}

}  // namespace

Result<bool> ApplyRules(const ExtractContext& context, Subject& subject, Extraction& out) {
  for (const RuleHit& hit : subject.hits) {
    const bool preset = hit.preset() != nullptr;
    if (preset && !subject.layer) subject.layer = NumberIn(hit.match, PresetRule::kLayer);
    subject.stack = StackFor(context, subject, subject.layer);
    if (preset) {
      const auto layout = context.axes.LayoutOf(hit.ByPreset(subject.weight));
      if (!layout) {
        out.refused = IsReported(context, subject);
        if (out.refused) out.unmatched_reason = layout.error();
        return true;
      }
    }
    const auto end = ApplyRule(context, subject, hit, out);
    if (!end) return tl::make_unexpected(end.error());
    if (*end == RuleEnd::kDone) NoteDone(context, subject, hit, out);
    if (*end != RuleEnd::kNext) return *end == RuleEnd::kDone;
  }
  return false;
}

}  // namespace moe
