#include "report/run_summary.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tables/aggregate.h"

namespace moe {
namespace {

double WeightsOf(const RunMatrices& matrices, size_t matrix) {
  const auto [rows, cols] = matrices.shapes[matrices.places[matrix].shape];
  return static_cast<double>(rows) * static_cast<double>(cols);
}

uint64_t Bytes(double weights, double bits) {
  return static_cast<uint64_t>(std::llround(weights * bits / 8));
}

void AddBits(const RunMatrices& matrices, const std::vector<double>& bits, double all_weights,
             SchemeSummary& scheme) {
  double weights = 0, sum = 0;
  for (size_t i = 0; i < bits.size(); ++i) {
    if (std::isnan(bits[i])) continue;
    weights += WeightsOf(matrices, i);
    sum += WeightsOf(matrices, i) * bits[i];
  }
  if (weights == 0) return;
  scheme.bits_per_weight = sum / weights;
  scheme.bytes = Bytes(all_weights, *scheme.bits_per_weight);
}

void AddErrors(const std::vector<double>& errors, SchemeSummary& scheme) {
  std::vector<double> known;
  for (size_t i = 0; i < errors.size(); ++i) {
    if (std::isnan(errors[i])) continue;
    known.push_back(errors[i]);
    if (scheme.worst_error && errors[i] <= *scheme.worst_error) continue;
    scheme.worst_error = errors[i];
    scheme.worst = static_cast<uint32_t>(i);
  }
  scheme.failed = errors.size() - known.size();
  if (!known.empty()) scheme.median_error = Quantile(known, 0.5);
}

}  // namespace

RunSummary Summarize(const RunMatrices& matrices) {
  RunSummary summary;
  double weights = 0, stored_bits = 0;
  for (size_t i = 0; i < matrices.size(); ++i) {
    const double count = WeightsOf(matrices, i);
    const auto& bits = matrices.storages[matrices.places[i].storage].bits;
    weights += count;
    stored_bits += count * bits.value_or(std::numeric_limits<double>::quiet_NaN());
  }
  summary.weights = static_cast<uint64_t>(weights);
  if (weights > 0 && !std::isnan(stored_bits)) {
    summary.bits_per_weight = stored_bits / weights;
    summary.bytes = Bytes(weights, *summary.bits_per_weight);
  }
  const MatrixMetric* bits = matrices.Find("bits_per_weight");
  const MatrixMetric* errors = matrices.Find("w_rel_fro");
  for (size_t i = 0; i < matrices.schemes.size(); ++i) {
    SchemeSummary scheme{matrices.schemes[i].name, {}, {}, {}, {}, {}};
    if (bits != nullptr) AddBits(matrices, bits->values[i], weights, scheme);
    if (errors != nullptr) AddErrors(errors->values[i], scheme);
    summary.schemes.push_back(std::move(scheme));
  }
  std::ranges::stable_sort(summary.schemes, {}, [](const SchemeSummary& scheme) {
    return scheme.bits_per_weight.value_or(std::numeric_limits<double>::infinity());
  });
  return summary;
}

}  // namespace moe
