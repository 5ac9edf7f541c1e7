#pragma once

#include "collect/collect.h"
#include "collect/tensor_counts.h"
#include "model/model_parts.h"
#include "moescope/error.h"
#include "run/logs.h"

namespace moe {

/// What the logs of a collection tell from; after a failure only the first steps are filled.
struct LogContext {
  const Config& config;
  const CollectOptions& options;
  const CollectReport& report;
  const ModelFiles& files;
  const Model* model;  ///< nullptr: not opened yet
  const TensorCounts& counts;
};

/// write_manifest, run_health, run_context, and where due index_report, model_config.raw and
/// model_shape_budget (contract section 13).
Result<void> AddSuccessLogs(const LogContext& context, FileTransaction& files);

/// After success: run_failure.json, and the logs that are not due this time.
void RemoveStaleLogs(const LogContext& context);

/// run_failure.json. What can't be written is let go: the error itself is reported anyway.
void WriteRunFailure(const LogContext& context, const Error& error);

}  // namespace moe
