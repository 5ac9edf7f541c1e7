#include "base/page_cache.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/platform.h"

namespace moe {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{8} << 20;

}  // namespace

std::string_view ReadModeName(ReadMode mode) { return mode == ReadMode::kMap ? "mmap" : "read"; }

PageCacheFile::PageCacheFile(const std::filesystem::path& path)
    : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}

PageCacheFile::PageCacheFile(PageCacheFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), piece_(std::move(other.piece_)) {}

PageCacheFile::~PageCacheFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

void PageCacheFile::Fetch(uint64_t begin, uint64_t size, ReadMode mode) {
  if (descriptor_ < 0 || size == 0) return;
  if (mode == ReadMode::kMap) return AdviseReading(descriptor_, begin, size);
  piece_.resize(static_cast<size_t>(std::min(size, kPieceBytes)));
  for (uint64_t end = begin + size; begin < end;) {
    const auto wanted = static_cast<size_t>(std::min<uint64_t>(end - begin, piece_.size()));
    const ssize_t got = pread(descriptor_, piece_.data(), wanted, static_cast<off_t>(begin));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    begin += static_cast<uint64_t>(got);
  }
}

}  // namespace moe
