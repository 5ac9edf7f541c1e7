#include "experts/rules.h"

#include <algorithm>
#include <iterator>

#include "experts/config_numbers.h"

namespace moe {
namespace {

Result<CompiledRule> Compiled(const ExtractRule& rule, const PresetRule* preset) {
  auto pattern = Pattern::Compile(rule.match, "rule '" + rule.name + "'");
  if (!pattern) return tl::make_unexpected(std::move(pattern.error()));
  return CompiledRule{rule, std::move(*pattern), preset};
}

}  // namespace

bool CompiledRule::is_generic() const {
  return preset == nullptr && (rule.name == "generic_3d_expert_bank_separate" ||
                               rule.name == "generic_2d_per_expert_separate");
}

Result<std::vector<CompiledRule>> CompileRules(std::span<const ExtractRule> rules,
                                               std::span<const PresetRule> presets) {
  std::vector<CompiledRule> compiled;
  const auto add = [&](const ExtractRule& rule, const PresetRule* preset) -> Result<void> {
    if (!rule.enabled) return {};
    auto made = Compiled(rule, preset);
    if (!made) return tl::make_unexpected(std::move(made.error()));
    compiled.push_back(std::move(*made));
    return {};
  };
  for (const ExtractRule& rule : rules) {
    if (auto done = add(rule, nullptr); !done) return tl::make_unexpected(std::move(done.error()));
  }
  for (const PresetRule& preset : presets) {
    if (auto done = add(preset.rule, &preset); !done) {
      return tl::make_unexpected(std::move(done.error()));
    }
  }
  std::stable_partition(compiled.begin(), compiled.end(),
                        [](const CompiledRule& rule) { return !rule.is_generic(); });
  return compiled;
}

std::optional<int64_t> NumberIn(const std::optional<PatternMatch>& match, int64_t group) {
  if (!match || group < 0 || static_cast<size_t>(group) >= match->groups.size()) return {};
  return IntegerIn(match->groups[static_cast<size_t>(group)].value_or(""));
}

}  // namespace moe
