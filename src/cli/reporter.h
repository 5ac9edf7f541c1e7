#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "collect/observer.h"
#include "moescope/error.h"

namespace moe::cli {

/// The only place that prints: results to stdout, everything else to stderr. Progress is one line
/// that is overwritten on a terminal, and one plain line a file in a pipe. Colour only on a
/// terminal without NO_COLOR. Names from a checkpoint are data: what commands a terminal is escaped
/// on stderr. A closed pipe is no error.
class Reporter : public CollectObserver {
 public:
  Reporter();

  /// One line of results.
  void Result(std::string_view line);
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

  void ClearProgress();
  void Line(std::string_view color, std::string_view text);
  void Print(std::string_view text);

  bool terminal_ = false, color_ = false, progress_shown_ = false;
  int output_error_ = 0;
  int64_t print_every_files_ = 1;
  uint64_t total_matrices_ = 0, total_bytes_ = 0;
  Clock::time_point started_, last_shown_;
};

}  // namespace moe::cli
