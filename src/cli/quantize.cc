#include "quantize/quantize.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "base/ordered_work.h"
#include "base/text.h"
#include "checkpoint/names.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/pipeline.h"
#include "model/location.h"
#include "run/schemes.h"

namespace moe::cli {
namespace {

struct QuantizeFlags {
  std::string model;
  std::optional<std::string> out, recipe, scheme;
  std::string encoder = "mlx";
  unsigned threads = 0;
  bool dry_run = false, resume = false;
};

tl::unexpected<Error> Usage(std::string where, std::string message, std::string hint) {
  return Fail(ErrorCode::kBadArgument, std::move(where), std::move(message), std::move(hint));
}

Result<OutputChoice> ChoiceOf(const QuantizeFlags& flags) {
  if (flags.recipe.has_value() == flags.scheme.has_value()) {
    return Usage("quantize", "wants one of --recipe and --scheme", "as --scheme q4");
  }
  const bool search = flags.encoder == "search";
  if (flags.scheme) {
    const auto scheme = ParseScheme(*flags.scheme);
    if (scheme) return OutputChoice{.scheme = *scheme, .search = search || scheme->search()};
    return Usage("--scheme", fmt::format("there is no scheme '{}'", *flags.scheme),
                 "as q4, q8g32, mxfp4, nvfp4, or one of these with +search");
  }
  auto recipe = ReadRecipe(ResolvePath(*flags.recipe));
  if (!recipe) return tl::make_unexpected(std::move(recipe.error()));
  return OutputChoice{.scheme = {}, .search = search, .recipe = std::move(*recipe)};
}

Result<Model> OpenWhole(const std::string& path) {
  ModelOptions options;
  options.stop = Interrupted();
  return Model::Open(path, options);
}

void TellPlan(const OutputPlan& plan, Reporter& report) {
  for (const std::string& line : plan.losses) report.Warning(Printable(line));
  for (const std::string& line : plan.notes) report.Note(Printable(line));
}

/// Every tensor, every file, and the total.
void ShowPlan(const OutputPlan& plan, Reporter& report) {
  Json tensors = Json::Array(), files = Json::Array();
  uint64_t total = 0;
  for (const PlannedTensor& tensor : plan.tensors) {
    const std::string_view dtype = DTypeName(tensor.dtype);
    if (report.json()) {
      tensors.push_back({{"name", tensor.name},
                         {"dtype", dtype},
                         {"shape", tensor.shape},
                         {"bytes", tensor.bytes()}});
    } else {
      report.Result(fmt::format("{}  {} [{}]  {}", Printable(tensor.name), dtype,
                                fmt::join(tensor.shape, ", "), tensor.bytes()));
    }
  }
  for (const SafetensorsPlan& file : PlanSafetensors(plan.tensors)) {
    total += file.size;
    files.push_back({{"name", file.name}, {"bytes", file.size}});
    if (!report.json()) report.Result(fmt::format("{}  {}", file.name, file.size));
  }
  if (report.json()) report.object()["tensors"] = std::move(tensors);
  report.object()["files"] = std::move(files);
  report.object()["file_bytes"] = total;
  if (!report.json()) {
    report.Result(
        fmt::format("{} bytes of tensors, {} with the headers of files", plan.bytes, total));
  }
}

Result<void> MakeCheckpoint(const Model& model, const OutputPlan& plan, const OutputChoice& choice,
                            QuantizeOptions& options, Reporter& report) {
  uint64_t bytes = 0;
  for (const OutputWeight& weight : plan.weights) bytes += SourceBytes(weight);
  report.OnWork(plan.weights.size(), bytes);
  options.write.on_progress = [&](uint64_t weights, uint64_t done) {
    report.OnProgress(weights, done);
  };
  const auto made = Quantize(model, plan, choice, options);
  if (!made) return tl::make_unexpected(made.error());
  report.object()["out"] = options.out.string();
  report.object()["resumed_after"] = made->weights_kept;
  if (made->weights_kept > 0) {
    report.Step(fmt::format("{} of {} weights were whole already", made->weights_kept,
                            plan.weights.size()));
  }
  report.Answer(fmt::format("wrote {}: {} of tensors from {} of weights in {:.1f} s",
                            options.out.string(), HumanBytes(plan.bytes), HumanBytes(bytes),
                            made->seconds));
  return {};
}

Result<void> RunQuantize(const QuantizeFlags& flags, Reporter& report) {
  auto choice = ChoiceOf(flags);
  if (!choice) return tl::make_unexpected(std::move(choice.error()));
  QuantizeOptions options;
  const std::string out = flags.out.value_or("");
  if (out.empty() && !flags.dry_run) return Usage("quantize", "wants --out", "as --out qwen-q4");
  options.out = ResolvePath(out);
  options.resume = flags.resume;
  options.write.threads = ThreadCount(flags.threads);
  options.write.stop = Interrupted();
  if (!flags.dry_run) {
    if (auto free = CheckOut(options); !free) return free;
  }
  const auto model = OpenWhole(flags.model);
  if (!model) return tl::make_unexpected(model.error());
  const auto plan = PlanOutput(*model, *choice);
  if (!plan) return tl::make_unexpected(plan.error());
  options.name = LocateModel(flags.model).value_or(ModelLocation()).id;
  report.object()["bytes"] = plan->bytes;
  report.object()["notes"] = plan->notes;
  report.object()["losses"] = plan->losses;
  TellPlan(*plan, report);
  if (flags.dry_run) {
    ShowPlan(*plan, report);
    return {};
  }
  return MakeCheckpoint(*model, *plan, *choice, options, report);
}

}  // namespace

void AddQuantize(const Command& program, ExitCode& exit, Reporter& report) {
  auto opt = std::make_shared<QuantizeFlags>();
  const Command cmd = program.Add(
      "quantize", "Write an MLX checkpoint, byte for byte as mlx_lm.convert, in little memory");
  cmd.Option("MODEL", opt->model, kModelMeaning).Required();
  cmd.Option("-o,--out", opt->out, "The new folder");
  cmd.Option("--recipe", opt->recipe, "A recipe.json of this model");
  cmd.Option("--scheme", opt->scheme,
             "One scheme for all that mlx-lm quantizes: q4, q8g32, mxfp4, nvfp4; q4+search is q4 "
             "with --encoder search");
  cmd.Option("--encoder", opt->encoder,
             "mlx: the codes of mlx_lm.convert; search: less error in the same bytes, ten times as "
             "slow (docs/quantize.md)")
      .OneOf({"mlx", "search"})
      .ShowDefault();
  cmd.Flag("--dry-run", opt->dry_run, "Only list the tensors and files with their sizes");
  cmd.Flag("--resume", opt->resume, "Go on where a run that ended early has stopped");
  AddThreadsFlag(cmd, opt->threads);
  cmd.Footer(
      R"(Examples:
  moescope quantize ~/models/Qwen3-30B-A3B --scheme q4 -o Qwen3-30B-A3B-q4
  moescope quantize ~/models/Qwen3-30B-A3B --recipe recipe.json -o Qwen3-30B-A3B-recipe
  moescope quantize ~/models/Qwen3-30B-A3B --scheme mxfp4 --dry-run)");
  cmd.OnRun([opt, &exit, &report] {
    const auto done = RunQuantize(*opt, report);
    exit = done ? ExitCode::kOk : RefuseWith(done.error(), report);
  });
}

}  // namespace moe::cli
