#include "experts/context.h"

#include "base/text.h"
#include "experts/model_facts.h"

namespace moe {
namespace {

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

Result<std::vector<ExtractContext::CompiledRouter>> CompileRouters(
    std::vector<RouterPattern> routers) {
  std::vector<ExtractContext::CompiledRouter> compiled;
  for (RouterPattern& router : routers) {
    auto pattern = Pattern::Compile(router.match, "the router '" + router.suffix + "'");
    if (!pattern) return tl::make_unexpected(std::move(pattern.error()));
    compiled.push_back({std::move(router.suffix), std::move(*pattern)});
  }
  return compiled;
}

}  // namespace

Result<ExtractContext> MakeContext(ExtractOptions options, std::span<const WeightShape> weights,
                                   const FamilyTable& table) {
  auto layer = Pattern::Compile(options.layer_regex, "/parsing/layer_regex");
  if (!layer) return tl::make_unexpected(std::move(layer.error()));
  auto expert = Pattern::Compile(options.expert_regex, "/parsing/expert_regex");
  if (!expert) return tl::make_unexpected(std::move(expert.error()));
  ModelFacts& model = options.model;
  LearnFromTensors(weights, model);
  const Family* family =
      options.presets == "auto" ? table.Find(model, weights) : table.Named(options.presets);
  if (family != nullptr) AddFamily(*family, model);
  auto presets = PresetsOf(options.presets, family, weights, table);
  if (!presets) return tl::make_unexpected(std::move(presets.error()));
  auto rules = CompileRules(options.rules, presets->rules);
  if (!rules) return tl::make_unexpected(std::move(rules.error()));
  auto routers = CompileRouters(std::move(presets->routers));
  if (!routers) return tl::make_unexpected(std::move(routers.error()));
  ProjNames names(options.proj_aliases);
  auto keywords = UsableKeywords(options.shared_expert_keywords);
  Axes axes(weights, table, family, model);
  return ExtractContext{std::move(options), std::move(names),          std::move(keywords),
                        std::move(*layer),  std::move(*expert),        family,
                        std::move(axes),    std::move(presets->rules), std::move(*rules),
                        std::move(*routers)};
}

}  // namespace moe
