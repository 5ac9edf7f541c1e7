#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/text.h"
#include "experts/layout.h"
#include "experts/pattern.h"
#include "experts/presets.h"
#include "experts/proj_names.h"
#include "experts/roles.h"
#include "moescope/experts.h"

namespace moe {
namespace {

// A stack of shared experts becomes one bank each; nobody has thousands of them.
constexpr uint64_t kMaxSharedStack = 1024;

// Rules of the template that come after the presets, so that the presets need not know them.
constexpr std::string_view kGenericRules[] = {"generic_3d_expert_bank_separate",
                                              "generic_2d_per_expert_separate"};

bool IsGeneric(const ExtractRule& rule) {
  return std::find(std::begin(kGenericRules), std::end(kGenericRules), rule.name) !=
         std::end(kGenericRules);
}

// Python's int() of a captured number; a number no model can have counts as none.
std::optional<int64_t> ParseId(const std::optional<PatternMatch>& match, int64_t group) {
  if (!match || group < 0 || static_cast<size_t>(group) >= match->groups.size()) return {};
  const auto& text = match->groups[static_cast<size_t>(group)];
  int32_t id = 0;
  if (!text || text->empty()) return {};
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), id);
  if (error != std::errc() || end != text->data() + text->size() || id < 0) return {};
  return id;
}

struct CompiledRule {
  ExtractRule rule;
  Pattern pattern;
  bool preset = false;
  std::string preset_proj;
  bool shared = false;
  std::string refusal;
};

struct RuleHit {
  const CompiledRule* rule;
  PatternMatch match;
};

// One tensor on its way through the rules.
struct Subject {
  const TensorInfo& tensor;
  NameFacts facts;
  bool shared = false;
  std::vector<RuleHit> hits;
  std::optional<int64_t> layer;
  std::optional<std::string> stack;
};

// How a rule ended. Only kNext lets another rule try.
enum class RuleEnd { kDone, kNext, kFallback };

}  // namespace

struct Extractor::Impl {
  ExtractOptions options;
  ProjNames names;
  std::vector<std::string> shared_keywords;  // lower case, none blank
  Pattern layer_pattern, expert_pattern;
  std::vector<CompiledRule> rules;

  bool HasSharedKeywords(const std::string& lower) const;
  Result<Subject> Look(const TensorInfo& tensor) const;
  Result<Extraction> Extract(const TensorInfo& tensor) const;
  Result<RuleEnd> TryRule(const Subject& subject, const RuleHit& hit, Extraction& out) const;
  Result<RuleEnd> TryPacked(const Subject& subject, const RuleHit& hit, Extraction& out) const;
  RuleEnd TryWhole(const Subject& subject, const RuleHit& hit, Extraction& out) const;
  Checked<std::string> ProjOfRule(const Subject& subject, const RuleHit& hit,
                                  Extraction& out) const;
  Result<void> Fallback(const Subject& subject, Extraction& out) const;
  void NoteUnmapped(const std::string& context, const std::string& rule, const std::string& raw,
                    const std::string& action, const std::string& derived, Extraction& out) const;
};

namespace {

// Appends the bank, or one bank for each expert of a stack of shared ones (D25).
Checked<bool> AddBanks(const Subject& subject, const BankShape& shape, const std::string& derived,
                       const std::string& proj, std::optional<int64_t> single_id,
                       std::vector<ExpertBank>& banks) {
  ExpertBank bank;
  bank.derived_tensor = derived;
  bank.proj = proj;
  bank.stack = subject.stack;
  bank.is_shared_expert = subject.shared;
  bank.first_layer = subject.layer.value_or(-1);
  bank.has_layer_axis = shape.has_layer_axis;
  bank.single_expert_id = single_id;
  bank.layers = shape.layers;
  bank.experts = shape.experts;
  bank.rows = shape.rows;
  bank.cols = shape.cols;
  bank.offset = shape.offset;
  bank.layer_stride = shape.layer_stride;
  bank.expert_stride = shape.expert_stride;
  bank.row_stride = shape.row_stride;
  bank.col_stride = shape.col_stride;
  if (!subject.shared || shape.experts == 1) {
    banks.push_back(std::move(bank));
    return true;
  }
  if (shape.experts > kMaxSharedStack) {
    return tl::make_unexpected(fmt::format("{} shared experts in one tensor, at most {} are read",
                                           shape.experts, kMaxSharedStack));
  }
  bank.experts = 1;
  for (uint64_t i = 0; i < shape.experts; ++i) {
    bank.derived_tensor = fmt::format("{}[{}]", derived, i);
    bank.offset = shape.offset + i * shape.expert_stride;
    banks.push_back(bank);
  }
  return true;
}

std::string RuleFailure(const Subject& subject, const ExtractRule& rule, std::string_view cause) {
  return fmt::format("[extract] rule application failed for {}: rule '{}': {}", subject.tensor.name,
                     rule.name, cause);
}

bool IsNeverAnalysed(Role role) {
  return role == Role::kRouter || role == Role::kCompanion || role == Role::kNorm;
}

}  // namespace

void Extractor::Impl::NoteUnmapped(const std::string& context, const std::string& rule,
                                   const std::string& raw, const std::string& action,
                                   const std::string& derived, Extraction& out) const {
  if (names.empty()) return;
  ProjNames::Suggestion suggestion = names.Suggest(raw);
  out.unmapped_projs.push_back({context, rule, raw, raw, action, derived,
                                std::move(suggestion.proj), std::move(suggestion.match)});
}

// The projection of a rule without packed_split. An empty name means that the tensor is dropped,
// with the reason in `out`.
Checked<std::string> Extractor::Impl::ProjOfRule(const Subject& subject, const RuleHit& hit,
                                                 Extraction& out) const {
  const ExtractRule& rule = hit.rule->rule;
  if (!hit.rule->preset_proj.empty()) {
    return names.Canonicalise(hit.rule->preset_proj).value_or(hit.rule->preset_proj);
  }
  if (!rule.proj_group) {
    if (auto proj = names.Infer(subject.tensor.name)) return *proj;
    return tl::make_unexpected("no proj_group, and no alias of proj_aliases is in the name");
  }
  const int64_t group = *rule.proj_group;
  if (group < 0 || static_cast<size_t>(group) >= hit.match.groups.size()) {
    return tl::make_unexpected(fmt::format("proj_group {}: no such group", group));
  }
  const auto& text = hit.match.groups[static_cast<size_t>(group)];
  if (!text || text->empty()) {
    return tl::make_unexpected(fmt::format("proj_group {} matched no text", group));
  }
  const std::string raw(*text);
  if (auto proj = names.Canonicalise(raw)) return *proj;
  const std::string derived = subject.tensor.name + "::" + raw;
  if (options.proj_group_strict) {
    NoteUnmapped("proj_group", rule.name, raw, "dropped_strict", derived, out);
    out.unmatched_reason =
        names.empty() ? "proj_group_strict_no_alias_map" : "proj_group_strict_unmapped";
    return std::string();
  }
  NoteUnmapped("proj_group", rule.name, raw, "kept_raw", derived, out);
  return raw;
}

RuleEnd Extractor::Impl::TryWhole(const Subject& subject, const RuleHit& hit,
                                  Extraction& out) const {
  const ExtractRule& rule = hit.rule->rule;
  const auto fail = [&](const std::string& cause) {
    out.warnings.push_back(RuleFailure(subject, rule, cause));
    return RuleEnd::kNext;
  };
  if (rule.layout_error) return fail(*rule.layout_error);
  const auto shape = ApplyLayout(rule.layout, subject.tensor.shape);
  if (!shape) return fail(shape.error());
  const auto proj = ProjOfRule(subject, hit, out);
  if (!proj) return fail(proj.error());
  if (proj->empty()) return RuleEnd::kDone;  // dropped by proj_group_strict
  const auto id = rule.expert_group ? ParseId(hit.match, *rule.expert_group) : std::nullopt;
  const auto added =
      AddBanks(subject, *shape, subject.tensor.name + "::" + *proj, *proj, id, out.banks);
  return added ? RuleEnd::kDone : fail(added.error());
}

Result<RuleEnd> Extractor::Impl::TryPacked(const Subject& subject, const RuleHit& hit,
                                           Extraction& out) const {
  const ExtractRule& rule = hit.rule->rule;
  const std::string place = fmt::format("rule={} tensor={}", rule.name, subject.tensor.name);
  const auto fail = [&](const std::string& text) -> Result<RuleEnd> {
    if (!hit.rule->preset && options.strict_packed_split) {
      return Fail(ErrorCode::kBadArgument, "PackedSplitError", text,
                  "correct the rule, or set parsing.strict_packed_split to false",
                  "PackedSplitError");
    }
    out.warnings.push_back("[extract] " + text);
    return RuleEnd::kFallback;
  };
  const auto failed = [&](const std::string& cause) {
    return fail(fmt::format("packed_split failed for {}: {}", place, cause));
  };
  if (rule.packed_split_error) return failed(*rule.packed_split_error);
  if (rule.layout_error) return failed(*rule.layout_error);
  const auto shape = ApplyLayout(rule.layout, subject.tensor.shape);
  if (!shape) return failed(shape.error());
  const PackedSplit& split = *rule.packed_split;
  const auto parts = SplitBank(*shape, split);
  if (!parts) return failed(parts.error());
  if (parts->size() != split.projs.size()) {
    return fail("packed_split projs and splits length mismatch for " + place);
  }
  const auto id = rule.expert_group ? ParseId(hit.match, *rule.expert_group) : std::nullopt;
  std::vector<ExpertBank> banks;
  Extraction notes;
  for (size_t i = 0; i < parts->size(); ++i) {
    const std::string& raw = split.projs[i];
    const auto known = names.Canonicalise(raw);
    const std::string proj = known.value_or(raw);
    const std::string derived =
        fmt::format("{}::split[{}]::{}", subject.tensor.name, split.axis, proj);
    if (!known && !hit.rule->preset) {
      NoteUnmapped("packed_split", rule.name, raw, "kept_raw", derived, notes);
    }
    const auto added = AddBanks(subject, (*parts)[i], derived, proj, id, banks);
    if (!added) return failed(added.error());
  }
  out.banks = std::move(banks);
  std::move(notes.unmapped_projs.begin(), notes.unmapped_projs.end(),
            std::back_inserter(out.unmapped_projs));
  return RuleEnd::kDone;
}

Result<RuleEnd> Extractor::Impl::TryRule(const Subject& subject, const RuleHit& hit,
                                         Extraction& out) const {
  const ExtractRule& rule = hit.rule->rule;
  const bool packed = rule.packed_split || rule.packed_split_error;
  if (packed) return TryPacked(subject, hit, out);
  return TryWhole(subject, hit, out);
}

// Contract section 5: the projection's name alone, with the axes in their usual order.
Result<void> Extractor::Impl::Fallback(const Subject& subject, Extraction& out) const {
  const auto proj = names.Infer(subject.tensor.name);
  const size_t ndim = subject.tensor.shape.size();
  if (!proj || (ndim != 2 && ndim != 3)) return {};
  std::optional<int64_t> id;
  RuleLayout layout = {{}, 0, 1, 2};
  if (ndim == 2) {
    layout = {{}, {}, 0, 1};
    auto match = expert_pattern.Search(subject.tensor.name);
    if (!match) return tl::make_unexpected(std::move(match.error()));
    id = ParseId(*match, 1);
  }
  const auto fail = [&](const std::string& cause) {
    out.warnings.push_back(
        fmt::format("[extract] fallback failed for {}: {}", subject.tensor.name, cause));
  };
  const auto shape = ApplyLayout(layout, subject.tensor.shape);
  if (!shape) return fail(shape.error()), Result<void>{};
  const auto added =
      AddBanks(subject, *shape, subject.tensor.name + "::" + *proj, *proj, id, out.banks);
  if (!added) fail(added.error());
  return {};
}

bool Extractor::Impl::HasSharedKeywords(const std::string& lower) const {
  return !shared_keywords.empty() &&
         std::all_of(shared_keywords.begin(), shared_keywords.end(), [&](const std::string& word) {
           return lower.find(word) != std::string::npos;
         });
}

// Everything that the name and the shape tell.
Result<Subject> Extractor::Impl::Look(const TensorInfo& tensor) const {
  Subject subject{tensor, {}, false, {}, {}, {}};
  NameFacts& facts = subject.facts;
  facts.lower = LowerAscii(tensor.name);
  facts.ndim = tensor.shape.size();
  subject.shared = HasSharedKeywords(facts.lower);
  for (const CompiledRule& rule : rules) {
    if (rule.rule.ndim && *rule.rule.ndim != static_cast<int64_t>(facts.ndim)) continue;
    auto match = rule.pattern.Match(tensor.name);
    if (!match) return tl::make_unexpected(std::move(match.error()));
    if (!*match) continue;
    subject.hits.push_back({&rule, std::move(**match)});
    subject.shared = subject.shared || rule.shared;
  }
  auto expert = expert_pattern.Search(tensor.name);
  if (!expert) return tl::make_unexpected(std::move(expert.error()));
  facts.has_expert_index = ParseId(*expert, 1).has_value();
  facts.expert_named =
      facts.lower.find("experts") != std::string::npos || subject.shared || !subject.hits.empty();
  facts.expert_like = facts.expert_named || RoleTable::InExpertModule(facts.lower);
  return subject;
}

Result<Extraction> Extractor::Impl::Extract(const TensorInfo& tensor) const {
  auto looked = Look(tensor);
  if (!looked) return tl::make_unexpected(std::move(looked.error()));
  Subject& subject = *looked;
  const auto named_role = RoleTable::Get().Classify(subject.facts);
  if (!named_role) return tl::make_unexpected(named_role.error());
  const bool expert_like = subject.facts.expert_like && !*named_role;

  Extraction out;
  if (*named_role) out.role = **named_role;
  if (expert_like) out.role = subject.shared ? Role::kSharedExpert : Role::kRoutedExpert;
  if (IsNeverAnalysed(out.role)) return out;
  if (options.experts_only) {
    if (!expert_like || (subject.shared && !options.include_shared_expert)) return out;
  }
  const bool reports = options.experts_only && expert_like;
  const auto& shape = tensor.shape;
  if (std::find(shape.begin(), shape.end(), uint64_t{0}) != shape.end()) {
    if (reports) out.unmatched_reason = "empty";
    return out;
  }
  if (!IsPlainFloat(tensor.dtype)) {
    if (reports) out.unmatched_reason = UndecodedReason(tensor);
    return out;
  }
  out.considered = true;
  auto layer = layer_pattern.Search(tensor.name);
  if (!layer) return tl::make_unexpected(std::move(layer.error()));
  subject.layer = ParseId(*layer, 1);
  subject.stack = StackOf(subject.facts.lower);

  for (const RuleHit& hit : subject.hits) {
    if (!hit.rule->refusal.empty()) {
      if (reports) out.unmatched_reason = hit.rule->refusal;
      return out;
    }
    const auto end = TryRule(subject, hit, out);
    if (!end) return tl::make_unexpected(end.error());
    if (*end == RuleEnd::kFallback) break;
    out.by_rule = *end == RuleEnd::kDone;
    if (out.by_rule) return out;
  }
  if (auto done = Fallback(subject, out); !done) return tl::make_unexpected(done.error());
  if (out.banks.empty() && reports) out.unmatched_reason = "no_rule_match_or_proj_infer";
  return out;
}

namespace {

Result<CompiledRule> CompileRule(const ExtractRule& rule) {
  auto pattern = Pattern::Compile(rule.match, "rule '" + rule.name + "'");
  if (!pattern) return tl::make_unexpected(std::move(pattern.error()));
  return CompiledRule{rule, std::move(*pattern), false, "", false, ""};
}

// User rules, then presets, then the template's generic rules.
Result<std::vector<CompiledRule>> CompileRules(const ExtractOptions& options) {
  std::vector<CompiledRule> rules, generic;
  for (const ExtractRule& rule : options.rules) {
    if (!rule.enabled) continue;
    auto compiled = CompileRule(rule);
    if (!compiled) return tl::make_unexpected(std::move(compiled.error()));
    (IsGeneric(rule) ? generic : rules).push_back(std::move(*compiled));
  }
  const auto presets = ChoosePresets(options.presets, options.model_type);
  if (!presets) return tl::make_unexpected(presets.error());
  for (const Preset* preset : *presets) {
    for (const PresetRule& row : preset->rules) {
      auto compiled = CompileRule(row.rule);
      if (!compiled) return tl::make_unexpected(std::move(compiled.error()));
      compiled->preset = true;
      compiled->preset_proj = row.proj;
      compiled->shared = row.shared;
      compiled->refusal = row.refusal;
      rules.push_back(std::move(*compiled));
    }
  }
  std::move(generic.begin(), generic.end(), std::back_inserter(rules));
  return rules;
}

std::vector<std::string> UsableKeywords(const std::vector<std::string>& keywords) {
  constexpr std::string_view kBlank = " \t\r\n\f\v";
  std::vector<std::string> usable;
  for (const std::string& keyword : keywords) {
    const size_t begin = keyword.find_first_not_of(kBlank);
    if (begin == std::string::npos) continue;
    const size_t end = keyword.find_last_not_of(kBlank);
    usable.push_back(LowerAscii(std::string_view(keyword).substr(begin, end + 1 - begin)));
  }
  return usable;
}

}  // namespace

Result<Extractor> Extractor::Create(ExtractOptions options) {
  auto layer = Pattern::Compile(options.layer_regex, "/parsing/layer_regex");
  if (!layer) return tl::make_unexpected(std::move(layer.error()));
  auto expert = Pattern::Compile(options.expert_regex, "/parsing/expert_regex");
  if (!expert) return tl::make_unexpected(std::move(expert.error()));
  auto rules = CompileRules(options);
  if (!rules) return tl::make_unexpected(std::move(rules.error()));
  ProjNames names(options.proj_aliases);
  auto keywords = UsableKeywords(options.shared_expert_keywords);
  return Extractor(
      std::unique_ptr<Impl>(new Impl{std::move(options), std::move(names), std::move(keywords),
                                     std::move(*layer), std::move(*expert), std::move(*rules)}));
}

Extractor::Extractor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Extractor::~Extractor() = default;
Extractor::Extractor(Extractor&&) noexcept = default;
Extractor& Extractor::operator=(Extractor&&) noexcept = default;

Result<Extraction> Extractor::Extract(const TensorInfo& tensor) const {
  return impl_->Extract(tensor);
}

int64_t ExpertBank::LayerAt(uint64_t layer_pos) const {
  if (!has_layer_axis) return first_layer;
  return std::max<int64_t>(first_layer, 0) + static_cast<int64_t>(layer_pos);
}

int64_t ExpertBank::ExpertIdAt(uint64_t expert_pos) const {
  if (is_shared_expert) return -1;
  if (experts == 1 && single_expert_id) return *single_expert_id;
  return static_cast<int64_t>(expert_pos);
}

}  // namespace moe
