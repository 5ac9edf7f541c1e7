#pragma once

#include <string>
#include <vector>

#include "checkpoint/discovery.h"
#include "checkpoint/shard_index.h"
#include "collect/collect.h"
#include "model/metadata.h"
#include "moescope/error.h"
#include "run/logs.h"

namespace moe {

/// What the logs of a collection tell from; after a failure only the first steps are filled.
struct LogContext {
  const Config& config;
  const CollectOptions& options;
  const CollectReport& report;
  const IndexSummary& index;
  const IndexComparison& compared;
  const ScanPlan& scan;
  const ModelMetadata& metadata;
  bool model_resolved = false, index_searched = false;
};

/// write_manifest, run_health, run_context, and where due index_report, model_config.raw and
/// model_shape_budget (contract section 13).
Result<void> AddSuccessLogs(const LogContext& context, FileTransaction& files);

/// After success: run_failure.json, and the logs that are not due this time.
void RemoveStaleLogs(const LogContext& context);

/// run_failure.json. What can't be written is let go: the error itself is reported anyway.
void WriteRunFailure(const LogContext& context, const Error& error);

/// The files that the lines below send their reader to; "" where there is none.
struct ProjLogPaths {
  std::string report, unmatched_tensors;
};

/// The [proj] and [config] lines about unmapped projection tokens (section 13, exact texts).
std::vector<std::string> ProjWarnings(const CollectPlan& plan, const Config& config,
                                      const ProjLogPaths& paths);

/// True when nothing was extracted although tensors are named like expert weights.
bool EffectivelyEmpty(const Config& config, const CollectReport& report);
std::string SmokeWarning(const CollectPlan& plan);

/// Both lists, ordered by tensor, a tensor's first-list lines first.
std::vector<std::string> MergeByTensor(std::vector<TensorWarning> first,
                                       std::vector<TensorWarning> second);

}  // namespace moe
