#include "model/inspect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/text.h"
#include "checkpoint/names.h"
#include "cli/commands.h"

namespace moe::cli {
namespace {

struct InspectOptions {
  std::string model;
  std::string pattern;
};

/// "-" for "".
std::string OrDash(const std::string& text) { return text.empty() ? "-" : Printable(text); }

std::string ExpertsLine(const ExpertGroup& group) {
  std::vector<std::string> shapes, storage;
  for (const auto& [rows, cols] : group.shapes)
    shapes.push_back(fmt::format("{} x {}", rows, cols));
  for (const auto& [scheme, bits] : group.storage) {
    storage.push_back(fmt::format("{} ({:.4g} bits)", Printable(scheme), bits));
  }
  const std::string experts = group.experts_min == group.experts_max
                                  ? fmt::format("{}", group.experts_max)
                                  : fmt::format("{}-{}", group.experts_min, group.experts_max);
  return fmt::format("  {}{} {}: {} layers ({}) x {} experts, {}, {}",
                     group.stack.empty() ? "" : Printable(group.stack) + " ",
                     group.shared ? "shared" : "routed", Printable(group.proj), group.layers.size(),
                     Ranges(group.layers), experts, fmt::join(shapes, ", "),
                     fmt::join(storage, ", "));
}

std::string PartLine(const ModelPart& part) {
  const auto bits = part.bits_per_weight();
  std::vector<std::string> storage;
  for (const std::string& scheme : part.storage) storage.push_back(Printable(scheme));
  return fmt::format("  {:<14} {:>10}  {:>14} parameters  {:>6} bits  {}", RoleName(part.role),
                     HumanBytes(part.bytes), part.parameters,
                     bits ? fmt::format("{:.4g}", *bits) : "-", fmt::join(storage, ", "));
}

/// One cause may refuse thousands of tensors: the first ones stand for them, unless with -v.
void PrintUnmatched(const std::vector<Inspection::Unmatched>& unmatched, Reporter& report) {
  constexpr size_t kFew = 8;
  const size_t shown = report.verbose() ? unmatched.size() : std::min(kFew, unmatched.size());
  for (size_t i = 0; i < shown; ++i) {
    report.Result(fmt::format("not analysed: {}: {}", Printable(unmatched[i].tensor),
                              Printable(unmatched[i].reason)));
  }
  if (shown < unmatched.size()) {
    report.Result(
        fmt::format("not analysed: {} more, listed by -v and --json", unmatched.size() - shown));
  }
}

void PrintSummary(const Inspection& model, Reporter& report) {
  if (!model.missing_shards.empty()) {
    report.Result(Printable(model.missing_shards.Text()) + "; finish the download");
  }
  report.Result(fmt::format("{}: {} ({}), {} file{}, {} tensors, {}",
                            Printable(model.model.string()), OrDash(model.family),
                            OrDash(model.model_type), model.files, model.files == 1 ? "" : "s",
                            model.tensors, HumanBytes(model.bytes)));
  const auto& active = model.active_parameters;
  report.Result(fmt::format("parameters: {} in all, {} active for a token", model.parameters,
                            active ? std::to_string(*active) : "-"));
  report.Result("experts:");
  for (const ExpertGroup& group : model.experts) report.Result(ExpertsLine(group));
  report.Result("parts:");
  for (const ModelPart& part : model.parts) report.Result(PartLine(part));
  report.Result(fmt::format("analyze would read {} matrices, {}, in about {:.1f} s on {} threads",
                            model.work.matrices, HumanBytes(model.work.bytes),
                            model.work.estimated_seconds, model.work.threads));
  PrintUnmatched(model.unmatched, report);
  for (const LeftOut& file : model.left_out_files) {
    report.Result(
        fmt::format("left out: {}: {}", Printable(file.path.string()), Printable(file.reason)));
  }
}

std::string TensorLine(const ModelTensor& tensor) {
  const TensorInfo& info = tensor.info();
  return fmt::format("{}  {} [{}]  {}  {}  {}", Printable(info.name), Printable(info.dtype_text),
                     fmt::join(info.shape, ", "), HumanBytes(info.nbytes),
                     RoleName(tensor.found.role),
                     tensor.weight ? Printable(tensor.weight->storage) : "-");
}

ExitCode RunTensors(const Model& model, const std::string& pattern, Reporter& report) {
  const auto tensors = FindTensors(model, pattern);
  if (!tensors) {
    return RefuseWith(tensors.error(), report);
  }
  if (report.json()) report.object()["rows"] = Json::Array();
  for (const ModelTensor* tensor : *tensors) {
    if (report.json()) {
      report.object()["rows"].push_back(TensorJson(*tensor));
    } else {
      report.Result(TensorLine(*tensor));
    }
  }
  return ExitCode::kOk;
}

ExitCode RunInspect(const Model& model, Reporter& report) {
  const Inspection inspection = Inspect(model);
  if (report.json()) {
    report.object() = InspectionJson(inspection);
  } else {
    PrintSummary(inspection, report);
  }
  report.Warnings(inspection.warnings, "-v and --json");
  if (inspection.nothing) return FailWith(*inspection.nothing, report);
  return inspection.complete ? ExitCode::kOk : ExitCode::kIncomplete;
}

}  // namespace

void AddInspect(const Command& program, ExitCode& exit, Reporter& report) {
  auto opt = std::make_shared<InspectOptions>();
  const Command cmd =
      program.Add("inspect", "What a checkpoint is, from its headers alone: no weight is read");
  cmd.Option("MODEL", opt->model, kModelMeaning).Required();
  const Argument tensors =
      cmd.Option("--tensors", opt->pattern,
                 "List the tensors whose name this pattern finds (Python's re.search); all "
                 "without one")
          .MayBeBare();
  cmd.Footer(
      "Exit code 3: some expert tensors would not be read, or shards are missing; 1: there is no "
      "expert.\n\nExamples:\n"
      "  moescope inspect ~/models/Qwen3-30B-A3B\n"
      "  moescope inspect ~/models/Qwen3-30B-A3B --json\n"
      "  moescope inspect ~/models/Qwen3-30B-A3B --tensors 'layers\\.3\\.'");
  cmd.OnRun([opt, tensors, &exit, &report] {
    const auto model = OpenForInspection(opt->model);
    exit = !model            ? FailWith(model.error(), report)
           : tensors.Given() ? RunTensors(*model, opt->pattern, report)
                             : RunInspect(*model, report);
  });
}

}  // namespace moe::cli
