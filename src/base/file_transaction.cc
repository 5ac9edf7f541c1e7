#include "base/file_transaction.h"

#include <system_error>

namespace moe {
namespace {

namespace fs = std::filesystem;

Result<void> RemoveFile(const fs::path& path) {
  std::error_code failed;
  if (fs::is_directory(fs::symlink_status(path, failed))) return {};
  fs::remove(path, failed);
  if (!failed) return {};
  return Fail(ErrorCode::kIo, path.string(), "an older copy can't be removed: " + failed.message());
}

}  // namespace

PendingFile& FileTransaction::Add(std::unique_ptr<PendingFile> file) {
  return *files_.emplace_back(std::move(file));
}

void FileTransaction::Remove(fs::path path) { stale_.push_back(std::move(path)); }

Result<void> FileTransaction::Commit() {
  for (const auto& file : files_) {
    if (auto done = file->Commit(); !done) return done;
  }
  for (const fs::path& path : stale_) {
    if (auto done = RemoveFile(path); !done) return done;
  }
  return {};
}

Result<void> AddFile(FileTransaction& files, const fs::path& path, std::string_view text) {
  return PendingFile::Create(path).and_then([&](std::unique_ptr<PendingFile> created) {
    PendingFile& file = files.Add(std::move(created));
    return file.Write(text).and_then([&] { return file.Finish(); });
  });
}

}  // namespace moe
