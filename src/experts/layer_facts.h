#pragma once

#include <map>
#include <string>

#include "base/json.h"
#include "moescope/model_facts.h"

namespace moe {

/// Keys of the number of identity experts, which have no weights (LongCat).
inline constexpr const char* kZeroExperts[] = {"zero_expert_num"};

/// From the object that describes the stack (checkpoints.md 10.2 and 10.3): counts as a number, a
/// list (one entry a layer or a modality), `block_configs` (one object a layer) or, of `whole`
/// config.json, compressed-tensors' moe_sparsity_config; layers as a mask, a list, a text, or a
/// dense prefix, a period and exceptions. More than 100,000 layers are no model's.
LayerFacts LayerFactsOf(const Json& config, const Json& whole);

/// Of "encoder" and "decoder", where each has a period of its own (Switch Transformers, NLLB).
std::map<std::string, LayerFacts> EncoderAndDecoderFacts(const Json& config);

}  // namespace moe
