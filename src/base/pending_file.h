#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "moescope/error.h"

namespace moe {

/// A file that is written beside its final name and takes that name only in Commit(). Removed by
/// the destructor if that never happened.
///
/// Threads: one at a time.
class PendingFile {
 public:
  /// Creates the temporary file in the folder of `final_path`, which must exist. The first one in a
  /// folder removes those that processes which are gone have left there.
  static Result<std::unique_ptr<PendingFile>> Create(const std::filesystem::path& final_path);
  ~PendingFile();
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;

  Result<void> Write(std::string_view bytes);
  uint64_t size() const { return size_; }

  /// Flushes to the disk and closes.
  Result<void> Finish();
  /// After Finish(): renames, and makes the rename durable.
  Result<void> Commit();

 private:
  PendingFile(std::filesystem::path final_path, std::filesystem::path temporary, int descriptor);

  std::filesystem::path final_path_, temporary_;
  int descriptor_;
  uint64_t size_ = 0;
};

/// Writes `text` to `path` whole or not at all. The folder must exist.
Result<void> WriteFileAtomically(const std::filesystem::path& path, std::string_view text);

}  // namespace moe
