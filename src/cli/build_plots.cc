#include "report/build_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/pipeline.h"
#include "cli/run_argument.h"
#include "run/config.h"

namespace moe::cli {
namespace {

constexpr std::string_view kSpeaker = "[build_plots]";

ExitCode FailedWith(const Error& error, ExitCode code, Reporter& report) {
  report.Error(error, kSpeaker);
  return error.code == ErrorCode::kInterrupted ? ExitCode::kInterrupted : code;
}

/// Failures are told at the end, where they are seen.
void TellEntry(const PlotEntry& entry, Reporter& report) {
  if (entry.status == PlotStatus::kWritten) {
    report.Step(fmt::format("{} {}", kSpeaker, entry.path));
  } else if (entry.status == PlotStatus::kSkipped) {
    const std::string why = entry.error.empty() ? "it has no values" : entry.error;
    report.Note(fmt::format("{} {} is not drawn: {}", kSpeaker, entry.key, why));
  }
}

/// How many pictures were written, and what failed.
ExitCode Tell(const std::vector<PlotEntry>& entries, Reporter& report) {
  const auto count = [&](PlotStatus status) {
    return std::count_if(entries.begin(), entries.end(),
                         [status](const PlotEntry& entry) { return entry.status == status; });
  };
  const auto written = count(PlotStatus::kWritten), failed = count(PlotStatus::kError);
  report.Step(written + failed > 0
                  ? fmt::format("{} wrote {} plot(s)", kSpeaker, written)
                  : fmt::format("{} no compatible tables found for plotting", kSpeaker));
  for (const PlotEntry& entry : entries) {
    if (entry.status != PlotStatus::kError) continue;
    report.Error({ErrorCode::kMalformed, entry.key, entry.error, "", ""}, kSpeaker);
  }
  return failed > 0 ? ExitCode::kFailed : ExitCode::kOk;
}

}  // namespace

ExitCode RunBuildPlots(Run& run, unsigned threads, Reporter& report) {
  std::vector<std::string> warnings;
  const auto config = LoadPlotsConfig(run.dir() / "analysis_config.json", warnings);
  if (!config) {
    return FailedWith(config.error(), ExitCodeOfConfig(config.error()), report);
  }
  for (const std::string& warning : warnings) report.Warning(warning);
  PlotsOptions options{threads, Interrupted(), {}, {}};
  options.on_entry = [&](const PlotEntry& entry) { TellEntry(entry, report); };
  options.on_warning = [&](std::string_view text) { report.Warning(text); };
  const auto entries = BuildPlots(run, *config, options);
  if (!entries) return FailedWith(entries.error(), ExitCode::kFailed, report);
  Json& plots = report.object()["plots"] = Json::Object();
  for (const PlotEntry& entry : *entries) {
    plots[entry.key] = entry.path.empty() ? Json() : Json(entry.path);
  }
  return Tell(*entries, report);
}

void AddBuildPlots(const Command& program, ExitCode& exit, Reporter& report) {
  struct Options {
    RunArgument run;
    unsigned threads = 0;
  };
  auto opt = std::make_shared<Options>();
  const Command cmd = program.Add("build-plots", "Build plots from table artifacts");
  cmd.Alias("build_plots");
  AddRunArgument(cmd, opt->run, "Run directory containing tables/ and logs/");
  AddThreadsFlag(cmd, opt->threads);
  cmd.Footer(
      R"(Writes PNG and SVG under plots/; `plots` in analysis_config.json selects what is drawn.

Example:
  moescope build-plots runs/qwen/qwen3-30b-a3b/first)");
  cmd.OnRun([opt, &exit, &report] {
    exit = WithRun(opt->run, report,
                   [&](Run& run) { return RunBuildPlots(run, opt->threads, report); });
  });
}

}  // namespace moe::cli
