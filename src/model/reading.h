#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/discovery.h"
#include "model/metadata.h"
#include "model/open_checkpoint.h"
#include "moescope/experts.h"

namespace moe {

// From what config.json and the containers say to what the rooms ask.

ModelWords WordsOf(const ModelMetadata& metadata);

/// `options` with what is known of the model.
ExtractOptions ExtractOptionsFor(ExtractOptions options, const ModelMetadata& metadata,
                                 const Checkpoint& checkpoint);

/// "[quantization] ..." lines: a quant_method whose tensors no codec reads, and weights that are
/// stored rotated (compressed-tensors' transform_config), which are measured as they are stored.
std::vector<std::string> QuantizationWarnings(const ModelMetadata& metadata);

}  // namespace moe
