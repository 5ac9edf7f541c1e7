#pragma once

#include "experts/filter.h"

namespace moe {

/// Reads a tensor that holds several projections, each as a bank of its own: all of them, or none.
/// False: the split doesn't fit, which is a warning, and the fallback is to be tried; where the
/// rule is the user's and strict_packed_split is on, that fails instead, and ends the run.
Result<bool> ApplyPackedSplit(const ExtractContext& context, const Subject& subject,
                              const RuleHit& hit, Extraction& out);

}  // namespace moe
