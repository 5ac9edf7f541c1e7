#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace moe {

/// What a model's config says about its experts; nullopt: it doesn't, or not as one number.
/// Only checked against the tensors, and asked where shapes alone are ambiguous.
struct ModelFacts {
  std::string model_type, gguf_arch;
  std::optional<uint64_t> expert_input;  ///< where experts work in a latent dimension, not hidden
  std::optional<uint64_t> layers, hidden, expert_width, experts, experts_per_token;
  std::optional<std::set<int64_t>> moe_layers;  ///< nullopt: the config has no key about them
  bool empty() const { return !layers && !hidden && !expert_width && !experts; }
};

/// From the text of config.json: nested text_config and its synonyms first, and all the spellings
/// of formats.md 10.3. Text that is no JSON object gives no facts.
ModelFacts FactsOfConfig(std::string_view config_json);

/// From a GGUF file's key-value pairs, as JSON texts (formats.md 8.2).
ModelFacts FactsOfGguf(const std::map<std::string, std::string>& metadata);

}  // namespace moe
