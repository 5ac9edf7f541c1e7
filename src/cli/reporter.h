#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/json_text.h"
#include "cli/exit_code.h"
#include "collect/observer.h"
#include "moescope/error.h"

namespace moe::cli {

/// How much is told; each tells what those before it tell, too.
enum class Verbosity {
  kErrors,  ///< -q: errors, and the results of commands that are called for these
  kAnswer,  ///< what came out, and warnings
  kSteps,   ///< what each step did
  kAll,     ///< -v
};

/// The only place that prints: results to stdout, everything else to stderr, of which nothing lands
/// within a line of results. Progress is one line that is overwritten on a terminal, and one plain
/// line a file in a pipe. Colour only on a terminal without NO_COLOR. Names from a checkpoint are
/// data: what commands a terminal is escaped. A closed pipe is no error.
///
/// With --json stdout gets one object instead of text, when the command is done: `object()`, and
/// all warnings and errors. Its first members may be printed as they come (Member()).
class Reporter : public CollectObserver {
 public:
  Reporter();

  /// What the user asked for; else what is usual for the command.
  void set_verbosity(Verbosity asked) { asked_ = asked; }
  void set_usual_verbosity(Verbosity usual) { usual_ = usual; }
  Verbosity verbosity() const { return asked_.value_or(usual_); }
  bool verbose() const { return verbosity() == Verbosity::kAll; }
  void set_json() { json_ = true; }
  bool json() const { return json_; }
  Json& object() { return object_; }
  /// What the user called the program.
  void set_program(std::string program) { program_ = std::move(program); }
  const std::string& program() const { return program_; }
  /// A member of the JSON object on stdout, which begins with the first: the command prints its
  /// value then.
  void Member(std::string_view name);
  /// With --json: the object, or what is left of it.
  void PrintObject(std::string_view command, ExitCode exit);

  /// What the command is called for: one line, or several.
  void Result(std::string_view line);
  /// The same for a program: byte for byte.
  void Data(std::string_view line);
  /// A line of the answer of a command that does something, and one about a step of it: stdout.
  void Answer(std::string_view line) { Tell(Verbosity::kAnswer, line); }
  void Step(std::string_view line) { Tell(Verbosity::kSteps, line); }
  /// True once a write to stdout failed; OutputError() tells why.
  bool output_failed() const { return output_error_ != 0; }
  /// Flushes stdout; errno of the first write to it that failed, 0 if none did or the reader has
  /// closed the pipe.
  int OutputError();
  /// "moescope: error: ..." on stderr; "SPEAKER error: ..." for a command that has another name
  /// there.
  void Error(const moe::Error& error, std::string_view speaker = "moescope:");
  /// "warning: ..." on stderr.
  void Warning(std::string_view text);
  /// The first of many warnings, and how many more there are in `where`; all if verbose().
  void Warnings(std::span<const std::string> texts, std::string_view where);
  /// A line about the results on stderr.
  void Note(std::string_view text);

  void OnScan(size_t files, const std::string& where) override;
  void OnFile(size_t index, size_t files, const std::string& path) override;
  void OnWork(uint64_t matrices, uint64_t bytes) override;
  void OnProgress(uint64_t matrices, uint64_t bytes) override;
  void OnNotice(std::string_view text) override;

  /// Plain per-file lines: every n-th file and the first; 0: none.
  void set_print_every_files(int64_t n) { print_every_files_ = n; }

 private:
  using Clock = std::chrono::steady_clock;

  bool Tells(Verbosity least) const { return verbosity() >= least; }
  void Tell(Verbosity least, std::string_view line);
  void ClearProgress();
  void Line(std::string_view color, std::string_view text);
  void PrintWarning(std::string_view text);
  void Print(std::string_view text);

  std::optional<Verbosity> asked_;
  Verbosity usual_ = Verbosity::kSteps;
  bool json_ = false;
  std::string program_ = "moescope";
  Json object_ = Json::Object(), warnings_ = Json::Array(), errors_ = Json::Array();
  bool terminal_ = false, color_ = false, progress_shown_ = false, printed_ = false;
  int output_error_ = 0;
  int64_t print_every_files_ = 1;
  uint64_t total_matrices_ = 0, total_bytes_ = 0;
  Clock::time_point started_, last_shown_;
};

}  // namespace moe::cli
