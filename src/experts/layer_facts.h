#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace moe {

/// What a config says about the layers of one stack.
struct LayerFacts {
  std::optional<uint64_t> layers;
  std::optional<uint64_t> experts;               ///< of a layer, where all have the same number
  std::map<int64_t, uint64_t> experts_of_layer;  ///< where it has a number for each; 0: dense
  std::optional<std::set<int64_t>> moe_layers;   ///< nullopt: the config has no key about them
  bool shared_experts = false;                   ///< layers with experts have shared ones too, ...
  std::set<int64_t> without_shared;              ///< ... but for these
  std::vector<std::string> unreadable;           ///< keys of counts that are no whole number
  std::optional<uint64_t> shared_width;          ///< of all shared experts of a layer together

  bool promise_experts() const { return experts.value_or(0) > 0 || !experts_of_layer.empty(); }
};

/// From the object that describes the stack (formats.md 10.2 and 10.3): counts as a number, a list
/// (one entry a layer or a modality), `block_configs` (one object a layer) or, of `whole`
/// config.json, compressed-tensors' moe_sparsity_config; layers as a mask, a list, a text, or a
/// dense prefix, a period and exceptions. More than 100,000 layers are no model's.
LayerFacts LayerFactsOf(const nlohmann::json& config, const nlohmann::json& whole);

/// Of "encoder" and "decoder", where each has a period of its own (Switch Transformers, NLLB).
std::map<std::string, LayerFacts> EncoderAndDecoderFacts(const nlohmann::json& config);

}  // namespace moe
