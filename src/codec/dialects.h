#pragma once

#include <string>

#include "codec/config_values.h"

namespace moe {

// The ways in which libraries say how weights are quantized: each fills what it knows into `words`,
// whose method and object are known. A key whose value cannot be read becomes the words' demand.

/// MLX, GPTQ, AWQ, fp8, ModelOpt: keys of one object.
void ReadFlat(const Json& object, QuantWords& words);

/// compressed-tensors: `weights` of one of config_groups.
void ReadGroup(const Json& weights, QuantWords& words);

/// compressed-tensors' names of whole groups: {"W4A16": ["Linear"]}.
void ReadPreset(const std::string& name, QuantWords& words);

}  // namespace moe
