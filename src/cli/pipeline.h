#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/reporter.h"
#include "insight/run.h"
#include "run/config.h"
#include "run/run_dir.h"

namespace moe::cli {

/// Largest --threads: more never helps, and a typo must not exhaust the machine.
inline constexpr unsigned kMaxThreads = 1024;

/// Flags that collect-data and analyze share.
struct CollectFlags {
  std::optional<std::string> model_path;
  unsigned threads = 0;
  bool keep_going = false;
  bool reuse = false;  ///< CollectOptions::reuse
  std::string io = "auto";
  std::vector<std::string> imatrix, usage;  ///< files; if any, instead of the config's
};

/// --threads.
Argument AddThreadsFlag(const Command& cmd, unsigned& threads);

/// The flags that say how the work is done.
void AddWorkFlags(const Command& cmd, CollectFlags& flags);

/// --imatrix and --usage.
void AddEvidenceFlags(const Command& cmd, CollectFlags& flags);
/// The run failed: its configuration is again what it was (nullopt: there was none).
void PutBackConfig(const std::filesystem::path& path, const std::optional<std::string>& before,
                   Reporter& report);
/// What they change in the run's config.
ConfigChange EvidenceOf(const CollectFlags& flags);
/// Whether what they name can be used for this config's model, before anything is written.
Result<void> CheckEvidenceOf(const CollectFlags& flags, Config config);

/// Whether the configuration is of another model than the one at this path.
bool IsOfAnother(const Config& config, const std::filesystem::path& model);
/// The error of a command that would make a run of `model` where one of another model is.
Error OfAnotherModel(const std::filesystem::path& run_dir, const Config& config,
                     const std::filesystem::path& model, std::string hint);

// What follows tells its steps, and gives --json what came out.

/// `collect-data` of an existing run directory, with its config or why it can't be loaded.
ExitCode RunCollect(const std::filesystem::path& run_dir, const Result<Config>& config,
                    const CollectFlags& flags, Reporter& report);

/// `report` of a run directory that has data. `if_possible`: a program that was built without the
/// page says so and goes on.
ExitCode RunReport(Run& run, bool if_possible, Reporter& report);

/// `build-tables` of a run directory that has data; its config as for RunCollect().
ExitCode RunBuildTables(const std::filesystem::path& run_dir, const Result<Config>& config,
                        Reporter& report);

/// `build-plots` of a run directory that has tables or data.
ExitCode RunBuildPlots(Run& run, unsigned threads, Reporter& report);

}  // namespace moe::cli
