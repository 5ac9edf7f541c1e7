#pragma once

#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "base/pending_file.h"

namespace moe {

/// Files that take their names together: all are whole on the disk before the first one does, so
/// that a full disk or a failure leaves what was there. Dropped without Commit(), it leaves nothing
/// behind.
///
/// Threads: one at a time.
class FileTransaction {
 public:
  /// Takes part from now on; the reference holds as long as the transaction.
  PendingFile& Add(std::unique_ptr<PendingFile> file);

  /// `path` is removed when the files take their names; a path that is not there, or is a folder,
  /// stays as it is.
  void Remove(std::filesystem::path path);

  /// Once, after Finish() of each file: renames them in the order of Add(), then removes. If that
  /// fails half-way, those before have their names (CommitMarked() in run/ tells of it).
  Result<void> Commit();

 private:
  std::vector<std::unique_ptr<PendingFile>> files_;
  std::vector<std::filesystem::path> stale_;
};

/// Writes `text` to what will be `path`, whose folder must exist.
Result<void> AddFile(FileTransaction& files, const std::filesystem::path& path,
                     std::string_view text);

}  // namespace moe
