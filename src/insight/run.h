#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_text.h"
#include "insight/run_matrices.h"
#include "moescope/error.h"
#include "run/config.h"
#include "tables/table_reader.h"

namespace moe {

/// What the commands left in a run directory. Each thing is read when it is first asked for, and
/// kept: what a command writes later is not seen.
///
/// Threads: one at a time. Lifetime: what is returned by reference or pointer lives as the Run.
class Run {
 public:
  /// Reads nothing yet.
  explicit Run(std::filesystem::path dir) : dir_(std::move(dir)) {}

  const std::filesystem::path& dir() const { return dir_; }

  /// kNotFound where there is no such directory; kMalformed as CheckCommitted() of these commands.
  Result<void> Check(std::span<const std::string_view> commands) const;

  /// RunJson(): what manifest.json says.
  const Json& Names();
  /// `logs/NAME`, or null where there is none that can be read.
  const Json& Log(const std::string& name);
  /// The config that the data was made with: the log's, else the file's, else one that says
  /// nothing.
  const Config& UsedConfig();

  const std::vector<RunTable>& Tables();         ///< ListRunTables()
  const RunTable* Find(std::string_view table);  ///< nullptr if there is none
  /// The table in this file; fails as TableReader::Open().
  Result<const TableReader*> Open(const std::filesystem::path& path);
  /// What data/matrix_stats and data/quant_sim say; fails as ReadRunMatrices().
  const Result<RunMatrices>& Matrices();

 private:
  std::filesystem::path dir_;
  std::optional<Json> names_;
  std::map<std::string, Json> logs_;
  std::optional<Config> config_;
  std::optional<std::vector<RunTable>> tables_;
  std::map<std::filesystem::path, Result<std::unique_ptr<TableReader>>> readers_;
  std::optional<Result<RunMatrices>> matrices_;
};

}  // namespace moe
