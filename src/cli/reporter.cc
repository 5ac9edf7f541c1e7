#include "cli/reporter.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/utf8.h"
#include "cli/terminal.h"

namespace moe::cli {
namespace {

constexpr std::string_view kYellow = "\033[33m", kRed = "\033[31m", kPlain = "\033[0m";
constexpr double kGiga = 1e9;
constexpr auto kRefresh = std::chrono::milliseconds(100);

constexpr size_t kFewWarnings = 5;

/// What can't be told on stderr is let go. Lines of stdout that were printed before come before.
void ToStderr(const std::string& text) {
  std::fflush(stdout);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

/// "1h02m", "3m20s", "12s".
std::string Duration(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(seconds));
  if (s >= 3600) return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
  if (s >= 60) return fmt::format("{}m{:02}s", s / 60, s % 60);
  return fmt::format("{}s", s);
}

}  // namespace

Reporter::Reporter() : terminal_(isatty(STDERR_FILENO) != 0), started_(Clock::now()) {
  const char* no_color = std::getenv("NO_COLOR");
  color_ = terminal_ && (no_color == nullptr || *no_color == '\0');
}

void Reporter::ClearProgress() {
  if (progress_shown_) ToStderr("\r\033[K");
  progress_shown_ = false;
}

void Reporter::Line(std::string_view color, std::string_view text) {
  ClearProgress();
  const bool colored = color_ && !color.empty();
  ToStderr(fmt::format("{}{}{}\n", colored ? color : "", Escaped(text), colored ? kPlain : ""));
}

void Reporter::Result(std::string_view line) {
  ClearProgress();
  Print(EscapedLines(line) + "\n");
}

void Reporter::Data(std::string_view line) {
  ClearProgress();
  Print(std::string(line) + "\n");
}

void Reporter::Tell(Verbosity least, std::string_view line) {
  if (!json_ && Tells(least)) Result(Escaped(line));
}

void Reporter::Member(std::string_view name) {
  Result(fmt::format("{}\"{}\":", printed_ ? "," : "{\n", name));
}

void Reporter::PrintObject(std::string_view command, ExitCode exit) {
  if (!json_) return;
  Json all = {{"command", command}};
  all.Update(object_);
  for (const char* key : {"run", "report", "schemes", "coverage"}) {  // there is none, or none yet
    if (!all.contains(key)) all[key] = nullptr;
  }
  all["warnings"] = warnings_;
  all["errors"] = errors_;
  all["exit_code"] = static_cast<int>(exit);
  all["exit_meaning"] = Meaning(exit);
  std::string text = all.Text({.indented = true, .ascii = true});
  if (printed_) text.front() = ',';  // the object has begun
  Result(text);
}

void Reporter::Print(std::string_view text) {
  printed_ = true;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() && output_error_ == 0) {
    output_error_ = errno;
  }
}

int Reporter::OutputError() {
  if (std::fflush(stdout) != 0 && output_error_ == 0) output_error_ = errno;
  return output_error_ == EPIPE ? 0 : output_error_;
}

void Reporter::Error(const moe::Error& error, std::string_view speaker) {
  errors_.push_back(error.Text());
  Line(kRed, fmt::format("{} error: {}", speaker, error.Text()));
}

void Reporter::Warning(std::string_view text) {
  if (json_) warnings_.push_back(text);
  PrintWarning(text);
}

void Reporter::PrintWarning(std::string_view text) {
  if (Tells(Verbosity::kAnswer)) Line(kYellow, fmt::format("warning: {}", text));
}

void Reporter::Warnings(std::span<const std::string> texts, std::string_view where) {
  const size_t shown = verbose() ? texts.size() : std::min(kFewWarnings, texts.size());
  if (json_) {
    for (const std::string& text : texts) warnings_.push_back(text);
  }
  for (const std::string& text : texts.first(shown)) PrintWarning(text);
  if (shown < texts.size()) Note(fmt::format("{} more in {}", texts.size() - shown, where));
}

void Reporter::Note(std::string_view text) {
  if (Tells(Verbosity::kAnswer)) Line("", text);
}

void Reporter::OnScan(size_t files, const std::string& where) {
  if (!Tells(Verbosity::kSteps)) return;
  Line("",
       fmt::format("[collect] scanning {} file{} under {}", files, files == 1 ? "" : "s", where));
}

void Reporter::OnFile(size_t index, size_t files, const std::string& path) {
  if (terminal_ || print_every_files_ <= 0 || !Tells(Verbosity::kSteps)) return;
  if (index != 1 && index % static_cast<uint64_t>(print_every_files_) != 0) return;
  Line("", fmt::format("[collect] ({}/{}) {}", index, files, path));
}

void Reporter::OnWork(uint64_t matrices, uint64_t bytes) {
  total_matrices_ = matrices;
  total_bytes_ = bytes;
  started_ = last_shown_ = Clock::now();
}

void Reporter::OnProgress(uint64_t matrices, uint64_t bytes) {
  const auto now = Clock::now();
  if (!terminal_ || !Tells(Verbosity::kAnswer) || now - last_shown_ < kRefresh) return;
  last_shown_ = now;
  const double seconds = std::chrono::duration<double>(now - started_).count();
  const double rate = static_cast<double>(bytes) / seconds;
  const std::string left =
      bytes > 0 ? Duration(static_cast<double>(total_bytes_ - bytes) / rate) : "?";
  const std::string line =
      fmt::format("{}/{} matrices  {:.2f}/{:.2f} GB  {:.2f} GB/s  {} left", matrices,
                  total_matrices_, static_cast<double>(bytes) / kGiga,
                  static_cast<double>(total_bytes_) / kGiga, rate / kGiga, left);
  ToStderr("\r\033[K" + line.substr(0, TerminalWidth(STDERR_FILENO).value_or(line.size())));
  std::fflush(stderr);
  progress_shown_ = true;
}

void Reporter::OnNotice(std::string_view text) { Step(text); }

}  // namespace moe::cli
