#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace moe {

/// What a model's config says about the layers of one stack.
struct LayerFacts {
  std::optional<uint64_t> layers;                ///< how many there are
  std::optional<uint64_t> experts;               ///< how many a layer has, if all have as many
  std::map<int64_t, uint64_t> experts_of_layer;  ///< how many each has, if it lists them; 0: dense
  std::optional<std::set<int64_t>> moe_layers;   ///< nullopt: the config has no key about them
  bool shared_experts = false;                   ///< layers with experts have shared ones too, ...
  std::set<int64_t> without_shared;              ///< ... but for these
  std::vector<std::string> unreadable;           ///< keys of counts that are no whole number
  std::optional<uint64_t> shared_width;  ///< the width of all shared experts of a layer together

  bool promise_experts() const { return experts.value_or(0) > 0 || !experts_of_layer.empty(); }
};

/// What is known about a model before its tensors are looked at. Only checked against them, and
/// asked where shapes alone are ambiguous. nullopt: the config doesn't say, or not as one number.
///
/// A caller of Extractor::Create() fills what it knows of it; Extractor::facts() has what the
/// tensors' names and the family's row add, too.
struct ModelFacts : LayerFacts {
  std::string model_type;  ///< of config.json, of the text model; "" unknown
  std::string gguf_arch;   ///< general.architecture, where only a GGUF file says it; "" unknown
  std::optional<uint64_t> expert_input;  ///< where experts work in a latent dimension, not hidden
  std::optional<uint64_t> hidden, expert_width, experts_per_token;
  bool width_is_of_experts = false;  ///< expert_width's key speaks of no dense layer as well
  bool widths_are_listed = false;    ///< the config has several, one a layer, modality or block
  uint64_t zero_experts = 0;         ///< identity experts: behind the others in routers, no weights
  std::map<std::string, LayerFacts> stacks;  ///< that have a number of layers of their own

  // Extractor::Create() adds these.
  bool router_has_more = false;  ///< routers have rows of identity or shared experts (the family)
  bool gated = false;            ///< every expert has a gate_proj (the family)
  bool every_layer = false;      ///< without a key about layers, all have experts (the family)
  std::set<int64_t> mtp_layers;  ///< blocks of GGUF for multi-token prediction (the names)

  bool empty() const { return !layers && !hidden && !expert_width && !promise_experts(); }

  /// Of the stack ("" the model itself); nullopt: the config doesn't speak of it. Blocks for
  /// multi-token prediction are like the model's, in what layers soever they are.
  std::optional<LayerFacts> OfStack(const std::string& stack) const;
};

}  // namespace moe
