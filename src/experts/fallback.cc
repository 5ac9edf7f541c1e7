#include "experts/fallback.h"

#include <fmt/format.h>

#include "experts/banks.h"
#include "experts/weight_names.h"

namespace moe {
namespace {

// "'.scalesx' is the end of no weight's name": with the module where all else is a weight's.
std::string StrangeEnd(const std::string& lower) {
  const auto parts = NameComponents(lower);
  const bool weight = parts.back() == "weight";
  return fmt::format("'.{}{}' is the end of no weight's name",
                     weight ? fmt::format("{}.", *(parts.end() - 2)) : "", parts.back());
}

// Why an expert-like tensor can't be placed.
std::string Unplaced(const ExtractContext& context, const Subject& subject) {
  const std::string& lower = subject.facts.lower;
  if (IsW13(lower) && subject.facts.ndim == 3) {
    return "w13 holds gate_proj and up_proj, in halves or in alternating rows: which, its name "
           "doesn't tell for this family; write a rule with packed_split";
  }
  if (IsOfAdapter(lower)) return "part of a LoRA adapter, and no weight by itself";
  if (context.names.Infer(subject.weight.name) && !EndsAsWeight(context.names, lower)) {
    return StrangeEnd(lower);
  }
  if (subject.facts.ndim == 2 && !subject.facts.expert_named) {
    return "a matrix of a module that holds experts, in whose name parsing.expert_regex finds no "
           "expert's number; correct it, or write a rule";
  }
  return "no_rule_match_or_proj_infer";
}

Checked<void> ReadAs(const std::string& proj, std::optional<int64_t> expert, const Subject& subject,
                     Extraction& out) {
  const RuleLayout layout =
      subject.facts.ndim == 2 ? RuleLayout{{}, {}, 0, 1} : RuleLayout{{}, 0, 1, 2};
  const auto shape = ApplyLayout(layout, subject.weight.shape);
  if (!shape) return tl::make_unexpected(shape.error());
  return AddBanks(subject, *shape, subject.DerivedName(proj), proj, expert, out.banks);
}

Result<void> ReadByName(const ExtractContext& context, const Subject& subject, Extraction& out) {
  const NameFacts& facts = subject.facts;
  const auto proj = context.names.Infer(subject.weight.name);
  if (!proj || (facts.ndim != 2 && facts.ndim != 3)) return {};
  if (!EndsAsWeight(context.names, facts.lower) || IsOfAdapter(facts.lower)) return {};
  std::optional<int64_t> expert;
  if (facts.ndim == 2) {
    const auto match = context.expert_pattern.Search(subject.weight.name);
    if (!match) return tl::make_unexpected(match.error());
    expert = NumberIn(*match, 1);
    if (!expert && facts.expert_like && !facts.expert_named) return {};
  }
  if (const auto read = ReadAs(*proj, expert, subject, out); !read) {
    out.warnings.push_back(
        fmt::format("[extract] fallback failed for {}: {}", subject.weight.name, read.error()));
  }
  return {};
}

}  // namespace

Result<void> FallBack(const ExtractContext& context, const Subject& subject, Extraction& out) {
  if (auto done = ReadByName(context, subject, out); !done) return done;
  if (out.banks.empty() && IsReported(context, subject)) {
    out.unmatched_reason = Unplaced(context, subject);
  }
  return {};
}

}  // namespace moe
