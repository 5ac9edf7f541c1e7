#include "report/pair_page.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "base/version.h"
#include "insight/findings.h"
#include "insight/numbering.h"
#include "insight/run_matrices.h"
#include "report/page_data.h"

namespace moe {
namespace {

/// A number of a pair that heatmaps show.
template <class R>
struct PairMetric {
  Column column;
  std::optional<double> (*value)(const R& row);
};

Column MetricColumn(const char* name, const char* unit, const char* doc, const char* label,
                    const char* plain, WorseEnd worse) {
  Column column{.name = name, .unit = unit, .doc = doc, .label = label, .plain = plain};
  column.worse = worse;
  return column;
}

std::optional<double> Quotient(const std::optional<double>& above,
                               const std::optional<double>& below) {
  if (!above || !below || !(*below > 0)) return std::nullopt;
  return *above / *below;
}

std::optional<double> AsNumber(const std::optional<int64_t>& count) {
  return count ? std::optional(static_cast<double>(*count)) : std::nullopt;
}

using Verified = PairMetric<VerifyRow>;
const std::vector<Verified>& VerifyMetrics() {
  static const std::vector<Verified> metrics = {
      {MetricColumn(
           "error_to_expected", "ratio", "error / expected_error", "Error against expected",
           "How many times the error that the encoder of its scheme makes of these weights.",
           WorseEnd::kHigh),
       [](const VerifyRow& row) { return Quotient(row.error, row.expected); }},
      {MetricColumn("error_to_allowed", "ratio", "error / allowed_error", "Error against allowed",
                    "Above 1 it is a fault.", WorseEnd::kHigh),
       [](const VerifyRow& row) { return Quotient(row.error, row.allowed); }},
      {MetricColumn("error", "ratio", "|original - quantized| / |original|", "Relative error",
                    "How far the quantized matrix is from the original.", WorseEnd::kHigh),
       [](const VerifyRow& row) { return row.error; }},
      {MetricColumn("cosine", "ratio", "sum a b / (|a| |b|)", "Cosine",
                    "1: the same direction; near 0: another matrix, or another order.",
                    WorseEnd::kLow),
       [](const VerifyRow& row) { return row.cosine; }},
      {MetricColumn("codes_differ", "elements", "codes that are not the encoder's",
                    "Codes that differ", "0 where the matrix is attested.", WorseEnd::kHigh),
       [](const VerifyRow& row) { return AsNumber(row.codes_differ); }},
      {MetricColumn("norm_ratio", "ratio", "|quantized| / |original|", "Norm against original",
                    "2 or 1/2: scales are off by a power of two.", WorseEnd::kFar),
       [](const VerifyRow& row) { return row.norm_ratio; }},
      {MetricColumn("zero_share", "ratio", "weights that became 0 / weights", "Zeroed share",
                    "Weights that became 0 without being it.", WorseEnd::kHigh),
       [](const VerifyRow& row) { return row.zero_share; }},
      {MetricColumn("clip_share", "ratio", "weights beyond what is reached / weights",
                    "Clipped share", "Weights beyond what scales and biases reach.",
                    WorseEnd::kHigh),
       [](const VerifyRow& row) { return row.clip_share; }},
  };
  return metrics;
}

template <std::optional<double> (PairNumbers::*kOf)() const>
std::optional<double> OfNumbers(const CompareRow& row) {
  return row.status == "unread" ? std::nullopt : (row.numbers.*kOf)();
}

using Compared = PairMetric<CompareRow>;
const std::vector<Compared>& CompareMetrics() {
  static const std::vector<Compared> metrics = {
      {MetricColumn("rel_distance", "ratio", "|a - b| / |a|, Frobenius norms", "Relative distance",
                    "0: the same values; 1.4: matrices that have nothing to do with each other.",
                    WorseEnd::kHigh),
       OfNumbers<&PairNumbers::rel_distance>},
      {MetricColumn("cosine", "ratio", "sum a b / (|a| |b|)", "Cosine",
                    "1: the same direction; near 0: nothing in common.", WorseEnd::kLow),
       OfNumbers<&PairNumbers::cosine>},
      {MetricColumn("norm_ratio", "ratio", "|b| / |a|", "Norm of B against A",
                    "Whether the weights became larger or smaller.", WorseEnd::kFar),
       OfNumbers<&PairNumbers::norm_ratio>},
      {MetricColumn("changed_share", "ratio", "elements of another value / elements",
                    "Changed share", "How many of its weights have another value.",
                    WorseEnd::kHigh),
       [](const CompareRow& row) {
         return Quotient(static_cast<double>(row.numbers.elements - row.numbers.equal),
                         static_cast<double>(row.numbers.elements));
       }},
  };
  return metrics;
}

StackLayer LayerOf(const PairIdentity& id) { return {id.stack.value_or(""), id.layer}; }
Slot SlotOf(const PairIdentity& id) {
  const bool shared = id.role == "shared_expert";
  return {shared, shared ? 0 : id.number, 0};
}

/// The experts' matrices among `rows` as the page has those of a run.
template <class R>
RunMatrices MatricesOf(const std::vector<R>& all, const std::vector<PairMetric<R>>& metrics) {
  std::vector<const R*> rows;
  for (const R& row : all) {
    const bool of_expert = row.id.role == "routed_expert" || row.id.role == "shared_expert";
    if (row.id.matrix && of_expert) rows.push_back(&row);
  }
  RunMatrices matrices;
  matrices.files = {""};
  for (const R* row : rows) {
    matrices.projs.push_back(row->id.weight);
    matrices.layers.push_back(LayerOf(row->id));
    matrices.slots.push_back(SlotOf(row->id));
  }
  SortUnique(matrices.projs);
  SortUnique(matrices.layers);
  SortUnique(matrices.slots);
  std::vector<std::pair<RunMatrices::Place, const R*>> places;
  for (const R* row : rows) {
    const PairIdentity& id = row->id;
    const std::pair shape(static_cast<int64_t>(id.rows), static_cast<int64_t>(id.cols));
    const RunMatrices::Storage storage{
        id.storage_a == id.storage_b ? id.storage_a : id.storage_a + ", " + id.storage_b, {}};
    places.push_back({{IndexOf(matrices.projs, id.weight), IndexOf(matrices.layers, LayerOf(id)),
                       IndexOf(matrices.slots, SlotOf(id)), IndexOrAdd(matrices.shapes, shape),
                       IndexOrAdd(matrices.storages, storage), 0},
                      row});
  }
  std::ranges::stable_sort(places, {}, [](const auto& one) {
    return std::tuple(one.first.proj, one.first.layer, one.first.slot);
  });
  for (const auto& [column, value] : metrics) {
    MatrixMetric& metric = matrices.metrics.emplace_back(MatrixMetric{column, false, {{}}});
    for (const auto& [place, row] : places) {
      metric.values.front().push_back(
          value(*row).value_or(std::numeric_limits<double>::quiet_NaN()));
    }
  }
  for (const auto& [place, row] : places) {
    matrices.places.push_back(place);
    matrices.names.push_back(row->id.tensor_b);
  }
  return matrices;
}

std::string PageOf(const char* command, const Json& summary, const RunMatrices& matrices) {
  Json page = {{"version", kVersion}};
  page["pair"] = {{"command", command}, {"summary", Json(summary)}};
  AddLists(matrices, page);
  page["far"] = kFarZ;
  return PageText(std::move(page), matrices);
}

}  // namespace

std::string PairPage(const Verification& verification, const Json& summary) {
  return PageOf("verify", summary, MatricesOf(verification.rows, VerifyMetrics()));
}

std::string PairPage(const ModelComparison& comparison, const Json& summary) {
  return PageOf("compare", summary, MatricesOf(comparison.rows, CompareMetrics()));
}

}  // namespace moe
