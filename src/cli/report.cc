#include <fmt/format.h>

#include <memory>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/pipeline.h"
#include "cli/run_argument.h"
#include "report/write_report.h"

namespace moe::cli {

ExitCode RunReport(Run& run, bool if_possible, Reporter& report) {
  const auto written = WriteReport(run);
  if (!written && if_possible && written.error().code == ErrorCode::kUnsupported) {
    report.Note("no report.html: " + written.error().Text());
    return ExitCode::kOk;
  }
  if (!written) return FailWith(written.error(), report);
  report.Step(
      fmt::format("[report] wrote {} ({})", written->path.string(), HumanBytes(written->bytes)));
  return ExitCode::kOk;
}

void AddReport(const Command& program, ExitCode& exit, Reporter& report) {
  struct Options {
    RunArgument run;
    bool with_pictures = false;
    unsigned threads = 0;
  };
  auto opt = std::make_shared<Options>();
  const Command cmd = program.Add("report", "Write the run as one page for the browser");
  AddRunArgument(cmd, opt->run, "Run directory that collect-data has filled");
  const Argument with_pictures =
      cmd.Flag("--static", opt->with_pictures, "Draw pictures too, as build-plots does");
  AddThreadsFlag(cmd, opt->threads).Needs(with_pictures);
  cmd.Footer(
      R"(report.html in the run directory needs nothing else and no network: open it, send it, print it.

Examples:
  moescope report runs/qwen/qwen3-30b-a3b/first
  moescope report runs/qwen/qwen3-30b-a3b/first --static)");
  cmd.OnRun([opt, &exit, &report] {
    exit = WithRun(opt->run, report, [&](Run& run) {
      const ExitCode written = RunReport(run, false, report);
      if (written != ExitCode::kOk || !opt->with_pictures) return written;
      return RunBuildPlots(run, opt->threads, report);
    });
  });
}

}  // namespace moe::cli
