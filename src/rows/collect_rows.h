#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "moescope/measure.h"
#include "moescope/quantize.h"
#include "rows/schema.h"

// The tables that collect-data writes (contract sections 8 to 10, D5), and a struct for what a row
// of each is about. Types never depend on the data.

namespace moe {

/// "p50_abs", "p999_abs" for 99.9, "p9999_abs" for 99.99: the digits without the point (D4).
std::string PercentileColumnName(double percentile);

/// "g32_p95_outlier" and "g32_max_outlier"; the percentile is truncated to an integer.
std::string GroupPercentileColumnName(int64_t group_size, double percentile);
std::string GroupMaxColumnName(int64_t group_size);

/// block4: layer div 4, null (monostate) for an unknown layer.
Value Block4(int64_t layer);

/// One tensor of data/tensor_inventory.
struct TensorInventoryRow {
  std::string file, tensor_name, dtype;
  std::vector<uint64_t> shape;
  uint64_t nbytes = 0;
  std::optional<bool> in_index;            ///< nullopt: scanned without an index
  std::optional<std::string> index_shard;  ///< the shard that the index names for this tensor
  std::string role;                        ///< RoleName()
};

/// Of the weights of a row's matrix: where they are, and how they are stored.
struct StoredMatrix {
  std::string file, source_tensor;
  int64_t layer = -1;  ///< -1: unknown
  uint64_t rows = 0, cols = 0;
  std::string dtype;                   ///< of the source tensor, as in the inventory
  std::string storage;                 ///< how the weights are stored: "bfloat16", ...
  double storage_bits_per_weight = 0;  ///< scales and zero points included
  std::optional<std::string> stack;    ///< D25
};

/// Which expert's matrix a row is about.
struct MatrixIdentity : StoredMatrix {
  std::string derived_tensor;
  std::string proj;
  int64_t expert_id = -1;  ///< -1: shared expert
  bool is_routed_expert = false, is_shared_expert = false;
};

/// Which weight outside the experts a row is about.
struct DenseIdentity : StoredMatrix {
  std::string module;  ///< DenseWeight::module
  std::string role;    ///< RoleName()
};

/// One matrix of data/matrix_stats or data/dense_stats. Non-finite weights leave only
/// nonfinite_count (D26).
template <class Identity>
struct StatsRow {
  Identity matrix;
  MatrixStats stats;
};
using MatrixStatsRow = StatsRow<MatrixIdentity>;
using DenseStatsRow = StatsRow<DenseIdentity>;

/// One matrix under one scheme of data/quant_sim or data/dense_quant_sim.
template <class Identity>
struct QuantRow {
  Identity matrix;
  QuantScheme scheme;
  QuantError error;
  std::string compute_dtype;  ///< ComputeDTypeName()
  std::string backend;        ///< "native" or "mlx"
  std::string profile;        ///< ProfileName(), or "mlx-<version>-<device>"
  bool requantized = false;   ///< the stored weights were quantized already
  // Of dense_quant_sim, as in EvidenceRow.
  std::optional<double> energy = {}, guessed_energy = {};
};
using QuantSimRow = QuantRow<MatrixIdentity>;
using DenseQuantSimRow = QuantRow<DenseIdentity>;

/// What is known of a matrix's input, and what that makes of its weights and of one scheme's
/// errors: a row of data/evidence. a_c is the mean square of input column c, x the weights, d the
/// error.
struct EvidenceRow {
  MatrixIdentity matrix;
  std::optional<std::string> scheme;        ///< nullopt: there are none
  std::optional<double> tokens;             ///< that the router sent to the expert in calibration
  std::optional<double> token_share;        ///< of those of its layer
  std::optional<double> input_mean_square;  ///< mean of a_c over the columns
  std::optional<double> act_rel_fro;        ///< sqrt(sum a_c d^2) / sqrt(sum a_c x^2)
  std::optional<double> energy;             ///< sum a_c x^2
  std::optional<double> guessed_energy;     ///< the same with a_c guessed from the weights
  std::optional<std::string> missing;       ///< why the files say nothing of this input
};

/// One tensor of data/unmatched_tensors.
struct UnmatchedTensorRow {
  std::string file, tensor_name, dtype;
  std::vector<uint64_t> shape;
  std::string reason;
};

/// One kind of unmapped projection token of logs/proj_canonicalization_report.
struct ProjCanonicalizationRow {
  std::string context, rule_name, raw_proj, resolved_proj, action;
  int64_t count = 0;
  std::string example_file, example_source_tensor, example_derived_tensor;
  std::string suggested_proj, suggested_match;
};

/// The tables whose columns are always the same. Each is made once and lives as long as the
/// program.
const Table<TensorInventoryRow>& TensorInventoryTable();
const Table<QuantSimRow>& QuantSimTable();
const Table<EvidenceRow>& EvidenceTable();
const Table<DenseQuantSimRow>& DenseQuantSimTable();
const Table<UnmatchedTensorRow>& UnmatchedTensorsTable();
const Table<std::string>& WarningsTable();
const Table<ProjCanonicalizationRow>& ProjCanonicalizationReportTable();

/// `options`, those of the measurement, decide on percentile and group columns. Its percentiles_abs
/// begin with 50, 99, 99.9; no two entries of percentiles_abs or group_sizes may give one name.
Table<MatrixStatsRow> MatrixStatsTable(const MeasureOptions& options);
Table<DenseStatsRow> DenseStatsTable(const MeasureOptions& options);

/// What collect-data may write: matrix_stats and quant_sim first.
std::vector<TableSchema> CollectSchemas(const MeasureOptions& options);

/// Options under which matrix_stats has the column `name`, if it is one of those that vary.
MeasureOptions OptionsWithColumn(const std::string& name);

/// The column of that name in matrix_stats or quant_sim under any options; nullopt: neither has it.
std::optional<Column> FindMetric(const std::string& name);

}  // namespace moe
