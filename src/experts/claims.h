#pragma once

#include <string_view>
#include <vector>

#include "experts/context.h"

namespace moe {

/// As Extractor::ClaimsOf().
Result<std::vector<ExpertClaim>> ClaimsByName(const ExtractContext& context, std::string_view name);

}  // namespace moe
