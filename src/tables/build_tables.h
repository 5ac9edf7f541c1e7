#pragma once

#include <filesystem>

#include "moescope/error.h"
#include "moescope/stop_token.h"
#include "tables/summaries.h"

namespace moe {

/// `build-tables`: builds the tables of a run (BuildTables()) as its config says, and writes
/// logs/tables_write_manifest.json, or logs/tables_failure.json on failure (not when interrupted),
/// that of the config too (contract sections 11 and 13). A run directory that does not exist is not
/// created.
Result<TablesReport> BuildTablesOfRun(const std::filesystem::path& run_dir,
                                      const Result<Config>& config, const StopToken& stop = {});

/// A log's `artifacts` object: table name -> path below the run directory, format, fallback, error,
/// rows.
Json ArtifactsJson(const std::filesystem::path& run_dir, const std::vector<WrittenTable>& tables);

/// How a config wants the tables of its run written.
OutputOptions OutputOptionsOf(const Config& config, const std::filesystem::path& run_dir);

}  // namespace moe
