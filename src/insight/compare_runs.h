#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json_text.h"
#include "insight/run_matrices.h"
#include "rows/schema.h"

namespace moe {

/// A metric of matrix_stats, or of quant_sim under a scheme, in two runs: over the matrices for
/// which both have a number.
struct MetricPair {
  std::string scheme;  ///< "": of the weights
  std::string metric;
  uint64_t joined = 0, equal = 0;
  uint64_t less_in_b = 0;           ///< the number of b is the smaller one
  uint64_t only_a = 0, only_b = 0;  ///< numbers that the other lacks for the matrix
  double median_a = 0, median_b = 0, worst_a = 0, worst_b = 0;  ///< worst: the largest
  double furthest = 0;      ///< b - a of the pair that is furthest apart
  std::string furthest_at;  ///< "Layer 3, expert 5, up_proj"; "" none differs
};

/// What two runs say of the matrices that both have: by stack, layer, expert and projection.
struct RunComparison {
  uint64_t joined = 0, only_a = 0, only_b = 0;    ///< matrices
  std::vector<std::string> schemes_a, schemes_b;  ///< that the other lacks
  std::vector<MetricPair> metrics;                ///< of the weights, then scheme by scheme

  bool equal() const;     ///< every number that both have
  bool complete() const;  ///< both have the same matrices, schemes and numbers
};

/// A row of compare_runs.parquet.
struct RunPairRow {
  std::string stack;
  int64_t layer = -1;
  std::string expert, proj, scheme, metric;
  double a = 0, b = 0;
};
const Table<RunPairRow>& RunPairTable();

/// A row for each matrix, metric and scheme goes to `sink`. Fails as it does.
Result<RunComparison> CompareRuns(const RunMatrices& a, const RunMatrices& b, RowSink& sink);

/// The object that compare_runs.json holds (docs/verify.md), without the runs.
Json RunComparisonJson(const RunComparison& comparison);

}  // namespace moe
