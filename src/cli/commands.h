#pragma once

#include <CLI/CLI.hpp>

#include "cli/exit_code.h"
#include "cli/reporter.h"

namespace moe::cli {

// One function for each subcommand, in the file of its name. It declares the arguments; nothing is
// opened or printed before its callback runs. The callback sets `exit`.
void AddInitRun(CLI::App& app, ExitCode& exit, Reporter& report);
void AddCollectData(CLI::App& app, ExitCode& exit, Reporter& report);
void AddBuildTables(CLI::App& app, ExitCode& exit, Reporter& report);
void AddBuildPlots(CLI::App& app, ExitCode& exit, Reporter& report);
void AddAnalyze(CLI::App& app, ExitCode& exit, Reporter& report);
void AddInspect(CLI::App& app, ExitCode& exit, Reporter& report);
void AddReport(CLI::App& app, ExitCode& exit, Reporter& report);
void AddShow(CLI::App& app, ExitCode& exit, Reporter& report);
void AddConfig(CLI::App& app, ExitCode& exit, Reporter& report);

/// Of the argument MODEL, in the help.
inline constexpr const char* kModelMeaning =
    "Checkpoint folder or file, or ORG/NAME in the cache of the Hugging Face Hub or LM Studio";

/// "moescope 0.1.0" and the versions of what it runs on, one a line.
std::string VersionText();

/// Error -> exit code 1, or 130 when the user interrupted; prints it.
ExitCode FailWith(const Error& error, Reporter& report);

/// Of a config that could not be loaded: 1 if it is missing or unreadable, else 2 (D18).
ExitCode ExitCodeOfConfig(const Error& error);
/// Prints that error.
ExitCode FailWithConfig(const Error& error, Reporter& report);

}  // namespace moe::cli
