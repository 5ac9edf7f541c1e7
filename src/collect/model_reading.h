#pragma once

#include <filesystem>
#include <functional>

#include "checkpoint/discovery.h"
#include "collect/open_checkpoint.h"
#include "moescope/experts.h"
#include "run/model_metadata.h"

namespace moe {

// From what config.json and the containers say to what the rooms ask.

ModelWords WordsOf(const ModelMetadata& metadata);

/// `options` with what is known of the model.
ExtractOptions ExtractOptionsFor(ExtractOptions options, const ModelMetadata& metadata,
                                 const Checkpoint& checkpoint);

}  // namespace moe
