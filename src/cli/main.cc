// moescope: look inside Mixture-of-Experts checkpoints before you quantize them.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "base/heap.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/interrupt.h"

namespace moe::cli {
namespace {

constexpr const char* kJsonFlag = "--json";

constexpr const char* kFooter = R"(Examples:
  moescope inspect ~/models/Qwen3-30B-A3B
  moescope analyze ~/models/Qwen3-30B-A3B
  moescope init-run --root runs --model-id qwen/qwen3-30b-a3b --run-name first --model-path ~/models/Qwen3-30B-A3B
  moescope collect-data runs/qwen/qwen3-30b-a3b/first
  moescope build-tables runs/qwen/qwen3-30b-a3b/first
  moescope report runs/qwen/qwen3-30b-a3b/first
  moescope show runs/qwen/qwen3-30b-a3b/first --sort w_rel_fro --where 'proj=down_proj'

moescope help COMMAND, or COMMAND --help, explains a command.

Exit codes: 0 done; 1 failed; 2 bad command line or config; 3 done, but input was refused or
skipped, coverage is too low, or a scheme fits no matrix; 4 (verify, compare): the two
differ; 130 interrupted.)";

/// Help of 80 columns: names of options to the left, what they mean in lines to the right.
class HelpFormatter : public CLI::Formatter {
 public:
  static constexpr size_t kNames = 34, kMeanings = 80 - kNames;

  std::string make_option_desc(const CLI::Option* option) const override {
    std::string text = CLI::Formatter::make_option_desc(option);
    for (size_t begin = 0; text.size() - begin > kMeanings;) {
      const size_t blank = text.rfind(' ', begin + kMeanings);
      if (blank == std::string::npos || blank <= begin) break;
      text[blank] = '\n';
      begin = blank + 1;
    }
    return text;
  }
};

/// The flags of the command that was given.
std::vector<std::string> KnownFlags(const CLI::App& app) {
  if (const auto given = app.get_subcommands(); !given.empty()) return KnownFlags(*given.front());
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return flags;
}

/// " config check", or "" before a command was given.
std::string GivenCommand(const CLI::App& app) {
  const auto given = app.get_subcommands();
  return given.empty() ? "" : " " + given.front()->get_name() + GivenCommand(*given.front());
}

/// One line for a command line that can't be parsed, with the closest known flag.
std::string UsageError(const CLI::App& app, const CLI::ParseError& error,
                       const std::vector<std::string>& arguments) {
  std::string text = error.what();
  std::replace(text.begin(), text.end(), '\n', ' ');
  const std::vector<std::string> known = KnownFlags(app);
  for (const std::string& argument : arguments) {
    const std::string word = argument.substr(0, argument.find('='));
    if (!word.starts_with("--") || std::ranges::count(known, word) > 0) continue;
    if (const auto closest = ClosestName(word, known)) {
      return "there is no '" + word + "'; did you mean '" + *closest + "'?";
    }
  }
  return text;
}

/// Throws unless the words name a command: else `--help` behind them would be another one's.
void RequireCommand(const CLI::App& app, std::span<const std::string> words) {
  const auto commands = app.get_subcommands({});
  while (!words.empty() && words.front().starts_with("-")) words = words.subspan(1);
  if (commands.empty() || words.empty()) return;
  const std::string& word = words.front();
  std::vector<std::string> names;
  for (const CLI::App* command : commands) {
    if (command->check_name(word)) return RequireCommand(*command, words.subspan(1));
    names.push_back(command->get_name());
  }
  const auto closest = ClosestName(word, names);
  throw CLI::ExtrasError(fmt::format("there is no command '{}'; {}", word,
                                     closest ? "did you mean '" + *closest + "'?"
                                             : fmt::format("commands: {}", fmt::join(names, ", "))),
                         CLI::ExitCodes::ExtrasError);
}

/// What the user asks for: `help X` is `X --help`, and nothing at all is `--help`.
std::vector<std::string> Arguments(int argc, char** argv) {
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  const auto is_flag = [](const std::string& word) { return word.starts_with("-"); };
  auto command = std::ranges::find_if_not(arguments, is_flag);
  bool help = arguments.empty();
  for (; command != arguments.end() && *command == "help"; help = true) {
    command = arguments.erase(command);
  }
  if (help) arguments.emplace_back("--help");
  return arguments;
}

/// -q, -v and --json, before a command and behind it.
void AddOutputFlags(CLI::App& app, Reporter& report) {
  for (CLI::App* command : app.get_subcommands({})) AddOutputFlags(*command, report);
  const auto ask = [&report](Verbosity asked) {
    return [&report, asked] { report.set_verbosity(asked); };
  };
  CLI::Option* quiet = app.add_flag_callback("-q,--quiet", ask(Verbosity::kErrors),
                                             "Print errors only, and what was asked to be shown");
  app.add_flag_callback("-v,--verbose", ask(Verbosity::kAll), "Print more")->excludes(quiet);
  app.add_flag_callback(
      kJsonFlag, [&report] { report.set_json(); }, "Print one JSON object (stdout)");
}

/// What --help and --version print.
void Show(const std::string& text, Reporter& report) {
  if (report.json()) {
    report.object()["text"] = text;
  } else {
    report.Result(text);
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
  app.formatter(std::make_shared<HelpFormatter>());
  app.get_formatter()->label("Usage", "usage");
  app.get_formatter()->column_width(HelpFormatter::kNames);
  const Command program(&app);
  AddAnalyze(program, exit, report);
  AddInspect(program, exit, report);
  AddInitRun(program, exit, report);
  AddCollectData(program, exit, report);
  AddBuildTables(program, exit, report);
  AddBuildPlots(program, exit, report);
  AddReport(program, exit, report);
  AddShow(program, exit, report);
  AddRecipe(program, exit, report);
  AddExport(program, exit, report);
  AddQuantize(program, exit, report);
  AddVerify(program, exit, report);
  AddCompare(program, exit, report);
  AddDoctor(program, exit, report);
  AddConfig(program, exit, report);
  AddOutputFlags(app, report);

  const std::vector<std::string> arguments = Arguments(argc, argv);
  if (std::ranges::count(arguments, kJsonFlag) > 0) report.set_json();  // of what fails, too
  try {
    RequireCommand(app, arguments);
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& done) {  // --help, --version
    std::ostringstream text;
    app.exit(done, text, text);
    Show(text.str().substr(0, text.str().find_last_not_of('\n') + 1), report);
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

ExitCode RefuseWith(const Error& error, Reporter& report) {
  const ExitCode failed = FailWith(error, report);
  return error.code == ErrorCode::kBadArgument ? ExitCode::kUsage : failed;
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
