#include "cli/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/platform.h"
#include "base/text.h"
#include "checkpoint/names.h"
#include "cli/terminal.h"
#include "collect/collect.h"
#include "run/logs.h"

namespace moe::cli {
namespace {

constexpr size_t kOddLines = 2;

template <class T>
Value OrNull(const std::optional<T>& value) {
  return value ? Value(*value) : Value();
}

template <class T>
Json JsonOrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

/// "25.2 million".
std::string HumanCount(uint64_t count) {
  const auto number = static_cast<double>(count);
  if (number >= 1e9) return fmt::format("{:.1f} billion", number / 1e9);
  return number < 1e6 ? fmt::format("{}", count) : fmt::format("{:.1f} million", number / 1e6);
}

/// "L3 E5 gate_proj", "mtp L0 shared up_proj".
std::string MatrixText(const RunMatrices& matrices, uint32_t matrix) {
  const RunMatrices::Place& place = matrices.places[matrix];
  const StackLayer& layer = matrices.layers[place.layer];
  const Slot& slot = matrices.slots[place.slot];
  const StackLayer number{"", layer.layer};
  return fmt::format("{}L{} {} {}", layer.stack.empty() ? "" : layer.stack + " ", number.Label(),
                     slot.shared ? slot.Label() : "E" + slot.Label(), matrices.projs[place.proj]);
}

void AnswerOddities(const RunMatrices& matrices, Reporter& report) {
  const Findings odd = FindOddities(matrices, 1);  // the most striking of each kind
  if (odd.list.empty()) return;
  const size_t shown = std::min(kOddLines, odd.list.size());
  const uint64_t more = CountOf(odd) - shown;
  report.Answer("");
  report.Answer(more == 0 ? "Odd:" : fmt::format("Odd, and {} more:", more));
  for (size_t i = 0; i < shown; ++i) {
    const std::string line = "- " + Escaped(odd.list[i].text);
    report.Answer(report.verbose() ? line : CutToTerminal(line));
  }
}

/// "50 % of the experts were read.", where that is not all.
void AnswerCoverage(Run& run, Reporter& report) {
  const Json share = run.Log("run_health.json")["expert_coverage"]["share"];
  if (!share.is_number() || share.get<double>() >= 1) return;
  report.Answer(fmt::format("{:.4g} % of the experts were read; all figures are of what was read.",
                            CoveragePercent(share.get<double>())));
}

void AnswerSize(const RunMatrices& matrices, const RunSummary& summary, Reporter& report) {
  const std::string stored =
      summary.bytes
          ? fmt::format(", {} at {:.4g} bits", HumanBytes(*summary.bytes), *summary.bits_per_weight)
          : "";
  report.Answer(fmt::format("{} expert matrices, {} weights{}{}", matrices.size(),
                            HumanCount(summary.weights), stored,
                            summary.schemes.empty() ? "" : "; relative errors of the weights:"));
}

bool FitsAll(const SchemeSummary& scheme) { return scheme.failed == 0; }

/// What the table's sizes and errors stand for, where that is not plain.
void NoteSchemes(const RunSummary& summary, bool starred, Reporter& report) {
  if (starred) report.Result(fmt::format("* {}: the error looks small", kFewHugeNote));
  if (std::ranges::all_of(summary.schemes, FitsAll)) return;
  report.Result(
      "Where a scheme does not fit a matrix, its size counts the matrix as stored, and its errors "
      "leave it out.");
}

void AnswerSchemes(const RunMatrices& matrices, const RunSummary& summary, Reporter& report) {
  if (summary.schemes.empty()) return;
  ShowSchemes(matrices, summary, ShowFormat::kTable, report);
}

}  // namespace

TensorNames FewHugeNames(const RunMatrices& matrices) {
  TensorNames names;
  const std::vector<double> shares = FewHugeShares(matrices);
  for (size_t i = 0; i < shares.size(); ++i) {
    if (shares[i] >= kFewHugeShare) names.insert(matrices.names[i]);
  }
  return names;
}

void ShowSchemes(const RunMatrices& matrices, const RunSummary& summary, ShowFormat format,
                 Reporter& report) {
  std::vector<WantedColumn> columns = {
      {"scheme", ColumnType::kString},  {"bits", ColumnType::kDouble},
      {"experts", ColumnType::kString}, {"median", ColumnType::kDouble},
      {"worst", ColumnType::kDouble},   {"worst expert", ColumnType::kString}};
  const bool all_fit = std::ranges::all_of(summary.schemes, FitsAll);
  if (!all_fit) columns.insert(columns.begin() + 3, {"fits", ColumnType::kString});
  const auto view = MakeTableView({format, columns, std::nullopt, true}, report);
  const TensorNames few_huge = FewHugeNames(matrices);
  bool starred = false;
  for (const SchemeSummary& scheme : summary.schemes) {
    std::string worst;
    if (scheme.worst) worst = MatrixText(matrices, *scheme.worst);
    if (scheme.worst && few_huge.contains(matrices.names[*scheme.worst])) {
      worst += " *";
      starred = true;
    }
    Row row = {scheme.name,
               OrNull(scheme.bits_per_weight),
               scheme.bytes ? Value(HumanBytes(*scheme.bytes)) : Value(),
               OrNull(scheme.median_error),
               OrNull(scheme.worst_error),
               worst};
    if (!all_fit) {
      const size_t fitting = matrices.size() - scheme.failed;
      row.insert(row.begin() + 3, fmt::format("{}/{}", fitting, matrices.size()));
    }
    (void)view->Append(std::move(row));
  }
  view->Finish();
  NoteSchemes(summary, starred, report);
}

Json SchemesJson(const RunMatrices& matrices, const RunSummary& summary) {
  Json list = Json::Array();
  for (const SchemeSummary& scheme : summary.schemes) {
    list.push_back({{"scheme", scheme.name},
                    {"bits_per_weight", JsonOrNull(scheme.bits_per_weight)},
                    {"expert_bytes", JsonOrNull(scheme.bytes)},
                    {"median_error", JsonOrNull(scheme.median_error)},
                    {"worst_error", JsonOrNull(scheme.worst_error)},
                    {"worst_matrix", scheme.worst ? Json(matrices.names[*scheme.worst]) : Json()},
                    {"failed", scheme.failed},
                    {"matrices", matrices.size()}});
  }
  return list;
}

Json FindingsJson(const Findings& odd) {
  Json list = Json::Array();
  for (const Finding& one : odd.list) {
    list.push_back({{"kind", FindingKindName(one.kind)}, {"text", one.text}});
  }
  return list;
}

void AddRunFacts(Run& run, Json& object) {
  const Json& health = run.Log("run_health.json");
  const std::filesystem::path page = run.dir() / "report.html";
  std::error_code failed;
  const auto add = [&](const char* key, const Json& value) {
    if (!object.contains(key)) object[key] = value;
  };
  add("run", run.dir().string());
  add("model", health["run"]["model_path"]);
  add("report", std::filesystem::exists(page, failed) ? Json(page.string()) : Json());
  add("coverage", health["expert_coverage"]["share"]);
  if (object.contains("schemes")) return;
  const auto& matrices = run.Matrices();
  object["schemes"] = matrices ? SchemesJson(*matrices, Summarize(*matrices)) : Json::Array();
}

uint64_t CountOf(const Findings& odd) {
  return std::accumulate(odd.left_out.begin(), odd.left_out.end(), uint64_t{odd.list.size()},
                         [](uint64_t sum, const auto& left_out) { return sum + left_out.second; });
}

Result<void> AnswerWith(Run& run, const std::optional<std::filesystem::path>& page,
                        Reporter& report) {
  if (!report.json() && report.verbosity() < Verbosity::kAnswer) return {};
  const auto& matrices = run.Matrices();
  if (!matrices) return tl::make_unexpected(matrices.error());
  const RunSummary summary = Summarize(*matrices);
  if (report.json()) {
    report.object()["schemes"] = SchemesJson(*matrices, summary);
    report.object()["findings"] = FindingsJson(FindOddities(*matrices, matrices->size()));
    report.object()["report"] = page ? Json(page->string()) : Json();
    AddRunFacts(run, report.object());
    return {};
  }
  if (matrices->size() == 0) {
    report.Answer(
        "No expert matrix was measured: data/unmatched_tensors says why, tensor by tensor.");
    return {};
  }
  AnswerCoverage(run, report);
  AnswerSize(*matrices, summary, report);
  AnswerSchemes(*matrices, summary, report);
  AnswerOddities(*matrices, report);
  report.Answer("");
  if (page) report.Answer(fmt::format("  {} {}", kOpenCommand, ShellWord(page->string())));
  report.Answer(
      fmt::format("  {} show {}", ShellWord(report.program()), ShellWord(run.dir().string())));
  return {};
}

}  // namespace moe::cli
