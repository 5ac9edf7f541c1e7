#include "moescope/experts.h"

namespace moe {
namespace {

ExtractRule TemplateRule(const char* name, const char* match, int64_t ndim, RuleLayout layout) {
  ExtractRule rule;
  rule.name = name;
  rule.match = match;
  rule.ndim = ndim;
  rule.layout = layout;
  return rule;
}

}  // namespace

ExtractOptions DefaultExtractOptions() {
  const RuleLayout stack = {{}, 0, 1, 2};
  const RuleLayout matrix = {{}, {}, 0, 1};

  ExtractOptions options;
  options.layer_regex = R"((?:^|\.)layers\.(\d+)(?:\.|$))";
  options.expert_regex = R"((?:^|\.)experts\.(\d+)(?:\.|$))";
  options.proj_aliases = {{"down_proj", {"down_proj", "w2", ".down.", "ffn_down"}},
                          {"gate_proj", {"gate_proj", "w1", ".gate.", "ffn_gate"}},
                          {"up_proj", {"up_proj", "w3", ".up.", "ffn_up"}}};

  ExtractRule bank =
      TemplateRule("generic_3d_expert_bank_separate",
                   R"(.*experts.*\.(down_proj|gate_proj|up_proj)\.weight$)", 3, stack);
  bank.proj_group = 1;
  ExtractRule single =
      TemplateRule("generic_2d_per_expert_separate",
                   R"(.*experts\.(\d+)\.(down_proj|gate_proj|up_proj)\.weight$)", 2, matrix);
  single.expert_group = 1;
  single.proj_group = 2;
  options.rules = {std::move(bank), std::move(single)};
  return options;
}

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kRoutedExpert:
      return "routed_expert";
    case Role::kSharedExpert:
      return "shared_expert";
    case Role::kRouter:
      return "router";
    case Role::kAttention:
      return "attention";
    case Role::kEmbedding:
      return "embedding";
    case Role::kNorm:
      return "norm";
    case Role::kCompanion:
      return "companion";
    case Role::kOther:
      return "other";
  }
  return "other";
}

}  // namespace moe
