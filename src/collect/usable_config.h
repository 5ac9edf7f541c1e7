#pragma once

#include <filesystem>

#include "moescope/error.h"
#include "run/config.h"

namespace moe {

/// LoadConfig(), and its patterns and preset name tried out too, so that a config that collect-data
/// can't use is refused before anything is read. kNotFound or kIo: the file; anything else: what it
/// says, with the JSON pointer (exit code 2, D18).
Result<Config> LoadUsableConfig(const std::filesystem::path& path);

}  // namespace moe
