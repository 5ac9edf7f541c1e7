#include "collect/work_results.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace moe {
namespace {

constexpr size_t kWorstPerScheme = 5;

}  // namespace

WorkResults::WorkResults(const std::vector<QuantScheme>& schemes) : schemes_(schemes.size()) {
  for (size_t s = 0; s < schemes.size(); ++s) schemes_[s].failure.scheme = schemes[s].name;
}

void WorkResults::AddMatrix(uint64_t tensor, const MatrixIdentity& id, const MatrixStats& stats) {
  ++summary_.matrix_rows;
  if (stats.nonfinite_count == 0) return;
  ++summary_.nonfinite_matrices;
  summary_.warnings.push_back(
      {tensor, fmt::format("[stats] {}: layer {} expert {} has {} non-finite weights",
                           id.derived_tensor, id.layer, id.expert_id, stats.nonfinite_count)});
}

void WorkResults::AddQuant(size_t scheme, uint64_t tensor, uint64_t bank, const MatrixIdentity& id,
                           const QuantError& error) {
  ++summary_.quant_rows;
  if (error.error) AddFailure(schemes_[scheme], tensor, bank, id, *error.error);
  AddWorst(schemes_[scheme], id, error);
}

void WorkResults::AddDense(uint64_t tensor, const DenseIdentity& id, const MatrixStats& stats) {
  ++summary_.dense_weights;
  if (stats.nonfinite_count == 0) return;
  summary_.warnings.push_back({tensor, fmt::format("[stats] {} has {} non-finite weights",
                                                   id.module, stats.nonfinite_count)});
}

void WorkResults::AddDenseQuant(size_t scheme, uint64_t tensor, const DenseIdentity& id,
                                const QuantError& error) {
  if (!error.error) return;
  DenseFailures& failed = dense_failures_;
  if (failed.weights == 0) {
    failed.first = tensor;
    failed.error = fmt::format("{} ({})", *error.error, id.module);
  }
  if (failed.weights == 0 || failed.last != tensor) ++failed.weights;
  failed.last = tensor;
  failed.schemes.insert(scheme);
}

void WorkResults::TellDenseFailures() {
  const DenseFailures& failed = dense_failures_;
  if (failed.weights == 0) return;
  std::vector<std::string> names;
  for (const size_t scheme : failed.schemes) names.push_back(schemes_[scheme].failure.scheme);
  summary_.warnings.push_back(
      {failed.first,
       fmt::format("[quant_sim] {} of {} weights outside the experts can't be quantized by {}: {}",
                   failed.weights, summary_.dense_weights, fmt::join(names, ", "), failed.error)});
}

bool WorkResults::AddUnread(uint64_t tensor, const std::string& name, uint64_t parameters,
                            const Error& why) {
  summary_.unread_parameters += parameters;
  if (unread_tensor_ == tensor) return false;
  unread_tensor_ = tensor;
  ++summary_.refused_tensors;
  summary_.warnings.push_back({tensor, "[extract] " + name + " can't be read: " + why.Text()});
  return true;
}

void WorkResults::AddFailure(OfScheme& scheme, uint64_t tensor, uint64_t bank,
                             const MatrixIdentity& id, const std::string& error) {
  SchemeFailure& failure = scheme.failure;
  if (failure.matrices == 0) {
    failure.error = error;
    failure.derived = id.derived_tensor;
  }
  ++failure.matrices;
  if (scheme.failed_bank == bank) return;
  scheme.failed_bank = bank;
  scheme.warnings.push_back({tensor, fmt::format("[quant_sim] scheme={} failed: {} ({})",
                                                 failure.scheme, error, id.derived_tensor)});
}

void WorkResults::AddWorst(OfScheme& scheme, const MatrixIdentity& id, const QuantError& error) {
  if (!error.w_rel_fro || *error.w_rel_fro == 0) return;
  auto& list = scheme.worst;
  const auto place = std::ranges::find_if(
      list, [&](const WorstMatrix& other) { return *error.w_rel_fro > other.w_rel_fro; });
  if (place == list.end() && list.size() >= kWorstPerScheme) return;
  list.insert(place, {scheme.failure.scheme, id.proj, id.derived_tensor, id.layer, id.expert_id,
                      *error.w_rel_fro, error.sqnr_db});
  if (list.size() > kWorstPerScheme) list.pop_back();
}

MatrixWorkSummary WorkResults::Take() {
  for (auto& [failure, warnings, bank, worst] : schemes_) {
    std::ranges::move(worst, std::back_inserter(summary_.worst));
    if (failure.matrices == 0) continue;
    summary_.failures.push_back(failure);
    if (failure.matrices == summary_.matrix_rows) {
      ++summary_.failed_schemes;
      warnings = {{warnings.front().tensor_number,
                   fmt::format("[quant_sim] scheme={} failed: {} (on every one of {} matrices)",
                               failure.scheme, failure.error, failure.matrices)}};
    }
    std::ranges::move(warnings, std::back_inserter(summary_.warnings));
  }
  TellDenseFailures();
  return std::move(summary_);
}

}  // namespace moe
