#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

#include "moescope/error.h"

namespace moe {

/// The commands whose outputs take their names one after the other.
inline constexpr std::string_view kCollectData = "collect-data", kBuildTables = "build-tables";

/// Calls `commit`, which renames outputs of `command` into place. Meanwhile a marker stands in the
/// run directory; it stays if the program is killed or `commit` fails, and goes when the command is
/// run again and succeeds.
Result<void> CommitMarked(const std::filesystem::path& run_dir, std::string_view command,
                          const std::function<Result<void>()>& commit);

/// kMalformed if outputs of one of `commands` are of two runs: its marker has stayed.
Result<void> CheckCommitted(const std::filesystem::path& run_dir,
                            std::span<const std::string_view> commands);

}  // namespace moe
