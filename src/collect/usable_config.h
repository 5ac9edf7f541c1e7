#pragma once

#include <filesystem>

#include "moescope/error.h"
#include "run/config.h"

namespace moe {

/// Tries out the patterns and the preset name of the config at `path`, so that one that
/// collect-data can't use is refused before anything is read. Fails with the JSON pointer (exit
/// code 2, D18).
Result<void> CheckUsable(const Config& config, const std::filesystem::path& path);

}  // namespace moe
