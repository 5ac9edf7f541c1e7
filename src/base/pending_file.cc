#include "base/pending_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "base/system_fail.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

/// Takes `suffix` and the digits before it off the end of `name`.
std::optional<std::string> TakeNumber(std::string_view& name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return std::nullopt;
  name.remove_suffix(suffix.size());
  const size_t begin = name.find_last_not_of("0123456789") + 1;
  std::string digits(name.substr(begin));
  name = name.substr(0, begin);
  if (digits.empty()) return std::nullopt;
  return digits;
}

/// The process that made a temporary file of this name (see Create()).
std::optional<pid_t> MakerOf(std::string_view name) {
  if (!TakeNumber(name, ".tmp")) return std::nullopt;
  const auto pid = TakeNumber(name, "-");
  pid_t number = 0;
  if (!pid || name.size() < 3 || !name.starts_with('.') || !name.ends_with('.')) return {};
  const auto read = std::from_chars(pid->data(), pid->data() + pid->size(), number);
  return read.ec == std::errc() && number > 0 ? std::optional(number) : std::nullopt;
}

/// Removes what processes that are gone have left in `folder`; nothing of ours is in there yet, so
/// a file with our number is of one before us.
void RemoveAbandoned(const fs::path& folder) {
  std::error_code failed;
  for (fs::directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed)) {
    const auto maker = MakerOf(at->path().filename().string());
    if (!maker) continue;
    const bool gone = *maker == ::getpid() || (::kill(*maker, 0) != 0 && errno == ESRCH);
    std::error_code ignored;
    if (gone && fs::is_regular_file(at->symlink_status(ignored))) fs::remove(at->path(), ignored);
  }
}

/// RemoveAbandoned() before this process writes into `folder` for the first time.
void RemoveAbandonedOnce(const fs::path& folder) {
  static std::mutex mutex;
  static std::set<fs::path> seen;
  const std::lock_guard lock(mutex);
  if (seen.insert(folder).second) RemoveAbandoned(folder.empty() ? "." : folder);
}

}  // namespace

Result<std::unique_ptr<PendingFile>> PendingFile::Create(const fs::path& final_path) {
  RemoveAbandonedOnce(final_path.parent_path());
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
