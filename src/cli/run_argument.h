#pragma once

#include <functional>
#include <optional>
#include <string>

#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/reporter.h"
#include "insight/run.h"

namespace moe::cli {

/// The run directory on a command line: as the argument RUN or as --run-dir.
struct RunArgument {
  std::optional<std::string> path;
};

/// `meaning`: of --run-dir, in the help.
void AddRunArgument(const Command& cmd, RunArgument& run, const std::string& meaning);

/// Calls `work` with the run that is meant (FindRun()), and gives --json the run's facts. `work`
/// that writes to the run reads nothing through it. When none is meant, prints why:
/// ExitCode::kUsage.
ExitCode WithRun(const RunArgument& run, Reporter& report,
                 const std::function<ExitCode(Run&)>& work);

}  // namespace moe::cli
