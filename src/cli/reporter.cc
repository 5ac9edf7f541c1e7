#include "cli/reporter.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "checkpoint/names.h"

namespace moe::cli {
namespace {

constexpr std::string_view kYellow = "\033[33m", kRed = "\033[31m", kPlain = "\033[0m";
constexpr double kGiga = 1e9;
constexpr auto kRefresh = std::chrono::milliseconds(100);

/// What can't be told on stderr is let go.
void Tell(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stderr); }

/// "1h02m", "3m20s", "12s".
std::string Duration(double seconds) {
  const auto s = static_cast<int64_t>(seconds + 0.5);
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
  if (progress_shown_) std::fputs("\r\033[K", stderr);
  progress_shown_ = false;
}

void Reporter::Line(std::string_view color, std::string_view text) {
  ClearProgress();
  const bool colored = color_ && !color.empty();
  Tell(fmt::format("{}{}{}\n", colored ? color : "", Escaped(text), colored ? kPlain : ""));
}

void Reporter::Result(std::string_view line) {
  ClearProgress();
  Print(std::string(line) + "\n");
}

void Reporter::Print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() && output_error_ == 0) {
    output_error_ = errno;
  }
}

int Reporter::OutputError() {
  if (std::fflush(stdout) != 0 && output_error_ == 0) output_error_ = errno;
  return output_error_ == EPIPE ? 0 : output_error_;
}

void Reporter::Error(const moe::Error& error, std::string_view speaker) {
  Line(kRed, fmt::format("{} error: {}", speaker, error.Text()));
}

void Reporter::Warning(std::string_view text) { Line(kYellow, fmt::format("warning: {}", text)); }

void Reporter::Note(std::string_view text) { Line("", text); }

void Reporter::OnScan(size_t files, const std::string& where) {
  Line("",
       fmt::format("[collect] scanning {} file{} under {}", files, files == 1 ? "" : "s", where));
}

void Reporter::OnFile(size_t index, size_t files, const std::string& path) {
  if (terminal_ || print_every_files_ <= 0) return;
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
  if (!terminal_ || now - last_shown_ < kRefresh) return;
  last_shown_ = now;
  const double seconds = std::chrono::duration<double>(now - started_).count();
  const double rate = static_cast<double>(bytes) / seconds;
  const std::string left =
      bytes > 0 ? Duration(static_cast<double>(total_bytes_ - bytes) / rate) : "?";
  Tell(fmt::format("\r\033[K{}/{} matrices  {:.2f}/{:.2f} GB  {:.2f} GB/s  {} left", matrices,
                   total_matrices_, static_cast<double>(bytes) / kGiga,
                   static_cast<double>(total_bytes_) / kGiga, rate / kGiga, left));
  std::fflush(stderr);
  progress_shown_ = true;
}

void Reporter::OnNotice(std::string_view text) { Result(Escaped(text)); }

}  // namespace moe::cli
