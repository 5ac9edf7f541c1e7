#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json_text.h"
#include "collect/work_list.h"
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

/// The measurements of one kind of matrices, as a table of statistics and one of errors hold them.
template <class Identity>
class PastTables {
 public:
  /// `first`: the number of the first matrix of each bank, in which the table of errors is scheme
  /// by scheme; last that of all matrices.
  PastTables(Table<StatsRow<Identity>> stats, const Table<QuantRow<Identity>>& quant,
             std::vector<uint64_t> first)
      : stats_table_(std::move(stats)), quant_table_(quant), first_(std::move(first)) {}

  /// False if they can't be read, or don't have a row for each matrix and scheme.
  bool Read(const std::filesystem::path& run_dir, const std::vector<QuantScheme>& schemes);
  /// Whether the rows of `matrix` are about this one.
  bool IsAbout(uint64_t matrix, const Identity& id) const;

  MatrixStats StatsOf(uint64_t matrix) const;
  QuantError ErrorOf(uint64_t matrix, size_t scheme) const;
  /// Energy and guessed_energy of a row's; nullopt also without schemes.
  std::pair<std::optional<double>, std::optional<double>> EnergiesOf(uint64_t matrix) const;
  ComputeDType DTypeOf(uint64_t matrix) const;

 private:
  uint64_t QuantRowOf(uint64_t matrix, size_t scheme) const;

  const Table<StatsRow<Identity>> stats_table_;
  const Table<QuantRow<Identity>>& quant_table_;
  const std::vector<uint64_t> first_;
  std::vector<std::string> schemes_;
  Frame stats_, quant_;
};

/// The measurements in the tables of an earlier collection, read back: exactly what was written.
///
/// Threads:  const members may be called from any thread at once.
/// Memory:   8 bytes for each number and row.
class PastRun {
 public:
  /// What is wanted beside the experts' statistics and errors.
  struct Beside {
    bool evidence = false, dense = false;
  };
  /// Reads the tables of `run_dir`; nullptr if they were not measured under `key`, were changed
  /// since, or are not about exactly the matrices of `model`, in its order.
  static std::unique_ptr<PastRun> Open(const std::filesystem::path& run_dir, const Json& key,
                                       const Model& model, const MeasureOptions& options,
                                       const Beside& beside);

  bool Has(const QuantScheme& scheme) const { return Find(scheme).has_value(); }

  MatrixStats StatsOf(const WorkItem& item) const;
  /// `scheme`: one that it has.
  QuantError ErrorOf(const WorkItem& item, const QuantScheme& scheme) const;
  /// EvidenceRow's energy and guessed_energy of an expert's matrix; it was opened with evidence.
  std::pair<std::optional<double>, std::optional<double>> EnergiesOf(uint64_t matrix) const;
  /// The same of a weight outside the experts; nullopt also without schemes.
  std::pair<std::optional<double>, std::optional<double>> EnergiesOfDense(uint64_t number) const;
  /// The T of its schemes; must have one.
  ComputeDType DTypeOf(const WorkItem& item) const;

 private:
  PastRun(const Model& model, const MeasureOptions& options, bool dense);

  bool ReadEvidence(const std::filesystem::path& run_dir, uint64_t matrices);
  /// Of evidence, which has the schemes of a matrix one after the other, or one row without any.
  uint64_t EvidenceRowOf(uint64_t matrix, size_t scheme) const;
  bool IsOf(const Model& model) const;
  std::optional<size_t> Find(const QuantScheme& scheme) const;

  std::vector<QuantScheme> schemes_;
  PastTables<MatrixIdentity> experts_;
  std::optional<PastTables<DenseIdentity>> dense_;
  std::optional<Frame> evidence_;
};

}  // namespace moe
