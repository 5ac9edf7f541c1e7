#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "collect/proj_report.h"
#include "collect/tensor_counts.h"
#include "collect/work_results.h"
#include "model/model_parts.h"
#include "run/config.h"

namespace moe {

/// Weights of experts.
struct Coverage {
  uint64_t promised = 0;  ///< there or missing
  uint64_t missing = 0, analysed = 0;
  std::optional<double> share;  ///< analysed of promised; null: none is promised
};

Coverage CoverageOf(const Model& model, const TensorCounts& counts, const MatrixWorkSummary& work);

/// "99.99 %": cut after two decimals, so that only what is whole reads 100.00 %.
std::string CoverageText(double share);
/// The same as a number: 99.99 for anything that is not all.
double CoveragePercent(double share);

/// True when nothing was extracted although tensors are named like expert weights.
bool EffectivelyEmpty(const Config& config, const TensorCounts& counts,
                      const MatrixWorkSummary& work);

/// What a finished collection has to tell of.
struct Story {
  const Config& config;
  const Model& model;
  const TensorCounts& counts;
  const MatrixWorkSummary& work;
  const Coverage& coverage;
  std::optional<std::string> no_backend;  ///< why schemes were not measured
  std::vector<std::string> samples;       ///< of the sampled positions
  std::vector<std::string> proj;          ///< ProjReport::Warnings()
  std::vector<std::string> evidence;      ///< Evidence::warnings()
};

/// The lines of logs/warnings, in the order that tools which read them know.
std::vector<std::string> WarningLines(const Story& story);

/// Input was refused, skipped or contradicts its config, or the coverage is too low: exit code 3.
bool IsIncomplete(const Story& story);

/// Both lists, ordered by tensor, a tensor's first-list lines first.
std::vector<std::string> MergeByTensor(std::vector<TensorWarning> first,
                                       std::vector<TensorWarning> second);

}  // namespace moe
