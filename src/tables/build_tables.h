#pragma once

#include <filesystem>

#include "moescope/error.h"
#include "tables/summaries.h"

namespace moe {

/// `build-tables`: reads the run's config, builds its tables (BuildTables()) and writes
/// logs/tables_write_manifest.json, or logs/tables_failure.json on failure (not when interrupted)
/// (contract sections 11 and 13). A run directory that does not exist is not created.
Result<TablesReport> BuildTablesOfRun(const std::filesystem::path& run_dir,
                                      const std::atomic<bool>* stop = nullptr);

/// A log's `artifacts` object: table name -> path below the run directory, format, fallback, error,
/// rows.
Json ArtifactsJson(const std::filesystem::path& run_dir, const std::vector<WrittenTable>& tables);

/// How a config wants the tables of its run written.
OutputOptions OutputOptionsOf(const Config& config, const std::filesystem::path& run_dir);

}  // namespace moe
