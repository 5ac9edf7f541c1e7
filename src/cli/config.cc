#include <memory>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/run_argument.h"
#include "collect/usable_config.h"
#include "run/config_keys.h"
#include "run/schemes.h"

namespace moe::cli {
namespace {

ExitCode CheckConfig(const std::filesystem::path& path, Reporter& report) {
  const auto config = LoadUsableConfig(path);
  const auto schemes =
      config.and_then([&](const Config& used) { return CheckSchemes(used, path.string()); });
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
  return WithRun({named}, report, [&](const std::filesystem::path& run_dir) {
    return CheckConfig(run_dir / "analysis_config.json", report);
  });
}

void PrintSchema(Reporter& report) {
  if (report.json()) {
    report.object()["schema"] = Json::parse(ConfigSchemaText());
  } else {
    report.Result(ConfigSchemaText());
  }
}

}  // namespace

void AddConfig(CLI::App& app, ExitCode& exit, Reporter& report) {
  CLI::App* cmd = app.add_subcommand("config", "Look at the configuration");
  cmd->require_subcommand(0, 1);
  cmd->callback([cmd] {
    if (cmd->get_subcommands().empty()) throw CLI::CallForHelp();
  });
  CLI::App* schema = cmd->add_subcommand("schema", "Print the JSON Schema of analysis_config.json");
  schema->callback([&report] { PrintSchema(report); });
  auto file = std::make_shared<std::string>();
  CLI::App* check = cmd->add_subcommand("check", "Say whether a configuration can be used");
  check->add_option("FILE", *file, "An analysis_config.json, or its run directory")->required();
  check->callback([file, &exit, &report] { exit = CheckConfigAt(*file, report); });
  const std::string to_file = "\n  moescope config schema > schema.json";
  const std::string of_run = "\n  moescope config check runs/m/first";
  cmd->footer("Examples:" + to_file + of_run);
  schema->footer("Example:" + to_file);
  check->footer("Example:" + of_run);
}

}  // namespace moe::cli
