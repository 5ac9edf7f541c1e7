#include <fmt/format.h>

#include <memory>
#include <optional>

#include "base/pending_file.h"
#include "base/text.h"
#include "cli/commands.h"
#include "model/fingerprint.h"
#include "model/inspect.h"
#include "recipe/exporters.h"

namespace moe::cli {
namespace {

struct ExportOptions {
  std::string recipe, to, out;
  std::optional<std::string> model;
};

/// `path` is the checkpoint that the recipe was made for.
Result<void> CheckModel(const Recipe& recipe, const std::string& path) {
  return OpenForInspection(path).and_then([&](const Model& model) -> Result<void> {
    const std::string found = FingerprintOf(model);
    if (found == recipe.model.fingerprint) return {};
    return Fail(ErrorCode::kBadArgument, "--model",
                fmt::format("{} is not the model of this recipe: its tensors are others ({}, not "
                            "{})",
                            path, found, recipe.model.fingerprint),
                "'moescope analyze' and 'moescope recipe' make one for it");
  });
}

ExitCode RunExport(const ExportOptions& options, Reporter& report) {
  const auto path = ResolvePath(options.recipe), out = ResolvePath(options.out);
  if (path == out) {
    report.Error({ErrorCode::kBadArgument, "--out", "is the recipe itself", "", ""});
    return ExitCode::kUsage;
  }
  const auto recipe = ReadRecipe(path);
  if (!recipe) return FailWith(recipe.error(), report);
  if (options.model) {
    const auto same = CheckModel(*recipe, *options.model);
    if (!same) return RefuseWith(same.error(), report);
  }
  const auto written = WriteFileAtomically(out, FindExporter(options.to)->text(*recipe));
  if (!written) return FailWith(written.error(), report);
  report.object()["recipe"] = path.string();
  report.object()["to"] = options.to;
  report.object()["out"] = out.string();
  report.Answer("wrote " + out.string());
  return ExitCode::kOk;
}

}  // namespace

void AddExport(const Command& program, ExitCode& exit, Reporter& report) {
  auto opt = std::make_shared<ExportOptions>();
  const Command cmd = program.Add("export", "Write a recipe in the form that a converter takes");
  cmd.Option("RECIPE", opt->recipe, "A recipe.json").Required();
  std::string meaning = "The form:";
  std::vector<std::string> names;
  for (const Exporter& exporter : Exporters()) {
    meaning += fmt::format("{} {}, {}", names.empty() ? "" : ";", exporter.name, exporter.meaning);
    names.emplace_back(exporter.name);
  }
  cmd.Option("--to", opt->to, meaning).Required().OneOf(names);
  cmd.Option("-o,--out", opt->out, "The file to write; one that is there is replaced").Required();
  cmd.Option("--model", opt->model,
             "Writes it only if this is the checkpoint that the recipe is for");
  cmd.Footer(
      R"(Examples:
  moescope export recipe.json --to mlx-lm -o convert.py
  python convert.py ~/models/Qwen3-30B-A3B Qwen3-30B-A3B-recipe
  moescope export recipe.json --to mlx-config -o quantization.json)");
  cmd.OnRun([opt, &exit, &report] { exit = RunExport(*opt, report); });
}

}  // namespace moe::cli
