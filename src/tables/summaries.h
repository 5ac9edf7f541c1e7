#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "moescope/error.h"
#include "moescope/stop_token.h"
#include "rows/schema.h"
#include "run/config.h"
#include "tables/table_writer.h"

namespace moe {

struct TablesOptions {
  std::vector<DeltaPair> delta_pairs;
  OutputOptions output;
  StopToken stop = {};  ///< set by Ctrl-C: no table is replaced then
};

/// What BuildTables() wrote.
struct TablesReport {
  std::vector<WrittenTable> tables;   ///< in order; the key of each is its path's stem
  std::vector<std::string> warnings;  ///< "[tables] ...", one line each
};

/// Columns of B_quant_deltas.
TableSchema QuantDeltasSchema();

/// Aggregates data/matrix_stats and data/quant_sim of `run_dir` into tables/ (contract section 11,
/// D16, D17): A_* and B_* summaries, the C_* global ones by kind of expert, C_dense_global_summary
/// of data/dense_quant_sim if that is there, and B_quant_deltas if there are delta pairs (else old
/// ones go).
///
/// Either all tables are replaced or, on failure, none: they are renamed into place at the end.
/// kNotFound names a missing input; kMalformed one that can't be read, or text that starts
/// `duplicate quant delta base keys detected`.
/// Cost: memory about 400 bytes a row of quant_sim; only the columns needed are read.
Result<TablesReport> BuildTables(const std::filesystem::path& run_dir,
                                 const TablesOptions& options);

}  // namespace moe
