#include "experts/packed_split.h"

#include <fmt/format.h>

#include <iterator>

#include "experts/banks.h"

namespace moe {
namespace {

struct SplitResult {
  std::vector<ExpertBank> banks;
  std::vector<UnmappedProj> unmapped;
};

std::string PlaceOf(const Subject& subject, const ExtractRule& rule) {
  return fmt::format("rule={} tensor={}", rule.name, subject.weight.name);
}

// One shape for each projection; the error is a whole sentence.
Checked<std::vector<BankShape>> ShapesOfSplit(const ExtractContext& context, const Subject& subject,
                                              const RuleHit& hit) {
  const ExtractRule& rule = hit.rule->rule;
  const auto failed = [&](const std::string& cause) {
    return tl::make_unexpected(
        fmt::format("packed_split failed for {}: {}", PlaceOf(subject, rule), cause));
  };
  if (rule.packed_split_error) return failed(*rule.packed_split_error);
  if (rule.layout_error) return failed(*rule.layout_error);
  const auto whole = ShapeBy(context, subject.weight, hit);
  if (!whole) return failed(whole.error());
  auto shapes = SplitBank(*whole, *rule.packed_split);
  if (!shapes) return failed(shapes.error());
  if (shapes->size() != rule.packed_split->projs.size()) {
    return tl::make_unexpected("packed_split projs and splits length mismatch for " +
                               PlaceOf(subject, rule));
  }
  return shapes;
}

Checked<SplitResult> Split(const ExtractContext& context, const Subject& subject,
                           const RuleHit& hit) {
  const ExtractRule& rule = hit.rule->rule;
  const auto shapes = ShapesOfSplit(context, subject, hit);
  if (!shapes) return tl::make_unexpected(shapes.error());
  const auto expert = rule.expert_group ? NumberIn(hit.match, *rule.expert_group) : std::nullopt;
  SplitResult result;
  for (size_t i = 0; i < shapes->size(); ++i) {
    const std::string& raw = rule.packed_split->projs[i];
    const auto known = context.names.Canonicalise(raw);
    const std::string proj = known.value_or(raw);
    const std::string name =
        fmt::format("{}::split[{}]::{}", subject.tensor(), rule.packed_split->axis, proj);
    if (!known && hit.preset() == nullptr) {
      context.names.Note({"packed_split", rule.name, raw, raw, "kept_raw", name, "", ""},
                         result.unmapped);
    }
    if (auto added = AddBanks(subject, (*shapes)[i], name, proj, expert, result.banks); !added) {
      return tl::make_unexpected(
          fmt::format("packed_split failed for {}: {}", PlaceOf(subject, rule), added.error()));
    }
  }
  return result;
}

}  // namespace

Result<bool> ApplyPackedSplit(const ExtractContext& context, const Subject& subject,
                              const RuleHit& hit, Extraction& out) {
  auto split = Split(context, subject, hit);
  if (split) {
    out.banks = std::move(split->banks);
    std::move(split->unmapped.begin(), split->unmapped.end(),
              std::back_inserter(out.unmapped_projs));
    return true;
  }
  if (hit.preset() == nullptr && context.options.strict_packed_split) {
    return Fail(ErrorCode::kBadArgument, "PackedSplitError", split.error(),
                "correct the rule, or set parsing.strict_packed_split to false",
                "PackedSplitError");
  }
  out.warnings.push_back("[extract] " + split.error());
  return false;
}

}  // namespace moe
