#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "experts/layer_facts.h"
#include "moescope/experts.h"

namespace moe {

/// What a model's config says about its experts, and its family's row (Extractor::Create); nullopt:
/// it doesn't, or not as one number.
/// Only checked against the tensors, and asked where shapes alone are ambiguous.
struct ModelFacts : LayerFacts {
  std::string model_type, gguf_arch;
  std::optional<uint64_t> expert_input;  ///< where experts work in a latent dimension, not hidden
  std::optional<uint64_t> hidden, expert_width, experts_per_token;
  bool width_is_of_experts = false;  ///< expert_width's key speaks of no dense layer as well
  bool widths_are_listed = false;    ///< the config has several, one a layer, modality or block
  uint64_t zero_experts = 0;         ///< identity experts: behind the others in routers, no weights
  bool router_has_more = false;  ///< routers have rows of identity or shared experts (the family)
  bool gated = false;            ///< every expert has a gate_proj (the family)
  bool every_layer = false;      ///< without a key about layers, all have experts (the family)
  std::map<std::string, LayerFacts> stacks;  ///< that have a number of layers of their own
  std::set<int64_t> mtp_layers;  ///< blocks of GGUF with multi-token prediction (LearnFromTensors)

  bool empty() const { return !layers && !hidden && !expert_width && !promise_experts(); }

  /// Of the stack ("" the model itself); nullopt: the config doesn't speak of it. Blocks for
  /// multi-token prediction are like the model's, in what layers soever they are.
  std::optional<LayerFacts> OfStack(const std::string& stack) const;
};

/// From the text of config.json: nested text_config and its synonyms first, and all the spellings
/// of formats.md 10.3. Text that is no JSON object gives no facts.
ModelFacts FactsOfConfig(std::string_view config_json);

/// From a GGUF file's key-value pairs, as JSON texts (formats.md 8.2). `layers` is without the
/// blocks of multi-token prediction, which block_count counts.
ModelFacts FactsOfGguf(const std::map<std::string, std::string>& metadata);

/// What names and shapes tell and no key does: the latent dimension that experts work in, and which
/// blocks of a GGUF file are for multi-token prediction.
void LearnFromTensors(std::span<const WeightShape> weights, ModelFacts& facts);

/// The first number between the dots of a name, which is the layer's; nullopt: none.
std::optional<int64_t> LayerNumber(std::string_view name);

}  // namespace moe
