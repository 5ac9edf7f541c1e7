#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <memory>
#include <tuple>

#include "base/text.h"
#include "checkpoint/names.h"
#include "cli/commands.h"
#include "cli/comparison.h"
#include "cli/pipeline.h"
#include "insight/compare_runs.h"
#include "insight/run.h"
#include "pairs/compare_models.h"
#include "run/find_run.h"

namespace moe::cli {
namespace {

struct CompareOptions {
  std::string a, b;
  std::optional<std::string> out;
  unsigned threads = 0;
};

void TellVerdict(const ModelComparison& comparison, Reporter& report) {
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

void TellRoles(const ModelComparison& comparison, Reporter& report) {
  report.Answer(fmt::format("{:<14} {:>9} {:>10} {:>9} {:>9} {:>9}", "role", "weights", "identical",
                            "changed", "distance", "furthest"));
  for (const auto& [role, counts] : comparison.roles) {
    const double distance = counts.sum_aa > 0 ? std::sqrt(counts.sum_dd / counts.sum_aa) : 0;
    report.Answer(fmt::format("{:<14} {:>9} {:>10} {:>9} {:>9.4g} {:>9.4g}", role,
                              Grouped(counts.matrices), Grouped(counts.identical),
                              Grouped(counts.changed), distance, counts.largest));
  }
}

void TellExperts(const ModelComparison& comparison, Reporter& report) {
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

void TellWorst(const ModelComparison& comparison, Reporter& report) {
  const auto worst = comparison.Worst(report.verbose() ? 100 : 8);
  if (worst.empty()) return;
  report.Answer(fmt::format("{:>9} {:>9} {:>9}  {}", "distance", "cosine", "norm b/a", "furthest"));
  for (const CompareRow* row : worst) {
    report.Answer(fmt::format("{:>9} {:>9} {:>9}  {}{}", Number(row->numbers.rel_distance()),
                              Number(row->numbers.cosine()), Number(row->numbers.norm_ratio()),
                              Printable(row->id.text),
                              row->status == "nonfinite" ? " (not finite)" : ""));
  }
}

// ---- two runs ----

/// Rows that nobody asked for.
class NoRows : public RowSink {
 public:
  Result<void> Append(Row) override { return {}; }
};

/// With compare_runs.parquet and .json in the folder, if there is one.
Result<RunComparison> CompareRuns(const RunMatrices& a, const RunMatrices& b,
                                  const std::optional<std::string>& folder) {
  Result<RunComparison> comparison;
  if (!folder) {
    NoRows no_rows;
    return CompareRuns(a, b, no_rows);
  }
  const auto written = WritePairFiles(ResolvePath(*folder), RunPairTable().Schema(), {},
                                      [&](RowSink& sink) -> Result<Json> {
                                        comparison = CompareRuns(a, b, sink);
                                        return comparison.map(RunComparisonJson);
                                      });
  if (!written) return tl::make_unexpected(written.error());
  return comparison;
}

void TellSchemes(const RunComparison& comparison, Reporter& report) {
  bool first = true;
  for (const MetricPair& pair : comparison.metrics) {
    if (pair.metric != "w_rel_fro" || pair.joined == 0) continue;
    if (first) {
      report.Answer(fmt::format("{:<16} {:>9} {:>10} {:>10} {:>10} {:>10} {:>10}", "relative error",
                                "matrices", "median A", "median B", "worst A", "worst B",
                                "B less in"));
    }
    first = false;
    report.Answer(fmt::format("{:<16} {:>9} {:>10.5g} {:>10.5g} {:>10.5g} {:>10.5g} {:>10}",
                              Printable(pair.scheme), Grouped(pair.joined), pair.median_a,
                              pair.median_b, pair.worst_a, pair.worst_b, Grouped(pair.less_in_b)));
  }
}

void TellMetrics(const RunComparison& comparison, Reporter& report) {
  bool first = true;
  for (const MetricPair& pair : comparison.metrics) {
    const bool of_weights = pair.scheme.empty();
    if (pair.equal == pair.joined || (!of_weights && !report.verbose())) continue;
    if (first) {
      report.Answer(fmt::format("{:<34} {:>9} {:>10} {:>10}  {}", "numbers that differ", "matrices",
                                "median A", "median B", "furthest (B - A)"));
    }
    first = false;
    const std::string name = of_weights ? pair.metric : pair.scheme + " " + pair.metric;
    report.Answer(fmt::format("{:<34} {:>9} {:>10.5g} {:>10.5g}  {:.5g} {}", Printable(name),
                              Grouped(pair.joined - pair.equal), pair.median_a, pair.median_b,
                              pair.furthest, Printable(pair.furthest_at)));
  }
}

void TellRuns(const RunComparison& comparison, Reporter& report) {
  const std::string matrices = Grouped(comparison.joined) + " matrices that both have";
  if (!comparison.equal()) {
    report.Answer("differs: the numbers of " + matrices);
  } else if (comparison.complete()) {
    report.Answer("equal: all numbers of " + matrices);
  } else {
    report.Answer("incomplete: the same numbers as far as both have them, of " + matrices);
  }
  TellSchemes(comparison, report);
  TellMetrics(comparison, report);
  for (const auto& [run, matrix_count, schemes] :
       {std::tuple("A", comparison.only_a, &comparison.schemes_a),
        std::tuple("B", comparison.only_b, &comparison.schemes_b)}) {
    if (matrix_count > 0) {
      report.Answer(fmt::format("matrices only in {}: {}", run, Grouped(matrix_count)));
    }
    if (!schemes->empty()) {
      report.Answer(fmt::format("schemes only in {}: {}", run, fmt::join(*schemes, ", ")));
    }
  }
}

ExitCode RunCompareRuns(const CompareOptions& options, Reporter& report) {
  Run a(ResolvePath(options.a)), b(ResolvePath(options.b));
  const auto& of_a = a.Matrices();
  if (!of_a) return FailWith(of_a.error(), report);
  const auto& of_b = b.Matrices();
  if (!of_b) return FailWith(of_b.error(), report);
  const auto comparison = CompareRuns(*of_a, *of_b, options.out);
  if (!comparison) return FailWith(comparison.error(), report);
  if (report.json()) report.object() = RunComparisonJson(*comparison);
  TellRuns(*comparison, report);
  return ExitOf(!comparison->equal(), comparison->complete());
}

// ---- what is meant ----

ExitCode RunCompareModels(const CompareOptions& options, Reporter& report) {
  const auto opened = OpenPaired(options.a, options.b, options.out);
  if (!opened) return FailWith(opened.error(), report);
  const auto& [a, b] = *opened;
  const auto comparison = CompareModels(a, b, PairWork(options.threads, report));
  if (!comparison) return FailWith(comparison.error(), report);
  const Json object = ComparisonJson(*comparison, a, b);
  const auto written = WritePairing(options.out, *comparison, CompareTable(), object, report);
  if (!written) return FailWith(written.error(), report);
  if (report.json()) report.object() = object;
  TellVerdict(*comparison, report);
  TellRoles(*comparison, report);
  TellExperts(*comparison, report);
  TellWorst(*comparison, report);
  TellUnpaired(comparison->pairs, "A", "B", report);
  return ExitOf(!comparison->equal(), comparison->complete());
}

}  // namespace

void AddCompare(const Command& program, ExitCode& exit, Reporter& report) {
  auto opt = std::make_shared<CompareOptions>();
  const Command cmd = program.Add(
      "compare",
      "How two checkpoints of a model differ, weight by weight; or the numbers of two runs");
  cmd.Option("A", opt->a, kModelMeaning).Required();
  cmd.Option("B", opt->b, "The other, in whatever form: HF, MLX, GGUF, FP8, ...; a run if A is one")
      .Required();
  cmd.Option(
      "-o,--out", opt->out,
      "Write compare.parquet (a row for each weight), compare.json and the page compare.html "
      "into this folder, of runs compare_runs.parquet and .json; without it nothing is "
      "written");
  AddThreadsFlag(cmd, opt->threads);
  cmd.Footer(
      R"(Exit code 0: all weights have the same values; 4: they differ; 3: they don't, but not all
could be compared.

Examples:
  moescope compare ~/models/Qwen3-30B-A3B ~/models/Qwen3-30B-A3B-finetune
  moescope compare Qwen3-30B-A3B-q4 Qwen3-30B-A3B-Q4_K_M.gguf --out differences
  moescope compare runs/qwen3-30b-a3b/first runs/qwen3-30b-a3b-finetune/first)");
  cmd.OnRun([opt, &exit, &report] {
    const bool runs = IsRun(ResolvePath(opt->a)) && IsRun(ResolvePath(opt->b));
    exit = runs ? RunCompareRuns(*opt, report) : RunCompareModels(*opt, report);
  });
}

}  // namespace moe::cli
