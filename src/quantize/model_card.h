#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "quantize/output_plan.h"
#include "quantize/write_weights.h"

namespace moe {

// How a checkpoint was made: for people, and for programs.

/// The folder's README.md. `name`: what the source is called; with a slash, on the Hub.
std::string ModelCardText(const Model& model, const std::string& name, const OutputPlan& plan,
                          const OutputChoice& choice);

/// moescope.json: source, scheme or recipe, versions, and every tensor with its digest.
Json ManifestOf(const Model& model, const std::string& name, const OutputPlan& plan,
                const OutputChoice& choice, const std::vector<SafetensorsPlan>& files,
                const std::vector<WeightDigests>& digests);

}  // namespace moe
