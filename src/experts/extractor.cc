#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <unordered_map>

#include "base/pattern.h"
#include "base/text.h"
#include "experts/axes.h"
#include "experts/config_numbers.h"
#include "experts/layout.h"
#include "experts/model_facts.h"
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
  const PresetRule* preset = nullptr;  // null for a user's rule or one of the template
};

struct RuleHit {
  const CompiledRule* rule;
  PatternMatch match;
};

// One tensor on its way through the rules.
struct Subject {
  const WeightShape& weight;
  NameFacts facts;
  bool shared = false;
  std::vector<RuleHit> hits;
  std::optional<int64_t> layer;
  std::optional<std::string> stack;

  const std::string& TensorName() const {
    return weight.tensor.empty() ? weight.name : weight.tensor;
  }
};

// How a rule ended. Only kNext lets another rule try.
enum class RuleEnd { kDone, kNext, kFallback };

}  // namespace

struct Extractor::Impl {
  ExtractOptions options;
  ProjNames names;
  std::vector<std::string> shared_keywords;  // lower case, none blank
  Pattern layer_pattern, expert_pattern;
  std::vector<PresetRule> preset_rules;
  std::vector<CompiledRule> rules;
  const Family* family = nullptr;
  ModelFacts model;
  std::unordered_map<std::string, std::vector<uint64_t>> neighbours;  // stacks and routers

  Checked<RuleLayout> LayoutFor(const Subject& subject, const RuleHit& hit) const;
  Checked<BankShape> ShapeFor(const Subject& subject, const RuleHit& hit) const;
  std::optional<std::vector<uint64_t>> Neighbour(std::string name, std::string_view from,
                                                 std::string_view to) const;
  std::optional<uint64_t> FlatExperts(const Subject& subject) const;
  std::optional<std::string> StackFor(const Subject& subject) const;
  std::optional<uint64_t> RoutedBeforeShared(const Subject& subject) const;
  void PartShared(const Subject& subject, std::vector<ExpertBank>& banks) const;
  bool HasSharedKeywords(const std::string& lower) const;
  Result<Subject> Look(const WeightShape& weight, bool has_shape) const;
  std::vector<std::string> ProjsOf(const std::string& name, const CompiledRule* rule) const;
  Result<std::vector<ExpertClaim>> ClaimsOf(std::string name) const;
  Result<Extraction> Extract(const WeightShape& weight) const;
  Result<RuleEnd> TryRule(const Subject& subject, const RuleHit& hit, Extraction& out) const;
  Result<RuleEnd> TryPacked(const Subject& subject, const RuleHit& hit, Extraction& out) const;
  RuleEnd TryWhole(const Subject& subject, const RuleHit& hit, Extraction& out) const;
  Checked<std::string> ProjOfRule(const Subject& subject, const RuleHit& hit,
                                  Extraction& out) const;
  bool EndsAsWeight(std::string_view name) const;
  std::string Unplaced(const Subject& subject) const;
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
  return fmt::format("[extract] rule application failed for {}: rule '{}': {}", subject.weight.name,
                     rule.name, cause);
}

// Gate and up of vLLM's stacks, under a name that says nothing of their order.
bool IsW13(std::string_view lower) {
  return lower.ends_with(".w13_weight") || lower.ends_with(".w13.weight");
}

bool IsOfAdapter(std::string_view lower) { return lower.find(".lora_") != std::string_view::npos; }

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
  if (hit.rule->preset != nullptr) {
    const std::string& proj = hit.rule->preset->proj;
    return names.Canonicalise(proj).value_or(proj);
  }
  if (!rule.proj_group) {
    if (auto proj = names.Infer(subject.weight.name)) return *proj;
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
  const std::string derived = subject.TensorName() + "::" + raw;
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
  const auto shape = ShapeFor(subject, hit);
  if (!shape) return fail(shape.error());
  const auto proj = ProjOfRule(subject, hit, out);
  if (!proj) return fail(proj.error());
  if (proj->empty()) return RuleEnd::kDone;  // dropped by proj_group_strict
  const auto id = rule.expert_group ? ParseId(hit.match, *rule.expert_group) : std::nullopt;
  const auto added =
      AddBanks(subject, *shape, subject.TensorName() + "::" + *proj, *proj, id, out.banks);
  return added ? RuleEnd::kDone : fail(added.error());
}

Result<RuleEnd> Extractor::Impl::TryPacked(const Subject& subject, const RuleHit& hit,
                                           Extraction& out) const {
  const ExtractRule& rule = hit.rule->rule;
  const std::string place = fmt::format("rule={} tensor={}", rule.name, subject.weight.name);
  const auto fail = [&](const std::string& text) -> Result<RuleEnd> {
    if (hit.rule->preset == nullptr && options.strict_packed_split) {
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
  const auto shape = ShapeFor(subject, hit);
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
        fmt::format("{}::split[{}]::{}", subject.TensorName(), split.axis, proj);
    if (!known && hit.rule->preset == nullptr) {
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

// "w2_weight", the projection itself, or "weight" behind it (or behind a number of it): all that a
// stored matrix is called.
bool Extractor::Impl::EndsAsWeight(std::string_view name) const {
  auto parts = NameComponents(name.substr(0, name.find_last_not_of('\n') + 1));
  if (IsW13(name) || names.Infer(parts.back())) return true;
  constexpr std::string_view kOwnWeight = "_weight";
  if (parts.back().ends_with(kOwnWeight)) {
    parts.back().remove_suffix(kOwnWeight.size());
  } else if (parts.back() == "weight") {
    parts.pop_back();
  } else {
    return false;
  }
  while (parts.size() > 1 && IntegerIn(parts.back())) parts.pop_back();
  return !parts.empty() && names.Infer(fmt::format(".{}.", parts.back())).has_value();
}

// Why the fallback can't place an expert-like tensor.
std::string Extractor::Impl::Unplaced(const Subject& subject) const {
  const std::string& lower = subject.facts.lower;
  if (IsW13(lower) && subject.facts.ndim == 3) {
    return "w13 holds gate_proj and up_proj, in halves or in alternating rows: which, its name "
           "doesn't tell for this family; write a rule with packed_split";
  }
  if (IsOfAdapter(lower)) return "part of a LoRA adapter, and no weight by itself";
  if (names.Infer(subject.weight.name) && !EndsAsWeight(lower)) {
    const auto parts = NameComponents(lower);
    const std::string module =
        parts.back() == "weight" ? fmt::format("{}.", *(parts.end() - 2)) : "";
    return fmt::format("'.{}{}' is the end of no weight's name", module, parts.back());
  }
  if (subject.weight.shape.size() == 2 && !subject.facts.expert_named) {
    return "a matrix of a module that holds experts, in whose name parsing.expert_regex finds no "
           "expert's number; correct it, or write a rule";
  }
  return "no_rule_match_or_proj_infer";
}

// Contract section 5: the projection's name alone, with the axes in their usual order.
Result<void> Extractor::Impl::Fallback(const Subject& subject, Extraction& out) const {
  const auto proj = names.Infer(subject.weight.name);
  const size_t ndim = subject.weight.shape.size();
  if (!proj || (ndim != 2 && ndim != 3)) return {};
  if (!EndsAsWeight(subject.facts.lower) || IsOfAdapter(subject.facts.lower)) return {};
  std::optional<int64_t> id;
  RuleLayout layout = {{}, 0, 1, 2};
  if (ndim == 2) {
    layout = {{}, {}, 0, 1};
    auto match = expert_pattern.Search(subject.weight.name);
    if (!match) return tl::make_unexpected(std::move(match.error()));
    id = ParseId(*match, 1);
    if (!id && subject.facts.expert_like && !subject.facts.expert_named) return {};
  }
  const auto fail = [&](const std::string& cause) {
    out.warnings.push_back(
        fmt::format("[extract] fallback failed for {}: {}", subject.weight.name, cause));
  };
  const auto shape = ApplyLayout(layout, subject.weight.shape);
  if (!shape) return fail(shape.error()), Result<void>{};
  const auto added =
      AddBanks(subject, *shape, subject.TensorName() + "::" + *proj, *proj, id, out.banks);
  if (!added) fail(added.error());
  return {};
}

bool Extractor::Impl::HasSharedKeywords(const std::string& lower) const {
  return !shared_keywords.empty() &&
         std::all_of(shared_keywords.begin(), shared_keywords.end(), [&](const std::string& word) {
           return lower.find(word) != std::string::npos;
         });
}

// D25, and the layers that come after the model's own: multi-token prediction (formats.md 10.3).
std::optional<std::string> Extractor::Impl::StackFor(const Subject& subject) const {
  if (auto stack = StackOf(subject.facts.lower)) return stack;
  if (!subject.layer) return std::nullopt;
  const bool beyond = model.layers && static_cast<uint64_t>(*subject.layer) >= *model.layers;
  return beyond || model.mtp_layers.contains(*subject.layer) ? std::optional<std::string>("mtp")
                                                             : std::nullopt;
}

std::optional<std::vector<uint64_t>> Extractor::Impl::Neighbour(std::string name,
                                                                std::string_view from,
                                                                std::string_view to) const {
  const size_t at = name.rfind(from);
  if (at == std::string::npos) return std::nullopt;
  const auto found = neighbours.find(name.replace(at, from.size(), to));
  if (found == neighbours.end()) return std::nullopt;
  return found->second;
}

// Experts of a flat tensor [E * rows, cols]: of the config, else the rows of its router.
std::optional<uint64_t> Extractor::Impl::FlatExperts(const Subject& subject) const {
  const std::string& name = subject.weight.name;
  const auto router = Neighbour(name, name.substr(name.find(".experts.")), ".router.layer.weight");
  return router ? std::optional<uint64_t>(router->front()) : model.experts;
}

// One name, two orders of the axes (formats.md 10.1).
Checked<RuleLayout> Extractor::Impl::LayoutFor(const Subject& subject, const RuleHit& hit) const {
  const RuleLayout out_in = {{}, 0, 1, 2}, in_out = {{}, 0, 2, 1};
  const PresetRule& preset = *hit.rule->preset;
  if (preset.order != AxisOrder::kByShapes) return preset.rule.layout;
  const std::string& name = subject.weight.name;
  StackShapes shapes;
  shapes.own = subject.weight.shape;
  shapes.is_fused = name.ends_with("gate_up_proj");
  shapes.is_down = name.ends_with("down_proj");
  shapes.fused = shapes.is_fused ? shapes.own : Neighbour(name, "down_proj", "gate_up_proj");
  shapes.down = shapes.is_down
                    ? shapes.own
                    : Neighbour(name, shapes.is_fused ? "gate_up_proj" : "up_proj", "down_proj");
  shapes.hidden = model.expert_input ? model.expert_input : model.hidden;
  const auto router = Neighbour(name, name.substr(name.rfind(".experts.")), ".gate.weight");
  if (router && !model.expert_input) shapes.hidden = router->back();
  if (model.width_is_of_experts) shapes.width = model.expert_width;
  return OutputsFirst(shapes).map(
      [&](bool outputs_first) { return outputs_first ? out_in : in_out; });
}

// Number of routed experts in a stack that ends in the shared one; nullopt: it doesn't.
std::optional<uint64_t> Extractor::Impl::RoutedBeforeShared(const Subject& subject) const {
  const std::string& name = subject.weight.name;
  const size_t module = name.rfind(".switch_mlp.");
  const bool may_hold_it = family == nullptr || family->shared_in_stack;
  if (!may_hold_it || module == std::string::npos) return {};
  const auto router = Neighbour(name, name.substr(module), ".gate.weight");
  const auto experts = router ? std::optional<uint64_t>(router->front()) : model.experts;
  return experts && *experts > 0 && subject.weight.shape[0] == *experts + 1 ? experts
                                                                            : std::nullopt;
}

// The shared expert at the end of each bank becomes a bank of its own.
void Extractor::Impl::PartShared(const Subject& subject, std::vector<ExpertBank>& banks) const {
  const auto routed = RoutedBeforeShared(subject);
  if (!routed) return;
  const size_t count = banks.size();
  for (size_t i = 0; i < count; ++i) {
    ExpertBank shared = banks[i];
    banks[i].experts = *routed;
    shared.is_shared_expert = true;
    shared.experts = 1;
    shared.offset += *routed * shared.expert_stride;
    shared.derived_tensor += "[shared]";
    banks.push_back(std::move(shared));
  }
}

Checked<BankShape> Extractor::Impl::ShapeFor(const Subject& subject, const RuleHit& hit) const {
  const ExtractRule& rule = hit.rule->rule;
  if (hit.rule->preset == nullptr) return ApplyLayout(rule.layout, subject.weight.shape);
  if (hit.rule->preset->flat) {
    const auto experts = FlatExperts(subject);
    if (!experts) return tl::make_unexpected("the number of experts along the rows is unknown");
    return FlatStack(subject.weight.shape, *experts, hit.rule->preset->flat_transposed);
  }
  const auto layout = LayoutFor(subject, hit);
  if (!layout) return tl::make_unexpected(layout.error());
  return ApplyLayout(*layout, subject.weight.shape);
}

// The projections that a rule gives, by the name alone.
std::vector<std::string> Extractor::Impl::ProjsOf(const std::string& name,
                                                  const CompiledRule* rule) const {
  if (rule != nullptr && rule->rule.packed_split) return rule->rule.packed_split->projs;
  if (rule != nullptr && rule->preset != nullptr) return {rule->preset->proj};
  if (IsW13(LowerAscii(name))) return {"gate_proj", "up_proj"};
  const auto proj = names.Infer(name);
  return proj ? std::vector<std::string>{*proj} : std::vector<std::string>{};
}

Result<std::vector<ExpertClaim>> Extractor::Impl::ClaimsOf(std::string name) const {
  constexpr std::pair<std::string_view, const char*> kPayloads[] = {
      {".qweight", ".weight"}, {".weight_packed", ".weight"}, {"_blocks", ""}};
  for (const auto& [suffix, base] : kPayloads) {
    if (name.ends_with(suffix)) name.replace(name.size() - suffix.size(), suffix.size(), base);
  }
  const WeightShape weight{name, {}, "", ""};
  auto looked = Look(weight, false);
  if (!looked) return tl::make_unexpected(std::move(looked.error()));
  Subject& subject = *looked;
  const auto role = RoleTable::Get().Classify(subject.facts);
  if (!role) return tl::make_unexpected(role.error());
  const std::string& lower = subject.facts.lower;
  const bool named = !subject.hits.empty() || (EndsAsWeight(lower) && !IsOfAdapter(lower));
  if (*role || !subject.facts.expert_like || !named) return std::vector<ExpertClaim>{};
  const RuleHit* hit = subject.hits.empty() ? nullptr : &subject.hits.front();
  auto layer = layer_pattern.Search(name), expert = expert_pattern.Search(name);
  if (!layer) return tl::make_unexpected(std::move(layer.error()));
  if (!expert) return tl::make_unexpected(std::move(expert.error()));
  subject.layer = ParseId(*layer, 1);
  if (!subject.layer) subject.layer = LayerNumber(name);
  auto id = ParseId(*expert, 1);
  if (hit != nullptr && hit->rule->rule.expert_group) {
    id = ParseId(hit->match, *hit->rule->rule.expert_group);
  }
  std::vector<ExpertClaim> claims;
  for (std::string& proj : ProjsOf(name, hit == nullptr ? nullptr : hit->rule)) {
    claims.push_back({StackFor(subject), subject.shared, subject.layer.value_or(-1),
                      names.Canonicalise(proj).value_or(proj), id});
  }
  return claims;
}

// Everything that the name and the shape tell. Without a shape (`has_shape` false) rules for any
// number of dimensions may hit.
Result<Subject> Extractor::Impl::Look(const WeightShape& weight, bool has_shape) const {
  Subject subject{weight, {}, false, {}, {}, {}};
  NameFacts& facts = subject.facts;
  facts.lower = LowerAscii(weight.name);
  facts.ndim = weight.shape.size();
  subject.shared = HasSharedKeywords(facts.lower);
  for (const CompiledRule& rule : rules) {
    const bool fits = !rule.rule.ndim || *rule.rule.ndim == static_cast<int64_t>(facts.ndim);
    if (has_shape && !fits) continue;
    if (rule.preset != nullptr && !weight.name.ends_with(rule.preset->suffix)) continue;
    auto match = rule.pattern.Match(weight.name);
    if (!match) return tl::make_unexpected(std::move(match.error()));
    if (!*match) continue;
    subject.hits.push_back({&rule, std::move(**match)});
    subject.shared = subject.shared || (rule.preset != nullptr && rule.preset->shared);
  }
  auto expert = expert_pattern.Search(weight.name);
  if (!expert) return tl::make_unexpected(std::move(expert.error()));
  facts.has_expert_index = ParseId(*expert, 1).has_value();
  facts.expert_named =
      facts.lower.find("experts") != std::string::npos || subject.shared || !subject.hits.empty();
  facts.expert_like = facts.expert_named || (RoleTable::InExpertModule(facts.lower) &&
                                             !RoleTable::IsDenseInExpertModule(facts));
  return subject;
}

Result<Extraction> Extractor::Impl::Extract(const WeightShape& weight) const {
  auto looked = Look(weight, true);
  if (!looked) return tl::make_unexpected(std::move(looked.error()));
  Subject& subject = *looked;
  const auto named_role = RoleTable::Get().Classify(subject.facts);
  if (!named_role) return tl::make_unexpected(named_role.error());
  const bool expert_like = subject.facts.expert_like && !*named_role;

  Extraction out;
  out.layer = LayerNumber(weight.name);
  subject.layer = out.layer;
  out.stack = StackFor(subject);
  subject.layer.reset();
  if (*named_role) out.role = **named_role;
  if (expert_like) out.role = subject.shared ? Role::kSharedExpert : Role::kRoutedExpert;
  if (IsNeverAnalysed(out.role)) return out;
  if (options.experts_only) {
    if (!expert_like || (subject.shared && !options.include_shared_expert)) return out;
  }
  const bool reports = options.experts_only && expert_like;
  const auto& shape = weight.shape;
  if (std::find(shape.begin(), shape.end(), uint64_t{0}) != shape.end()) {
    if (reports) out.unmatched_reason = "empty";
    return out;
  }
  if (!weight.undecoded.empty()) {
    if (reports) out.unmatched_reason = weight.undecoded;
    return out;
  }
  out.considered = true;
  auto layer = layer_pattern.Search(weight.name);
  if (!layer) return tl::make_unexpected(std::move(layer.error()));
  subject.layer = ParseId(*layer, 1);

  for (const RuleHit& hit : subject.hits) {
    const bool preset = hit.rule->preset != nullptr;
    if (preset && !subject.layer) subject.layer = ParseId(hit.match, 1);
    subject.stack = StackFor(subject);
    if (preset) {
      if (const auto layout = LayoutFor(subject, hit); !layout) {
        if (reports) out.unmatched_reason = layout.error();
        out.refused = reports;
        return out;
      }
    }
    const auto end = TryRule(subject, hit, out);
    if (!end) return tl::make_unexpected(end.error());
    if (*end == RuleEnd::kFallback) break;
    out.by_rule = *end == RuleEnd::kDone;
    if (out.by_rule) {
      out.layout_given = !preset && !IsGeneric(hit.rule->rule);
      if (preset) {
        out.preset = hit.rule->preset->family;
        PartShared(subject, out.banks);
      }
      return out;
    }
  }
  subject.stack = StackFor(subject);
  if (auto done = Fallback(subject, out); !done) return tl::make_unexpected(done.error());
  if (out.banks.empty() && reports) out.unmatched_reason = Unplaced(subject);
  return out;
}

namespace {

Result<CompiledRule> CompileRule(const ExtractRule& rule) {
  auto pattern = Pattern::Compile(rule.match, "rule '" + rule.name + "'");
  if (!pattern) return tl::make_unexpected(std::move(pattern.error()));
  return CompiledRule{rule, std::move(*pattern), nullptr};
}

// User rules, then presets, then the template's generic rules.
Result<std::vector<CompiledRule>> CompileRules(const ExtractOptions& options,
                                               const std::vector<PresetRule>& presets) {
  std::vector<CompiledRule> rules, generic;
  for (const ExtractRule& rule : options.rules) {
    if (!rule.enabled) continue;
    auto compiled = CompileRule(rule);
    if (!compiled) return tl::make_unexpected(std::move(compiled.error()));
    (IsGeneric(rule) ? generic : rules).push_back(std::move(*compiled));
  }
  for (const PresetRule& preset : presets) {
    auto compiled = CompileRule(preset.rule);
    if (!compiled) return tl::make_unexpected(std::move(compiled.error()));
    compiled->preset = &preset;
    rules.push_back(std::move(*compiled));
  }
  std::move(generic.begin(), generic.end(), std::back_inserter(rules));
  return rules;
}

// The shapes that other tensors are read by: stacks, and routers, whose rows count the experts.
std::unordered_map<std::string, std::vector<uint64_t>> NeighbourShapes(
    std::span<const WeightShape> weights) {
  std::unordered_map<std::string, std::vector<uint64_t>> shapes;
  for (const WeightShape& weight : weights) {
    const bool router =
        weight.shape.size() == 2 &&
        (weight.name.ends_with(".router.layer.weight") || weight.name.ends_with(".gate.weight"));
    if (router || weight.shape.size() == 3) shapes.emplace(weight.name, weight.shape);
  }
  return shapes;
}

void AddFamily(const Family& family, ModelFacts& facts) {
  facts.router_has_more = family.router_has_more;
  facts.gated = family.gated;
  facts.every_layer = family.every_layer;
  const bool may_share = !family.shared.empty();
  facts.shared_experts = may_share && (facts.shared_experts || family.always_shared);
  for (auto& [name, stack] : facts.stacks) stack.shared_experts &= may_share;
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

Result<Extractor> Extractor::Create(ExtractOptions options, std::span<const WeightShape> weights) {
  auto layer = Pattern::Compile(options.layer_regex, "/parsing/layer_regex");
  if (!layer) return tl::make_unexpected(std::move(layer.error()));
  auto expert = Pattern::Compile(options.expert_regex, "/parsing/expert_regex");
  if (!expert) return tl::make_unexpected(std::move(expert.error()));
  ModelFacts facts = options.model;
  LearnFromTensors(weights, facts);
  const Family* family = options.presets == "auto"
                             ? FindFamily(facts.model_type, facts.gguf_arch, weights)
                             : FamilyNamed(options.presets);
  if (family != nullptr) AddFamily(*family, facts);
  auto presets = PresetRules(options.presets, family, weights);
  if (!presets) return tl::make_unexpected(std::move(presets.error()));
  auto rules = CompileRules(options, *presets);  // points into *presets, which keep their place
  if (!rules) return tl::make_unexpected(std::move(rules.error()));
  ProjNames names(options.proj_aliases);
  auto keywords = UsableKeywords(options.shared_expert_keywords);
  return Extractor(std::unique_ptr<Impl>(
      new Impl{std::move(options), std::move(names), std::move(keywords), std::move(*layer),
               std::move(*expert), std::move(*presets), std::move(*rules), family, std::move(facts),
               NeighbourShapes(weights)}));
}

std::string_view Extractor::family() const {
  return impl_->family == nullptr ? "" : impl_->family->name;
}

const ModelFacts& Extractor::facts() const { return impl_->model; }

WeightShape PlainWeight(const TensorInfo& tensor) {
  return {tensor.name, tensor.shape, "", IsPlainFloat(tensor.dtype) ? "" : UndecodedReason(tensor)};
}

Extractor::Extractor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Extractor::~Extractor() = default;
Extractor::Extractor(Extractor&&) noexcept = default;
Extractor& Extractor::operator=(Extractor&&) noexcept = default;

Result<Extraction> Extractor::Extract(const WeightShape& weight) const {
  return impl_->Extract(weight);
}

Result<std::vector<ExpertClaim>> Extractor::ClaimsOf(std::string name) const {
  return impl_->ClaimsOf(std::move(name));
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
