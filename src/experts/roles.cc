#include "experts/roles.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <iterator>

#include "codec/companions.h"

namespace moe {
namespace {

// Whom a row of the table speaks about.
enum class Scope {
  kAny,
  kNotExpertNamed,  // names that say `experts`, or that a rule wants, are never attention
  kRouterModule,    // no expert index, and at most a matrix: a bank [E,I,H] is no router
  kExpertLike,
};

struct RoleRow {
  Role role;
  Scope scope;
  const char* pattern;  // searched in the lower-cased name
};

// First match wins. The output head counts as an embedding.
constexpr RoleRow kRoleRows[] = {
    {Role::kNorm, Scope::kAny,
     R"((?:norm[a-z0-9_]{0,4}|(?:^|[._])ln_?[a-z0-9]{0,4})(?:\.(?:weight|bias|scale|gamma|beta))?$)"},
    {Role::kRouter, Scope::kAny,
     R"(e_score_correction_bias$|(?:^|\.)(?:expert_bias|router_bias)$|tid2eid$)"},
    {Role::kRouter, Scope::kAny, R"((?:^|\.)router\.(?:per_expert_)?scale$)"},
    {Role::kCompanion, Scope::kAny, kCompanionPattern},
    {Role::kRouter, Scope::kAny, R"((?:^|\.)(?:\w*_)?shared?_experts?_gate(?:\.|$))"},
    {Role::kRouter, Scope::kAny, R"((?:^|\.)(?:ffn_gate_inp(?:_shexp)?|exp_probs_b)(?:\.|$))"},
    {Role::kAttention, Scope::kAny, R"((?:^|\.)self_attention\.experts\.)"},
    // Dense layers of Arctic, and what leads into the latent dimension of the experts.
    {Role::kOther, Scope::kAny, R"((?:^|\.)block_sparse_moe\.mlp\.)"},
    {Role::kOther, Scope::kAny, R"((?:^|\.)routed_expert_(?:down|up)_proj\.)"},
    {Role::kAttention, Scope::kNotExpertNamed, R"(attn|attention)"},
    {Role::kEmbedding, Scope::kNotExpertNamed,
     R"((?:^|[._])(?:embed(?:ding)?s?|embed_tokens|token_embd|wte|wpe|lm_head)(?:[._]|$)|^(?:shared|output)\.weight$)"},
    {Role::kRouter, Scope::kRouterModule,
     R"(^(?:(?!(?:experts|switch_mlp)\.)[^.]+\.)*(?:gate|router|primary_router)(?:\.|$))"},
    {Role::kCompanion, Scope::kExpertLike, R"((?:^|[._])bias$)"},
};

struct StackName {
  std::string_view component, stack;
};
constexpr StackName kStackNames[] = {
    {"encoder", "encoder"},     {"decoder", "decoder"},     {"mtp", "mtp"},
    {"mtp_block", "mtp"},       {"visual", "vision"},       {"vision", "vision"},
    {"vision_tower", "vision"}, {"vision_model", "vision"}, {"thinker", "thinker"},
    {"talker", "talker"},
};

bool Applies(Scope scope, const NameFacts& facts) {
  switch (scope) {
    case Scope::kAny:
      return true;
    case Scope::kNotExpertNamed:
      return !facts.expert_named;
    case Scope::kRouterModule:
      return !facts.has_expert_index && facts.ndim <= 2;
    case Scope::kExpertLike:
      return facts.expert_like;
  }
  return false;
}

}  // namespace

RoleTable::RoleTable() {
  for (const RoleRow& row : kRoleRows) {
    auto pattern = Pattern::Compile(row.pattern, "the table of roles");
    assert(pattern.has_value());
    patterns_.push_back(std::move(*pattern));
  }
}

const RoleTable& RoleTable::Get() {
  static const RoleTable table;
  return table;
}

Result<std::optional<Role>> RoleTable::Classify(const NameFacts& facts) const {
  for (size_t i = 0; i < patterns_.size(); ++i) {
    if (!Applies(kRoleRows[i].scope, facts)) continue;
    auto match = patterns_[i].Search(facts.lower);
    if (!match) return tl::make_unexpected(std::move(match.error()));
    if (*match) return kRoleRows[i].role;
  }
  return std::nullopt;
}

bool RoleTable::InExpertModule(std::string_view lower) {
  constexpr std::array<std::string_view, 3> kModules = {"switch_mlp", "moe", "block_sparse_moe"};
  const auto parts = NameComponents(lower);
  return std::find_first_of(parts.begin(), parts.end(), kModules.begin(), kModules.end()) !=
         parts.end();
}

bool RoleTable::IsDenseInExpertModule(const NameFacts& facts) {
  if (facts.ndim != 2 || facts.has_expert_index || facts.expert_named) return false;
  const auto parts = NameComponents(facts.lower);
  const auto is_number = [](std::string_view part) {
    return part.find_first_not_of("0123456789") == std::string_view::npos;
  };
  const auto module = std::find_if(parts.begin(), parts.end(), [](std::string_view part) {
    return part == "moe" || part == "block_sparse_moe";
  });
  return module != parts.end() && std::none_of(module, parts.end(), is_number);
}

std::vector<std::string_view> NameComponents(std::string_view name) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0;;) {
    const size_t dot = name.find('.', begin);
    parts.push_back(name.substr(begin, dot - begin));
    if (dot == std::string_view::npos) return parts;
    begin = dot + 1;
  }
}

std::optional<std::string> StackOf(std::string_view lower) {
  for (const std::string_view part : NameComponents(lower)) {
    const auto hit = std::find_if(std::begin(kStackNames), std::end(kStackNames),
                                  [&](const StackName& row) { return row.component == part; });
    if (hit != std::end(kStackNames)) return std::string(hit->stack);
  }
  return std::nullopt;
}

std::string UndecodedReason(const TensorInfo& tensor) {
  if (tensor.dtype_text == "object") return "storage object: a pickle, which is never read";
  if (tensor.dtype == DType::kOpaque) {
    return fmt::format("its elements are '{}', which are not read", tensor.dtype_text);
  }
  const auto scales = ScalesNameOf(tensor.name, tensor.dtype);
  const std::string what = scales ? fmt::format(" (quantized weight; scales in {})", *scales) : "";
  return fmt::format("storage {}{} is of no scheme that is read", tensor.dtype_text, what);
}

}  // namespace moe
