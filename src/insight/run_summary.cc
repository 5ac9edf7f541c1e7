#include "insight/run_summary.h"

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

/// NaN if unknown.
double StoredBits(const RunMatrices& matrices, size_t matrix) {
  return matrices.storages[matrices.places[matrix].storage].bits.value_or(
      std::numeric_limits<double>::quiet_NaN());
}

/// NaN gives nullopt.
std::optional<uint64_t> Bytes(double bits) {
  if (std::isnan(bits)) return std::nullopt;
  return static_cast<uint64_t>(std::llround(bits / 8));
}

void AddBits(const RunMatrices& matrices, const std::vector<double>& bits, SchemeSummary& scheme) {
  double weights = 0, fitted = 0, stored = 0;
  for (size_t i = 0; i < bits.size(); ++i) {
    const double count = WeightsOf(matrices, i);
    if (std::isnan(bits[i])) {
      stored += count * StoredBits(matrices, i);
      continue;
    }
    weights += count;
    fitted += count * bits[i];
  }
  if (weights == 0) return;
  scheme.bits_per_weight = fitted / weights;
  scheme.bytes = Bytes(fitted + stored);
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
    weights += count;
    stored_bits += count * StoredBits(matrices, i);
  }
  summary.weights = static_cast<uint64_t>(weights);
  if (weights > 0 && !std::isnan(stored_bits)) {
    summary.bits_per_weight = stored_bits / weights;
    summary.bytes = Bytes(stored_bits);
  }
  const MatrixMetric* bits = matrices.Find("bits_per_weight");
  const MatrixMetric* errors = matrices.Find("w_rel_fro");
  for (size_t i = 0; i < matrices.schemes.size(); ++i) {
    SchemeSummary scheme{matrices.schemes[i].name, {}, {}, {}, {}, {}};
    if (bits != nullptr) AddBits(matrices, bits->values[i], scheme);
    if (errors != nullptr) AddErrors(errors->values[i], scheme);
    summary.schemes.push_back(std::move(scheme));
  }
  std::ranges::stable_sort(summary.schemes, {}, [](const SchemeSummary& scheme) {
    return scheme.bits_per_weight.value_or(std::numeric_limits<double>::infinity());
  });
  return summary;
}

}  // namespace moe
