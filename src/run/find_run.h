#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "moescope/error.h"

namespace moe {

/// Where `analyze` puts its runs unless told: below the working directory.
inline constexpr const char* kDefaultRunRoot = "moescope-runs";

/// Whether the folder is a run directory: has an analysis_config.json.
bool IsRun(const std::filesystem::path& folder);

/// A run that failed before anything was measured: it holds nothing but the log of that.
bool HoldsNothing(const std::filesystem::path& run_dir);

/// The run directory that a command line means, absolute: the folder `named` (of a file in it, its
/// folder) if it has an analysis_config.json; else the only such folder below, as in RUNS/MODEL;
/// else the one that `named` lies in, as in RUN/data; else `named` itself, which may be a run made
/// by hand, or not there. Without `named`: the run under kDefaultRunRoot whose config, manifest or
/// logs were written last.
///
/// Hidden folders, links, runs that hold nothing, and what is more than four levels below are not
/// looked at. kBadArgument when several are meant, and lists them, or when there is none to be
/// meant.
Result<std::filesystem::path> FindRun(const std::optional<std::string>& named);

}  // namespace moe
