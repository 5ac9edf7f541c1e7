#include "tables/build_tables.h"

#include <memory>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/pipeline.h"
#include "cli/run_argument.h"
#include "run/config.h"

namespace moe::cli {

ExitCode RunBuildTables(const std::filesystem::path& run_dir, const Result<Config>& config,
                        Reporter& report) {
  const auto done = BuildTablesOfRun(run_dir, config, Interrupted());
  if (!done) {
    return config ? FailWith(done.error(), report) : FailWithConfig(config.error(), report);
  }
  for (const std::string& warning : done->warnings) report.Warning(warning);
  for (const WrittenTable& table : done->tables) {
    if (table.fallback) {
      report.Warning("parquet write failed (" + table.error + "); falling back to CSV for " +
                     table.path.string());
    }
    report.object()["tables"][table.path.stem().string()] = table.rows;
    report.Step("[build_tables] " + table.path.stem().string() +
                " rows: " + std::to_string(table.rows));
  }
  report.Step("[build_tables] wrote tables/ A_*, B_* and C_* in " + run_dir.string());
  return ExitCode::kOk;
}

void AddBuildTables(const Command& program, ExitCode& exit, Reporter& report) {
  auto run = std::make_shared<RunArgument>();
  const Command cmd =
      program.Add("build-tables", "Aggregate matrix_stats and quant_sim into summary tables");
  cmd.Alias("build_tables");
  AddRunArgument(cmd, *run, "Run directory containing data/ artifacts from collect_data");
  cmd.Footer("Example:\n  moescope build-tables runs/qwen/qwen3-30b-a3b/first");
  cmd.OnRun([run, &exit, &report] {
    exit = WithRun(*run, report, [&](const Run& meant) {
      const auto config = LoadConfig(meant.dir() / "analysis_config.json");
      return RunBuildTables(meant.dir(), config, report);
    });
  });
}

}  // namespace moe::cli
