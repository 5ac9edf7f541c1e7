#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "moescope/experts.h"
#include "moescope/model_facts.h"

namespace moe {

/// From the text of config.json ("" none) or, where that says nothing, from a GGUF file's key-value
/// pairs. `model_type` is left to the caller, who knows what else it needs it for.
ModelFacts FactsOfModel(std::string_view config_json,
                        const std::map<std::string, std::string>& gguf_metadata);

/// From the text of config.json: nested text_config and its synonyms first, and all the spellings
/// of checkpoints.md 10.3. Text that is no JSON object gives no facts.
ModelFacts FactsOfConfig(std::string_view config_json);

/// From a GGUF file's key-value pairs, as JSON texts (checkpoints.md 8.2). `layers` is without the
/// blocks of multi-token prediction, which block_count counts.
ModelFacts FactsOfGguf(const std::map<std::string, std::string>& metadata);

/// What names and shapes tell and no key does: the latent dimension that experts work in, and which
/// blocks of a GGUF file are for multi-token prediction.
void LearnFromTensors(std::span<const WeightShape> weights, ModelFacts& facts);

/// The first number between the dots of a name, which is the layer's; nullopt: none.
std::optional<int64_t> LayerNumber(std::string_view name);

}  // namespace moe
