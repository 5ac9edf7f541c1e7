#include "tables/build_tables.h"

#include "base/text.h"
#include "run/commit_marker.h"
#include "run/logs.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

std::string Now() { return UtcNow(TimePrecision::kMicroseconds) + "+00:00"; }

Result<TablesReport> BuildAndLog(const fs::path& run_dir, const Result<Config>& config,
                                 const StopToken& stop) {
  if (!config) return tl::make_unexpected(config.error());
  const auto committed = CheckCommitted(run_dir, {{kCollectData}});
  if (!committed) return tl::make_unexpected(committed.error());
  auto report =
      BuildTables(run_dir, {config->delta_pairs, OutputOptionsOf(*config, run_dir), stop});
  if (!report) return report;
  const auto& codec = config->output.compression;
  const auto logged = WriteLog(run_dir, "tables_write_manifest.json",
                               {{"generated_at", Now()},
                                {"requested_format", config->output.format},
                                {"requested_compression", codec ? Json(*codec) : Json()},
                                {"artifacts", ArtifactsJson(run_dir, report->tables)}});
  if (!logged) return tl::make_unexpected(logged.error());
  RemoveLog(run_dir, "tables_failure.json");
  return report;
}

}  // namespace

Result<TablesReport> BuildTablesOfRun(const fs::path& run_dir, const Result<Config>& config,
                                      const StopToken& stop) {
  auto report = BuildAndLog(run_dir, config, stop);
  std::error_code failed;
  const bool interrupted = !report && report.error().code == ErrorCode::kInterrupted;
  if (!report && !interrupted && fs::is_directory(run_dir, failed)) {
    (void)WriteLog(run_dir, "tables_failure.json",
                   {{"generated_at", Now()},
                    {"status", "error"},
                    {"run", RunJson(run_dir)},
                    {"error", ErrorJson(report.error())},
                    {"traceback", Traceback("build-tables", report.error())}});
  }
  return report;
}

Json ArtifactsJson(const fs::path& run_dir, const std::vector<WrittenTable>& tables) {
  Json artifacts = Json::Object();
  for (const WrittenTable& table : tables) {
    artifacts[table.path.stem().string()] = {
        {"path", table.path.lexically_relative(run_dir).generic_string()},
        {"format", table.format == TableFormat::kParquet ? "parquet" : "csv"},
        {"fallback", table.fallback},
        {"error", table.error},
        {"rows", table.rows}};
  }
  return artifacts;
}

OutputOptions OutputOptionsOf(const Config& config, const fs::path& run_dir) {
  const RunManifest manifest = ReadRunManifest(run_dir);
  return {config.output.parquet() ? TableFormat::kParquet : TableFormat::kCsv,
          config.output.compression.value_or(""), manifest.model_id.value_or(""),
          manifest.run_name.value_or("")};
}

}  // namespace moe
