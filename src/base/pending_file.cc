#include "base/pending_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <system_error>
#include <utility>

namespace moe {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> SystemFail(const fs::path& path, std::string_view what) {
  const std::string reason = std::generic_category().message(errno);
  return Fail(ErrorCode::kIo, path.string(), fmt::format("{}: {}", what, reason),
              errno == ENOSPC ? "free some space and run again" : "");
}

}  // namespace

Result<std::unique_ptr<PendingFile>> PendingFile::Create(const fs::path& final_path) {
  // Unique among live processes, so that two runs never write into one file.
  for (int attempt = 0;; ++attempt) {
    fs::path temporary = final_path;
    temporary.replace_filename(
        fmt::format(".{}.{}-{}.tmp", final_path.filename().string(), ::getpid(), attempt));
    const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0) {
      return std::unique_ptr<PendingFile>(
          new PendingFile(final_path, std::move(temporary), descriptor));
    }
    if (errno != EEXIST) return SystemFail(final_path, "can't be created");
  }
}

PendingFile::PendingFile(fs::path final_path, fs::path temporary, int descriptor)
    : final_path_(std::move(final_path)),
      temporary_(std::move(temporary)),
      descriptor_(descriptor) {}

PendingFile::~PendingFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<void> PendingFile::Write(std::string_view bytes) {
  assert(descriptor_ >= 0);
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return SystemFail(final_path_, "writing failed");
    }
    bytes.remove_prefix(static_cast<size_t>(written));
    size_ += static_cast<uint64_t>(written);
  }
  return {};
}

Result<void> PendingFile::Finish() {
  if (::fsync(descriptor_) != 0) return SystemFail(final_path_, "flushing failed");
  if (::close(std::exchange(descriptor_, -1)) != 0) {
    return SystemFail(final_path_, "closing failed");
  }
  return {};
}

Result<void> PendingFile::Commit() {
  assert(descriptor_ < 0);
  if (::rename(temporary_.c_str(), final_path_.c_str()) != 0) {
    return SystemFail(final_path_, "can't be renamed into place");
  }
  temporary_.clear();
  const fs::path folder = final_path_.has_parent_path() ? final_path_.parent_path() : ".";
  const int folder_descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_descriptor >= 0) {
    // Some file systems can't flush a folder; the file itself is whole either way.
    ::fsync(folder_descriptor);
    ::close(folder_descriptor);
  }
  return {};
}

Result<void> WriteFileAtomically(const std::filesystem::path& path, std::string_view text) {
  auto file = PendingFile::Create(path);
  if (!file) return tl::make_unexpected(file.error());
  return (*file)->Write(text).and_then([&] { return (*file)->Finish(); }).and_then([&] {
    return (*file)->Commit();
  });
}

}  // namespace moe
