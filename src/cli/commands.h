#pragma once

#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/reporter.h"

namespace moe::cli {

// One function for each subcommand, in the file of its name. It declares the arguments; nothing is
// opened or printed before its callback runs. The callback sets `exit`.
void AddInitRun(const Command& program, ExitCode& exit, Reporter& report);
void AddCollectData(const Command& program, ExitCode& exit, Reporter& report);
void AddBuildTables(const Command& program, ExitCode& exit, Reporter& report);
void AddBuildPlots(const Command& program, ExitCode& exit, Reporter& report);
void AddAnalyze(const Command& program, ExitCode& exit, Reporter& report);
void AddInspect(const Command& program, ExitCode& exit, Reporter& report);
void AddReport(const Command& program, ExitCode& exit, Reporter& report);
void AddShow(const Command& program, ExitCode& exit, Reporter& report);
void AddRecipe(const Command& program, ExitCode& exit, Reporter& report);
void AddExport(const Command& program, ExitCode& exit, Reporter& report);
void AddQuantize(const Command& program, ExitCode& exit, Reporter& report);
void AddVerify(const Command& program, ExitCode& exit, Reporter& report);
void AddCompare(const Command& program, ExitCode& exit, Reporter& report);
void AddDoctor(const Command& program, ExitCode& exit, Reporter& report);
void AddConfig(const Command& program, ExitCode& exit, Reporter& report);

/// Of the argument MODEL, in the help.
inline constexpr const char* kModelMeaning =
    "Checkpoint folder or file, or ORG/NAME in the cache of the Hugging Face Hub or LM Studio";

/// "moescope 0.1.0" and the versions of what it runs on, one a line.
std::string VersionText();

/// Error -> exit code 1, or 130 when the user interrupted; prints it.
ExitCode FailWith(const Error& error, Reporter& report);
/// The same where kBadArgument is of the command line.
ExitCode RefuseWith(const Error& error, Reporter& report);

/// Of a config that could not be loaded: 1 if it is missing or unreadable, else 2 (D18).
ExitCode ExitCodeOfConfig(const Error& error);
/// Prints that error.
ExitCode FailWithConfig(const Error& error, Reporter& report);

}  // namespace moe::cli
