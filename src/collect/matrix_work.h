#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/page_cache.h"
#include "collect/observer.h"
#include "collect/past_run.h"
#include "collect/plan.h"
#include "collect/sample_cache.h"
#include "moescope/measure.h"
#include "rows/schema.h"

namespace moe {

/// The real MLX behind its plugin, or a stand-in: the error of one whole matrix under one scheme.
using SchemeMeasurer =
    std::function<Result<QuantError>(const MatrixSource&, const QuantScheme&, ComputeDType)>;

struct MatrixWorkOptions {
  MeasureOptions measure;            ///< without schemes
  std::vector<QuantScheme> schemes;  ///< all enabled schemes, in config order
  SchemeMeasurer measurer;           ///< empty: native
  const PastRun* past = nullptr;     ///< what of these is not measured again; nullptr: nothing
  std::string backend = "native";    ///< text of the column
  std::string profile;               ///< text of the column
  SampleCache* samples = nullptr;    ///< nullptr: exact percentiles
  unsigned threads = 1;
  ReadMode read_mode = ReadMode::kMap;
  bool keep_going = false;
  const std::atomic<bool>* stop = nullptr;
};

/// A matrix among the worst of its scheme.
struct WorstMatrix {
  std::string scheme, proj, derived_tensor;
  int64_t layer = -1, expert_id = -1;
  double w_rel_fro = 0;
  std::optional<double> sqnr_db;
};

/// A scheme that could not be applied to some matrices, or to none.
struct SchemeFailure {
  std::string scheme;
  uint64_t matrices = 0;       ///< that it failed on
  std::string error, derived;  ///< of the first of them: why, and which
};

struct MatrixWorkSummary {
  uint64_t matrix_rows = 0, quant_rows = 0;
  uint64_t refused_tensors = 0;    ///< could not be decoded, or (keep_going) not be read
  uint64_t unread_parameters = 0;  ///< of refused matrices
  uint64_t nonfinite_matrices = 0;
  uint64_t failed_schemes = 0;          ///< schemes that could not be applied to a single matrix
  std::vector<SchemeFailure> failures;  ///< in config order
  std::vector<TensorWarning> warnings;
  std::vector<WorstMatrix> worst;  ///< by scheme in config order, worst first, a few each
};

/// Measures every matrix of `plan` on `threads` threads and emits its rows in the contract's order:
/// matrix_stats by bank, layer, expert; quant_sim by bank, scheme, layer, expert (section 9). Only
/// a bank's rows and a few matrices per thread are held.
/// Fails when a row can't be written, data can't be read (unless keep_going: then the tensor goes
/// to `unmatched`), or `stop` is set (kInterrupted; seen within one tile).
Result<MatrixWorkSummary> MeasureMatrices(const CollectPlan& plan, const MatrixWorkOptions& options,
                                          RowSink& matrix_stats, RowSink& quant_sim,
                                          RowSink& unmatched, CollectObserver& observer);

}  // namespace moe
