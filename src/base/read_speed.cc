#include "base/read_speed.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <vector>

#include "base/descriptor.h"
#include "base/platform.h"
#include "base/system_fail.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kPieceBytes = uint64_t{8} << 20;

struct Candidate {
  fs::path path;
  uint64_t bytes = 0;
};

Result<Candidate> LargestFile(const fs::path& folder) {
  Candidate largest;
  std::error_code failed;
  for (auto entry = fs::recursive_directory_iterator(
           folder, fs::directory_options::skip_permission_denied, failed);
       !failed && entry != fs::end(entry); entry.increment(failed)) {
    std::error_code unknown;  // of a link to nothing, for one
    if (!entry->is_regular_file(unknown)) continue;
    const uint64_t bytes = entry->file_size(unknown);
    if (!unknown && bytes > largest.bytes) largest = {entry->path(), bytes};
  }
  if (failed) return SystemFail(folder, "cannot be listed", failed);
  if (largest.bytes == 0) {
    return Fail(ErrorCode::kNotFound, folder.string(), "holds no file whose reading could be timed",
                "name the folder of a model");
  }
  return largest;
}

}  // namespace

Result<ReadSpeed> MeasureReading(const fs::path& folder, uint64_t most_bytes) {
  const auto file = LargestFile(folder);
  if (!file) return tl::unexpected(file.error());
  const Descriptor descriptor(open(file->path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (descriptor.value() < 0) return SystemFail(file->path, "cannot be opened");
  ForgetPages(descriptor.value());

  ReadSpeed speed{file->path, 0, 0};
  const uint64_t wanted = std::min(file->bytes, most_bytes);
  std::vector<std::byte> piece(static_cast<size_t>(std::min(wanted, kPieceBytes)));
  std::error_code failed;
  const auto begin = std::chrono::steady_clock::now();
  while (speed.bytes < wanted) {
    const ssize_t got = read(descriptor.value(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) failed = {errno, std::generic_category()};
    if (got <= 0) break;
    speed.bytes += static_cast<uint64_t>(got);
  }
  speed.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (failed) return SystemFail(file->path, "cannot be read", failed);
  return speed;
}

}  // namespace moe
