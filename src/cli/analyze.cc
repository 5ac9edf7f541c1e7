#include <memory>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/pipeline.h"
#include "run/config.h"
#include "run/find_run.h"
#include "run/run_dir.h"

namespace moe::cli {
namespace {

struct AnalyzeOptions {
  std::string model, out = kDefaultRunRoot, model_id, run_name = "analysis";
  CollectFlags flags;
  bool no_report = false;
};

/// The id of the model at `path`: the name of its folder (of a file, its stem); in a hub cache
/// (models--ORG--NAME/snapshots/HASH) it is ORG/NAME.
std::string ModelIdOf(const std::filesystem::path& path) {
  constexpr std::string_view kCachePrefix = "models--";
  for (const std::filesystem::path& part : path) {
    std::string name = part.string();
    if (!name.starts_with(kCachePrefix)) continue;
    name.erase(0, kCachePrefix.size());
    const size_t dashes = name.find("--");
    if (dashes != std::string::npos) name.replace(dashes, 2, "/");
    return name;
  }
  std::error_code failed;
  const bool is_file = std::filesystem::is_regular_file(path, failed);
  const std::string name = (is_file ? path.stem() : path.filename()).string();
  return name.empty() ? "model" : name;
}

ExitCode RunAnalyze(const AnalyzeOptions& options, Reporter& report) {
  const std::filesystem::path model = ResolvePath(options.model);
  std::error_code failed;
  if (!std::filesystem::exists(model, failed)) {
    return FailWith({ErrorCode::kNotFound, model.string(), "no such file or folder",
                     "give the checkpoint's folder or file", ""},
                    report);
  }
  const std::string id = options.model_id.empty() ? ModelIdOf(model) : options.model_id;
  const auto run_dir = InitRun(options.out, id, options.run_name, model, "auto");
  if (!run_dir) {
    const ExitCode failed_code = FailWith(run_dir.error(), report);
    return run_dir.error().code == ErrorCode::kBadArgument ? ExitCode::kUsage : failed_code;
  }
  const auto config = LoadConfig(*run_dir / "analysis_config.json");
  if (config && config->model_path != model.string()) {
    report.Warning(run_dir->string() + " was made for " + config->model_path +
                   "; its results are replaced (--run-name or --model-id keeps both)");
  }
  CollectFlags flags = options.flags;
  flags.model_path = model.string();  // an older config of this run may name another path
  const ExitCode collected = RunCollect(*run_dir, flags, report);
  if (collected != ExitCode::kOk && collected != ExitCode::kIncomplete) return collected;
  const ExitCode built = RunBuildTables(*run_dir, report);
  if (built != ExitCode::kOk) return built;
  if (!options.no_report) {
    const ExitCode reported = RunReport(*run_dir, true, report);
    if (reported != ExitCode::kOk) return reported;
  }
  report.Answer("results: " + run_dir->string());
  return collected;
}

}  // namespace

void AddAnalyze(CLI::App& app, ExitCode& exit, Reporter& report) {
  auto opt = std::make_shared<AnalyzeOptions>();
  CLI::App* cmd = app.add_subcommand(
      "analyze",
      "Everything in one call: make a run directory, collect data, build tables, write the report");
  cmd->add_option("MODEL", opt->model, "Checkpoint folder or file")->required();
  cmd->add_option("-o,--out", opt->out, "Root directory of the runs")->capture_default_str();
  cmd->add_option("--model-id", opt->model_id, "Model identifier [from the path]");
  cmd->add_option("--run-name", opt->run_name, "Run name")->capture_default_str();
  cmd->add_flag("--no-report", opt->no_report, "Do not write report.html");
  AddWorkFlags(*cmd, opt->flags);
  cmd->footer("Example:\n  moescope analyze ~/models/Qwen3-30B-A3B --out runs");
  cmd->callback([opt, &exit, &report] { exit = RunAnalyze(*opt, report); });
}

}  // namespace moe::cli
