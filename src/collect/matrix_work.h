#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/page_cache.h"
#include "collect/evidence_work.h"
#include "collect/observer.h"
#include "collect/past_run.h"
#include "collect/quant_backend.h"
#include "collect/sample_cache.h"
#include "collect/work_results.h"
#include "moescope/measure.h"
#include "moescope/model.h"
#include "moescope/stop_token.h"
#include "rows/schema.h"

namespace moe {

struct MatrixWorkOptions {
  MeasureOptions measure;                 ///< without schemes
  std::vector<QuantScheme> schemes;       ///< all enabled schemes, in config order
  const QuantBackend* backend = nullptr;  ///< must not be null
  const PastRun* past = nullptr;          ///< what of these is not measured again; nullptr: nothing
  EvidenceWork* evidence = nullptr;       ///< gathers what is to be written; nullptr: nothing is
  SampleCache* samples = nullptr;         ///< nullptr: exact percentiles
  unsigned threads = 1;
  ReadMode read_mode = ReadMode::kMap;
  bool keep_going = false;
  StopToken stop;
};

/// Where the rows of the work go.
struct WorkSinks {
  RowSink& matrix_stats;
  RowSink& quant_sim;
  RowSink& unmatched;
  /// Both, or null: then the weights outside the experts are not measured.
  RowSink* dense_stats = nullptr;
  RowSink* dense_quant_sim = nullptr;
};

/// Measures every expert matrix of `model`, and the weights outside the experts if they are wanted,
/// on `threads` threads and emits their rows: matrix_stats by bank, layer, expert; quant_sim by
/// bank, scheme, layer, expert; the others weight by weight. Only a bank's rows and a few matrices
/// per thread are held.
/// Fails when a row can't be written, data can't be read (unless keep_going: then the tensor goes
/// to `unmatched`), or it is stopped (kInterrupted; seen within one tile).
Result<MatrixWorkSummary> MeasureMatrices(const Model& model, const MatrixWorkOptions& options,
                                          const WorkSinks& sinks, CollectObserver& observer);

}  // namespace moe
