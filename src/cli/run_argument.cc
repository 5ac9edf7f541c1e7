#include "cli/run_argument.h"

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/summary.h"
#include "cli/terminal.h"
#include "model/location.h"
#include "run/find_run.h"

namespace moe::cli {

void AddRunArgument(const Command& cmd, RunArgument& run, const std::string& meaning) {
  const Argument positional = cmd.Option(
      "RUN", run.path,
      "The run directory, a path in it, or a folder above that holds one run [the newest of " +
          std::string(kDefaultRunRoot) + "]");
  cmd.Option("--run-dir", run.path, meaning).Excludes(positional);
}

ExitCode WithRun(const RunArgument& run, Reporter& report,
                 const std::function<ExitCode(Run&)>& work) {
  const auto found = FindRun(run.path);
  if (!found) {
    report.Error(found.error());
    return ExitCode::kUsage;
  }
  if (run.path && !IsRun(*found) && IsModel(*run.path)) {
    report.Error({ErrorCode::kBadArgument, *run.path, "is a model, not a run",
                  fmt::format("{0} analyze {1} makes one, {0} inspect {1} says what it is",
                              ShellWord(report.program()), ShellWord(*run.path)),
                  ""});
    return ExitCode::kUsage;
  }
  if (!run.path) report.Note("run: " + found->string());
  report.object()["run"] = found->string();
  Run meant(*found);
  const ExitCode exit = work(meant);
  const bool done = exit == ExitCode::kOk || exit == ExitCode::kIncomplete;
  if (done && report.json()) AddRunFacts(meant, report.object());
  return exit;
}

}  // namespace moe::cli
