#include <memory>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/pipeline.h"
#include "cli/terminal.h"
#include "model/inspect.h"
#include "model/location.h"
#include "run/config.h"
#include "run/run_dir.h"

namespace moe::cli {
namespace {

struct InitRunOptions {
  std::string root, model_id, run_name;
  std::optional<std::string> model_path;
};

/// Name of the preset that fits the model; "auto" where none is recognised or it can't be opened.
std::string RecognisedPreset(const std::filesystem::path& path) {
  const auto model = OpenForInspection(path.string());
  return model && !model->family().empty() ? std::string(model->family()) : "auto";
}

/// False, and said, where the run is there and of another model: its config would stay that one's.
bool IsFreeFor(const InitRunOptions& options,
               const std::optional<std::filesystem::path>& model_path, Reporter& report) {
  const auto run_dir = RunDirOf(options.root, options.model_id, options.run_name);
  if (!run_dir || !model_path) return true;
  const auto config = LoadConfig(*run_dir / "analysis_config.json");
  if (!config || !IsOfAnother(*config, *model_path)) return true;
  report.Error(OfAnotherModel(*run_dir, *config, *model_path, "--run-name NAME makes another run"));
  return false;
}

}  // namespace

void AddInitRun(const Command& program, ExitCode& exit, Reporter& report) {
  auto opt = std::make_shared<InitRunOptions>();
  const Command cmd = program.Add("init-run", "Create a new analysis run directory");
  cmd.Alias("init_run");
  cmd.Option("--root", opt->root, "Root directory where run directories are created").Required();
  cmd.Option("--model-id", opt->model_id, "Stable model identifier used under the run root")
      .Required();
  cmd.Option("--run-name", opt->run_name, "Human-readable run name within the model directory")
      .Required();
  cmd.Option("--model-path", opt->model_path,
             "Checkpoint folder or file, written into the new analysis_config.json");
  cmd.Footer(
      "Example:\n  moescope init-run --root runs --model-id qwen/qwen3-30b-a3b --run-name first "
      "--model-path ~/models/Qwen3-30B-A3B");
  cmd.OnRun([opt, &exit, &report] {
    std::optional<std::filesystem::path> model_path;
    if (opt->model_path) {
      const auto model = LocateModel(*opt->model_path);
      if (!model) report.Warning(model.error().Text());
      const bool downloaded_later = !model && IsModelId(*opt->model_path);
      model_path = model              ? model->path
                   : downloaded_later ? std::filesystem::path(*opt->model_path)
                                      : ResolvePath(*opt->model_path);
    }
    if (!IsFreeFor(*opt, model_path, report)) {
      exit = ExitCode::kUsage;
      return;
    }
    const auto run_dir = InitRun(opt->root, opt->model_id, opt->run_name, model_path,
                                 model_path ? RecognisedPreset(*model_path) : "auto");
    if (!run_dir) {
      exit = RefuseWith(run_dir.error(), report);
      return;
    }
    report.object()["run"] = run_dir->string();
    report.object()["config"] = (*run_dir / "analysis_config.json").string();
    report.Step("[init_run] run directory: " + run_dir->string());
    report.Step("[init_run] next: " + ShellWord(report.program()) + " collect-data " +
                ShellWord(run_dir->string()));
  });
}

}  // namespace moe::cli
