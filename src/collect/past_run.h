#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json_text.h"
#include "model/model_parts.h"
#include "moescope/measure.h"
#include "rows/collect_rows.h"
#include "tables/table_reader.h"

namespace moe {

// What an earlier collection into the same run directory measured, so that other schemes can be
// asked for without measuring all again. cache/measured.json says what its tables hold.

/// Everything but the schemes that measurements depend on, as JSON: equal, if they would be equal.
/// `files`: whatever is read of the model; each counts with its size and time of change.
Json MeasuringKey(const Json& config, const std::vector<std::filesystem::path>& files,
                  const std::string& backend, const std::string& profile);

/// After the tables of `data/` got their names: they hold `schemes` under `key`. What can't be
/// written is let go: the next run measures all.
void RememberMeasured(const std::filesystem::path& run_dir, const Json& key,
                      const std::vector<QuantScheme>& schemes);

/// Before they get their names.
void ForgetMeasured(const std::filesystem::path& run_dir);

/// The measurements in data/matrix_stats and data/quant_sim, read back: exactly what was written.
///
/// Threads:  const members may be called from any thread at once.
/// Memory:   8 bytes for each number and row.
class PastRun {
 public:
  /// Reads the tables of `run_dir`; nullptr if they were not measured under `key`, were changed
  /// since, or are not about exactly the matrices of `model`, in its order.
  /// `evidence`: data/evidence is wanted as well.
  static std::unique_ptr<PastRun> Open(const std::filesystem::path& run_dir, const Json& key,
                                       const Model& model, const MeasureOptions& options,
                                       bool evidence);

  bool Has(const QuantScheme& scheme) const { return Find(scheme).has_value(); }

  /// Of the matrix with this number in the model.
  MatrixStats StatsOf(uint64_t matrix) const;
  /// `scheme`: one that it has.
  QuantError ErrorOf(uint64_t matrix, const QuantScheme& scheme) const;
  /// EvidenceRow's energy and guessed_energy; it was opened with evidence.
  std::pair<std::optional<double>, std::optional<double>> EnergiesOf(uint64_t matrix) const;
  /// The T of its schemes; must have one.
  ComputeDType DTypeOf(uint64_t matrix) const;

 private:
  PastRun(const Model& model, const MeasureOptions& options);

  bool Read(const std::filesystem::path& run_dir);
  bool ReadEvidence(const std::filesystem::path& run_dir);
  /// Of evidence, which has the schemes of a matrix one after the other, or one row without any.
  uint64_t EvidenceRowOf(uint64_t matrix, size_t scheme) const;
  bool IsOf(const Model& model) const;
  std::optional<size_t> Find(const QuantScheme& scheme) const;
  /// Of quant_sim, which is scheme-major inside a bank.
  uint64_t QuantRow(uint64_t matrix, size_t scheme) const;

  const Table<MatrixStatsRow> stats_table_;
  std::vector<uint64_t> first_matrix_;  // of each bank; the last: of all
  std::vector<QuantScheme> schemes_;
  Frame stats_, quant_;
  std::optional<Frame> evidence_;
};

}  // namespace moe
