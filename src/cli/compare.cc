#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "base/text.h"
#include "checkpoint/names.h"
#include "cli/commands.h"
#include "cli/comparison.h"
#include "cli/pipeline.h"
#include "model/inspect.h"
#include "pairs/compare_models.h"

namespace moe::cli {
namespace {

struct CompareOptions {
  std::string a, b;
  std::optional<std::string> out;
  unsigned threads = 0;
};

void TellVerdict(const Comparison& comparison, Reporter& report) {
  const std::string all = Grouped(comparison.Count(&RoleCounts::matrices));
  const uint64_t changed = comparison.Count(&RoleCounts::changed);
  const std::string rest = comparison.complete() ? "" : "; not all could be compared";
  if (changed > 0) {
    report.Answer(fmt::format("differs: {} of {} weights{}", Grouped(changed), all, rest));
  } else if (comparison.complete()) {
    report.Answer(fmt::format("equal: {} weights have the same values", all));
  } else {
    const std::string same = Grouped(comparison.Count(&RoleCounts::identical));
    report.Answer(fmt::format("incomplete: {} weights have the same values{}", same, rest));
  }
}

void TellRoles(const Comparison& comparison, Reporter& report) {
  report.Answer(fmt::format("{:<14} {:>9} {:>10} {:>9} {:>9} {:>9}", "role", "weights", "identical",
                            "changed", "distance", "furthest"));
  for (const auto& [role, counts] : comparison.roles) {
    const double distance = counts.sum_aa > 0 ? std::sqrt(counts.sum_dd / counts.sum_aa) : 0;
    report.Answer(fmt::format("{:<14} {:>9} {:>10} {:>9} {:>9.4g} {:>9.4g}", role,
                              Grouped(counts.matrices), Grouped(counts.identical),
                              Grouped(counts.changed), distance, counts.largest));
  }
}

void TellExperts(const Comparison& comparison, Reporter& report) {
  constexpr size_t kFewLayers = 8;
  uint64_t changed = 0;
  for (const auto& [layer, experts] : comparison.changed_experts) changed += experts.size();
  if (comparison.experts == 0) return;
  report.Answer(fmt::format("routed experts that changed: {} of {}", Grouped(changed),
                            Grouped(comparison.experts)));
  if (changed == comparison.experts) return;
  size_t told = 0;
  for (const auto& [layer, experts] : comparison.changed_experts) {
    if (told++ == kFewLayers && !report.verbose()) {
      report.Answer(fmt::format("  and in {} more layers (-v)",
                                comparison.changed_experts.size() - kFewLayers));
      return;
    }
    report.Answer(fmt::format("  layer {}: {}", layer, Ranges({experts.begin(), experts.end()})));
  }
}

void TellWorst(const Comparison& comparison, Reporter& report) {
  const auto number = [](const std::optional<double>& value) {
    return value ? fmt::format("{:.4g}", *value) : "-";
  };
  const auto worst = comparison.Worst(report.verbose() ? 100 : 8);
  if (worst.empty()) return;
  report.Answer(fmt::format("{:>9} {:>9} {:>9}  {}", "distance", "cosine", "norm b/a", "furthest"));
  for (const CompareRow* row : worst) {
    report.Answer(fmt::format("{:>9} {:>9} {:>9}  {}{}", number(row->numbers.rel_distance()),
                              number(row->numbers.cosine()), number(row->numbers.norm_ratio()),
                              Printable(row->id.text),
                              row->status == "nonfinite" ? " (not finite)" : ""));
  }
}

ExitCode ExitOf(const Comparison& comparison) {
  if (!comparison.equal()) return ExitCode::kDiffers;
  return comparison.complete() ? ExitCode::kOk : ExitCode::kIncomplete;
}

ExitCode RunCompare(const CompareOptions& options, Reporter& report) {
  const auto a = OpenForInspection(options.a);
  if (!a) return FailWith(a.error(), report);
  const auto b = OpenForInspection(options.b);
  if (!b) return FailWith(b.error(), report);
  const auto comparison = CompareModels(*a, *b, PairWork(options.threads, report));
  if (!comparison) return FailWith(comparison.error(), report);
  const Json object = ComparisonJson(*comparison, *a, *b);
  if (options.out) {
    std::vector<Row> rows;
    for (const CompareRow& row : comparison->rows) rows.push_back(CompareTable().RowOf(row));
    const auto folder = ResolvePath(*options.out);
    const auto written = WritePairFiles(folder, CompareTable().Schema(), rows, object);
    if (!written) return FailWith(written.error(), report);
  }
  if (report.json()) report.object() = object;
  TellVerdict(*comparison, report);
  TellRoles(*comparison, report);
  TellExperts(*comparison, report);
  TellWorst(*comparison, report);
  TellUnpaired(comparison->pairs, "A", "B", report);
  return ExitOf(*comparison);
}

}  // namespace

void AddCompare(const Command& program, ExitCode& exit, Reporter& report) {
  auto opt = std::make_shared<CompareOptions>();
  const Command cmd = program.Add(
      "compare", "How two checkpoints of a model differ: each expert and every other weight");
  cmd.Option("A", opt->a, kModelMeaning).Required();
  cmd.Option("B", opt->b, "The other, in whatever form: HF, MLX, GGUF, FP8, ...").Required();
  cmd.Option("-o,--out", opt->out,
             "Write compare.parquet (a row for each weight) and compare.json into this folder; "
             "without it nothing is written");
  AddThreadsFlag(cmd, opt->threads);
  cmd.Footer(
      R"(Exit code 0: all weights have the same values; 4: they differ; 3: they don't, but not all
could be compared.

Examples:
  moescope compare ~/models/Qwen3-30B-A3B ~/models/Qwen3-30B-A3B-finetune
  moescope compare Qwen3-30B-A3B-q4 Qwen3-30B-A3B-Q4_K_M.gguf --out differences)");
  cmd.OnRun([opt, &exit, &report] { exit = RunCompare(*opt, report); });
}

}  // namespace moe::cli
