#pragma once

#include <string_view>

namespace moe::cli {

/// What the program says to its caller (contract D18; docs and --help show the same list).
enum class ExitCode : int {
  kOk = 0,
  kFailed = 1,      ///< missing config or model, corrupt input, write failure, ...
  kUsage = 2,       ///< the command line, or an analysis_config.json that can't be used
  kIncomplete = 3,  ///< done, but not all of it: see Meaning()
  kDiffers = 4,     ///< of what compares: not the same, or not what it should be
  kInterrupted = 130,
};

constexpr std::string_view Meaning(ExitCode exit) {
  switch (exit) {
    case ExitCode::kOk:
      return "done";
    case ExitCode::kFailed:
      return "failed";
    case ExitCode::kUsage:
      return "bad command line or config";
    case ExitCode::kIncomplete:
      return "done, but input was refused or skipped, coverage is too low, or a scheme fits no "
             "matrix";
    case ExitCode::kDiffers:
      return "done, and the two differ";
    case ExitCode::kInterrupted:
      return "interrupted";
  }
  return "";
}

}  // namespace moe::cli
