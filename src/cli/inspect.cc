#include "model/inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/text.h"
#include "checkpoint/names.h"
#include "cli/commands.h"

namespace moe::cli {
namespace {

using Json = nlohmann::ordered_json;

struct InspectOptions {
  std::string model;
  std::string pattern;
};

std::string Text(const Json& value) {
  if (value.is_null()) return "-";
  return value.is_string() ? Printable(value.get<std::string>()) : value.dump();
}

std::string Joined(const Json& list, const char* separator) {
  std::string text;
  for (const Json& item : list) text += (text.empty() ? "" : separator) + Text(item);
  return text;
}

std::string ExpertsLine(const Json& row) {
  std::string shapes, storage;
  for (const Json& shape : row["shapes"]) {
    shapes += (shapes.empty() ? "" : ", ") +
              fmt::format("{} x {}", shape[0].get<uint64_t>(), shape[1].get<uint64_t>());
  }
  for (const Json& scheme : row["storage"]) {
    storage +=
        (storage.empty() ? "" : ", ") + fmt::format("{} ({:.4g} bits)", Text(scheme["scheme"]),
                                                    scheme["bits_per_weight"].get<double>());
  }
  const auto least = row["experts_per_layer_min"].get<uint64_t>();
  const auto most = row["experts_per_layer_max"].get<uint64_t>();
  const std::string experts =
      least == most ? fmt::format("{}", most) : fmt::format("{}-{}", least, most);
  const std::string stack = row["stack"].is_null() ? "" : Text(row["stack"]) + " ";
  return fmt::format("  {}{} {}: {} layers ({}) x {} experts, {}, {}", stack,
                     row["shared"].get<bool>() ? "shared" : "routed", Text(row["proj"]),
                     row["layers"].get<uint64_t>(), Text(row["layer_ranges"]), experts, shapes,
                     storage);
}

std::string PartLine(const std::string& name, const Json& part) {
  const Json& bits = part["bits_per_weight"];
  return fmt::format("  {:<14} {:>10}  {:>14} parameters  {:>6} bits  {}", name,
                     HumanBytes(part["bytes"].get<uint64_t>()), part["parameters"].get<uint64_t>(),
                     bits.is_null() ? "-" : fmt::format("{:.4g}", bits.get<double>()),
                     Joined(part["storage"], ", "));
}

/// One cause may refuse thousands of tensors: the first ones stand for them, unless with -v.
void PrintUnmatched(const Json& unmatched, Reporter& report) {
  constexpr size_t kFew = 8;
  const size_t shown = report.verbose() ? unmatched.size() : std::min(kFew, unmatched.size());
  for (size_t i = 0; i < shown; ++i) {
    const Json& row = unmatched[i];
    report.Result(fmt::format("not analysed: {}: {}", Text(row["tensor"]), Text(row["reason"])));
  }
  if (shown < unmatched.size()) {
    report.Result(
        fmt::format("not analysed: {} more, listed by -v and --json", unmatched.size() - shown));
  }
}

void PrintSummary(const Json& model, Reporter& report) {
  if (const Json& missing = model["missing_shards"]; !missing.is_null()) {
    report.Result(Text(missing["text"]) + "; finish the download");
  }
  report.Result(fmt::format(
      "{}: {} ({}), {} file{}, {} tensors, {}", Text(model["model"]), Text(model["family"]),
      Text(model["model_type"]), model["files"].get<uint64_t>(), model["files"] == 1 ? "" : "s",
      model["tensors"].get<uint64_t>(), HumanBytes(model["bytes"].get<uint64_t>())));
  const Json& parameters = model["parameters"];
  report.Result(fmt::format("parameters: {} in all, {} active for a token",
                            parameters["total"].get<uint64_t>(), Text(parameters["active"])));
  report.Result("experts:");
  for (const Json& row : model["experts"]) report.Result(ExpertsLine(row));
  report.Result("parts:");
  for (const auto& [name, part] : model["parts"].items()) report.Result(PartLine(name, part));
  const Json& analyze = model["analyze"];
  report.Result(
      fmt::format("analyze would read {} matrices, {}, in about {:.1f} s on {} threads",
                  analyze["matrices"].get<uint64_t>(), HumanBytes(analyze["bytes"].get<uint64_t>()),
                  analyze["estimated_seconds"].get<double>(), analyze["threads"].get<uint64_t>()));
  PrintUnmatched(model["unmatched"], report);
  for (const Json& row : model["left_out_files"]) {
    report.Result(fmt::format("left out: {}: {}", Text(row["path"]), Text(row["reason"])));
  }
}

void PrintTensors(const Json& tensors, Reporter& report) {
  for (const Json& row : tensors) {
    report.Result(fmt::format("{}  {} [{}]  {}  {}  {}", Text(row["name"]), Text(row["dtype"]),
                              Joined(row["shape"], ", "), HumanBytes(row["bytes"].get<uint64_t>()),
                              Text(row["role"]), Text(row["storage"])));
  }
}

ExitCode RunTensors(const InspectOptions& options, Reporter& report) {
  const auto tensors = ListTensors(options.model, options.pattern);
  if (!tensors) {
    const ExitCode failed = FailWith(tensors.error(), report);
    return tensors.error().code == ErrorCode::kBadArgument ? ExitCode::kUsage : failed;
  }
  if (report.json()) {
    report.object()["rows"] = *tensors;
  } else {
    PrintTensors(*tensors, report);
  }
  return ExitCode::kOk;
}

ExitCode RunInspect(const InspectOptions& options, Reporter& report) {
  const auto inspection = InspectModel(options.model);
  if (!inspection) return FailWith(inspection.error(), report);
  if (report.json()) {
    report.object() = inspection->report;
  } else {
    PrintSummary(inspection->report, report);
  }
  report.Warnings(inspection->report["warnings"].get<std::vector<std::string>>(), "-v and --json");
  if (inspection->nothing) return FailWith(*inspection->nothing, report);
  return inspection->complete ? ExitCode::kOk : ExitCode::kIncomplete;
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
    exit = tensors.Given() ? RunTensors(*opt, report) : RunInspect(*opt, report);
  });
}

}  // namespace moe::cli
