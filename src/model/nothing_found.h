#pragma once

#include "model/model_files.h"
#include "moescope/error.h"
#include "moescope/model.h"

namespace moe {

// One sentence that says what lies there instead of experts, and what to do. kUnsupported.

/// Of files none is to be read: a folder with files of another kind, without weights, or empty.
Error NothingToRead(const ModelFiles& files);

/// None of the tensors is an expert's: a dense model, or one that no rule reads.
/// `experts_only`: whether only experts' matrices were looked for.
Error NoExperts(const Model& model, bool experts_only);

}  // namespace moe
