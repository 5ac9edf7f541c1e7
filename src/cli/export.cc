#include <fmt/format.h>

#include <memory>

#include "base/pending_file.h"
#include "base/text.h"
#include "cli/commands.h"
#include "recipe/exporters.h"

namespace moe::cli {
namespace {

struct ExportOptions {
  std::string recipe, to, out;
};

ExitCode RunExport(const ExportOptions& options, Reporter& report) {
  const auto path = ResolvePath(options.recipe), out = ResolvePath(options.out);
  if (path == out) {
    report.Error({ErrorCode::kBadArgument, "--out", "is the recipe itself", "", ""});
    return ExitCode::kUsage;
  }
  const auto recipe = ReadRecipe(path);
  if (!recipe) return FailWith(recipe.error(), report);
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
  cmd.Footer(
      R"(Examples:
  moescope export recipe.json --to mlx-lm -o convert.py
  python convert.py ~/models/Qwen3-30B-A3B Qwen3-30B-A3B-recipe
  moescope export recipe.json --to mlx-config -o quantization.json)");
  cmd.OnRun([opt, &exit, &report] { exit = RunExport(*opt, report); });
}

}  // namespace moe::cli
