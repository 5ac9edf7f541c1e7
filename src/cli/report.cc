#include <fmt/format.h>

#include <memory>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/pipeline.h"
#include "report/write_report.h"

namespace moe::cli {

ExitCode RunReport(const std::filesystem::path& run_dir, bool if_possible, Reporter& report) {
  const auto written = WriteReport(run_dir);
  if (!written && if_possible && written.error().code == ErrorCode::kUnsupported) {
    report.Note("no report.html: " + written.error().Text());
    return ExitCode::kOk;
  }
  if (!written) return FailWith(written.error(), report);
  report.Result(
      fmt::format("[report] wrote {} ({})", written->path.string(), HumanBytes(written->bytes)));
  return ExitCode::kOk;
}

void AddReport(CLI::App& app, ExitCode& exit, Reporter& report) {
  auto run_dir = std::make_shared<std::string>();
  CLI::App* cmd = app.add_subcommand("report", "Write the run as one page for the browser");
  cmd->add_option("--run-dir", *run_dir, "Run directory that collect-data has filled")->required();
  cmd->footer(
      R"(report.html in the run directory needs nothing else and no network: open it, send it, print it.

Example:
  moescope report --run-dir runs/qwen/qwen3-30b-a3b/first)");
  cmd->callback(
      [run_dir, &exit, &report] { exit = RunReport(ResolvePath(*run_dir), false, report); });
}

}  // namespace moe::cli
