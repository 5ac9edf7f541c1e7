#include <memory>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/run_argument.h"
#include "collect/usable_config.h"
#include "run/config_schema.h"
#include "run/schemes.h"

namespace moe::cli {
namespace {

ExitCode CheckConfig(const std::filesystem::path& path, Reporter& report) {
  const auto config = LoadConfig(path);
  const auto schemes = config.and_then([&](const Config& used) {
    return CheckUsable(used, path).and_then([&] { return CheckSchemes(used, path.string()); });
  });
  report.object()["config"] = path.string();
  report.object()["valid"] = schemes.has_value();
  if (!schemes) return FailWithConfig(schemes.error(), report);
  for (const std::string& warning : config->warnings) report.Warning(warning);
  for (const std::string& warning : *schemes) report.Warning(warning);
  report.Answer(path.string() + " is valid");
  return ExitCode::kOk;
}

/// Of a folder, the run's.
ExitCode CheckConfigAt(const std::string& named, Reporter& report) {
  const std::filesystem::path path = ResolvePath(named);
  std::error_code failed;
  if (!std::filesystem::is_directory(path, failed)) return CheckConfig(path, report);
  return WithRun({named}, report, [&](const Run& run) {
    return CheckConfig(run.dir() / "analysis_config.json", report);
  });
}

void PrintSchema(Reporter& report) {
  if (report.json()) {
    report.object()["schema"] = *Json::Parse(ConfigSchemaText());
  } else {
    report.Result(ConfigSchemaText());
  }
}

}  // namespace

void AddConfig(const Command& program, ExitCode& exit, Reporter& report) {
  const Command cmd = program.Add("config", "Look at the configuration");
  cmd.HelpIfBare();
  const Command schema = cmd.Add("schema", "Print the JSON Schema of analysis_config.json");
  schema.OnRun([&report] { PrintSchema(report); });
  auto file = std::make_shared<std::string>();
  const Command check = cmd.Add("check", "Say whether a configuration can be used");
  check.Option("FILE", *file, "An analysis_config.json, or its run directory").Required();
  check.OnRun([file, &exit, &report] { exit = CheckConfigAt(*file, report); });
  const std::string to_file = "\n  moescope config schema > schema.json";
  const std::string of_run = "\n  moescope config check runs/m/first";
  cmd.Footer("Examples:" + to_file + of_run);
  schema.Footer("Example:" + to_file);
  check.Footer("Example:" + of_run);
}

}  // namespace moe::cli
