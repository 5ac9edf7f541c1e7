#pragma once

#include "experts/context.h"

namespace moe {

/// As Extractor::Extract(): the filter, then the rules, then the fallback.
Result<Extraction> ExtractWeight(const ExtractContext& context, const WeightShape& weight);

}  // namespace moe
