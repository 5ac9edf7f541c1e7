#pragma once

#include "experts/filter.h"

namespace moe {

/// Tries the rules that hit in their order until one reads the weight, refuses it (its shape
/// contradicts others) or drops it. True: done, with the result in `out`; false: none did, and the
/// fallback is to be tried. Sets the subject's layer and stack. Fails as Extractor::Extract() does.
Result<bool> ApplyRules(const ExtractContext& context, Subject& subject, Extraction& out);

}  // namespace moe
