#pragma once

#include "experts/filter.h"

namespace moe {

/// Reads a weight that no rule has read: by the projection in its name alone, with the axes in
/// their usual order, [out, in] or [experts, out, in]. Where it can't, `out` says why.
Result<void> FallBack(const ExtractContext& context, const Subject& subject, Extraction& out);

}  // namespace moe
