// moescope: look inside Mixture-of-Experts checkpoints before you quantize them.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <sstream>
#include <string>
#include <vector>

#include "base/heap.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/interrupt.h"

namespace moe::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  moescope inspect ~/models/Qwen3-30B-A3B
  moescope analyze ~/models/Qwen3-30B-A3B
  moescope init-run --root runs --model-id qwen/qwen3-30b-a3b --run-name first --model-path ~/models/Qwen3-30B-A3B
  moescope collect-data runs/qwen/qwen3-30b-a3b/first
  moescope build-tables runs/qwen/qwen3-30b-a3b/first
  moescope report runs/qwen/qwen3-30b-a3b/first
  moescope show runs/qwen/qwen3-30b-a3b/first --sort w_rel_fro --where 'proj=down_proj'

moescope help COMMAND, or COMMAND --help, explains a command.

Exit codes: 0 done; 1 failed; 2 bad command line or config; 3 done, but input was refused or skipped
or coverage is too low; 130 interrupted.)";

/// The words a user may have meant: subcommands, or the flags of the subcommand that was given.
std::vector<std::string> KnownWords(const CLI::App& app, bool flags) {
  std::vector<std::string> words;
  if (!flags) {
    for (const CLI::App* sub : app.get_subcommands({})) words.push_back(sub->get_name());
    return words;
  }
  const auto given = app.get_subcommands();
  const CLI::App& scope = given.empty() ? app : *given.front();
  for (const CLI::Option* option : scope.get_options()) {
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
  }
  return words;
}

/// " config check", or "" before a command was given.
std::string GivenCommand(const CLI::App& app) {
  const auto given = app.get_subcommands();
  return given.empty() ? "" : " " + given.front()->get_name() + GivenCommand(*given.front());
}

/// One line for a command line that can't be parsed, with the closest known word.
std::string UsageError(const CLI::App& app, const CLI::ParseError& error,
                       const std::vector<std::string>& arguments) {
  std::string text = error.what();
  std::replace(text.begin(), text.end(), '\n', ' ');
  for (const std::string& argument : arguments) {
    const bool is_flag = argument.starts_with("-");
    const std::string word = argument.substr(0, argument.find('='));
    const std::vector<std::string> known = KnownWords(app, is_flag);
    if (std::find(known.begin(), known.end(), word) != known.end()) continue;
    if (!is_flag && !app.get_subcommands().empty()) continue;
    if (const auto closest = ClosestName(word, known)) {
      return "there is no '" + word + "'; did you mean '" + *closest + "'?";
    }
  }
  return text;
}

/// Throws unless `word` is a flag or a command: else `--help` behind it would be the program's.
void RequireCommand(const CLI::App& app, const std::string& word) {
  const auto commands = app.get_subcommands({});
  const bool known = std::any_of(commands.begin(), commands.end(), [&](const CLI::App* command) {
    return command->check_name(word);
  });
  if (known || word.starts_with("-")) return;
  std::string names;
  for (const std::string& name : KnownWords(app, false))
    names += (names.empty() ? "" : ", ") + name;
  throw CLI::ExtrasError("there is no command '" + word + "'; commands: " + names,
                         CLI::ExitCodes::ExtrasError);
}

/// What the user asks for: `help X` is `X --help`, and nothing at all is `--help`.
std::vector<std::string> Arguments(int argc, char** argv) {
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  const bool help = arguments.empty() || arguments.front() == "help";
  if (!arguments.empty() && help) arguments.erase(arguments.begin());
  if (help) arguments.push_back("--help");
  return arguments;
}

/// -q, -v and --json for each command.
void AddOutputFlags(CLI::App& app, Reporter& report) {
  for (CLI::App* command : app.get_subcommands({})) {
    AddOutputFlags(*command, report);
    if (!command->get_subcommands({}).empty()) continue;
    const auto ask = [&report](Verbosity asked) {
      return [&report, asked] { report.set_verbosity(asked); };
    };
    CLI::Option* quiet = command->add_flag_callback(
        "-q,--quiet", ask(Verbosity::kErrors), "Print errors only, and what was asked to be shown");
    command->add_flag_callback("-v,--verbose", ask(Verbosity::kAll), "Print more")->excludes(quiet);
    command->add_flag_callback(
        "--json", [&report] { report.set_json(); }, "Print one JSON object (stdout)");
  }
}

int Run(int argc, char** argv) {
  KeepFreedBuffers();
  OpenClosedStandardStreams();
  InstallSignalHandlers();
  Reporter report;
  if (argc > 0) report.set_program(argv[0]);
  ExitCode exit = ExitCode::kOk;

  CLI::App app{"Look inside Mixture-of-Experts checkpoints before you quantize them.", "moescope"};
  app.footer(kFooter);
  app.set_version_flag("--version", VersionText, "Show versions and the SIMD target in use");
  app.require_subcommand(1);
  app.get_formatter()->label("Usage", "usage");
  app.get_formatter()->column_width(34);
  AddAnalyze(app, exit, report);
  AddInspect(app, exit, report);
  AddInitRun(app, exit, report);
  AddCollectData(app, exit, report);
  AddBuildTables(app, exit, report);
  AddBuildPlots(app, exit, report);
  AddReport(app, exit, report);
  AddShow(app, exit, report);
  AddConfig(app, exit, report);
  AddOutputFlags(app, report);

  const std::vector<std::string> arguments = Arguments(argc, argv);
  try {
    RequireCommand(app, arguments.front());
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& done) {  // --help, --version
    std::ostringstream text;
    app.exit(done, text, text);
    report.Result(text.str().substr(0, text.str().find_last_not_of('\n') + 1));
  } catch (const CLI::ParseError& error) {
    report.Error({ErrorCode::kBadArgument, "command line", UsageError(app, error, arguments),
                  "try 'moescope" + GivenCommand(app) + " --help'", ""});
    exit = ExitCode::kUsage;
  }
  report.PrintObject(Trimmed(GivenCommand(app)), exit);
  if (const int failed = report.OutputError(); failed != 0) {
    report.Error({ErrorCode::kIo, "standard output", std::strerror(failed), "", ""});
    exit = ExitCode::kFailed;
  }
  return static_cast<int>(exit);
}

}  // namespace

ExitCode FailWith(const Error& error, Reporter& report) {
  report.Error(error);
  return error.code == ErrorCode::kInterrupted ? ExitCode::kInterrupted : ExitCode::kFailed;
}

ExitCode ExitCodeOfConfig(const Error& error) {
  const bool unread = error.code == ErrorCode::kNotFound || error.code == ErrorCode::kIo;
  return unread ? ExitCode::kFailed : ExitCode::kUsage;
}

ExitCode FailWithConfig(const Error& error, Reporter& report) {
  report.Error(error);
  return ExitCodeOfConfig(error);
}

}  // namespace moe::cli

int main(int argc, char** argv) {
  try {
    return moe::cli::Run(argc, argv);
  } catch (const std::exception& bug) {  // memory or threads ran out, or an error we missed
    std::fprintf(stderr, "moescope: error: %s; outputs are untouched\n", bug.what());
    return static_cast<int>(moe::cli::ExitCode::kFailed);
  }
}
