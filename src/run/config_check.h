#pragma once

#include <string>
#include <vector>

#include "base/json_text.h"
#include "moescope/error.h"

namespace moe {

/// Checks types, allowed values and required keys of `config`. kBadArgument: "PATH /scan/max_files:
/// must be an integer or null, but is a string". Unknown keys go to `warnings` with the closest
/// known.
Result<void> CheckConfigKeys(const Json& config, const std::string& where,
                             std::vector<std::string>& warnings);

/// The same for `plots` alone, whatever else is in `config` or missing.
Result<void> CheckPlotsKeys(const Json& config, const std::string& where,
                            std::vector<std::string>& warnings);

}  // namespace moe
