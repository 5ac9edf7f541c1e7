#pragma once

#include <string>
#include <string_view>

#include "moescope/error.h"

namespace moe::cli {

/// What a flag says, that is to be a number that is not negative; else kBadArgument.
Result<double> NumberOf(const std::string& flag, std::string_view text,
                        const std::string& hint = "");

}  // namespace moe::cli
