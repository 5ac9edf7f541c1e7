#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

namespace moe {

/// How the bytes of mapped files come into memory ahead of the work.
enum class ReadMode {
  kMap,   ///< the kernel is told what comes next and reads it by itself
  kRead,  ///< a thread of ours reads it in large pieces, where the kernel would fault page by page
};
std::string_view ReadModeName(ReadMode mode);  ///< "mmap", "read"

/// Brings ranges of one file into the page cache, through which mappings of it see them.
///
/// Nothing here can fail: a range that does not come is read when the mapping is.
/// Threads: one at a time.
class PageCacheFile {
 public:
  explicit PageCacheFile(const std::filesystem::path& path);
  ~PageCacheFile();
  PageCacheFile(PageCacheFile&& other) noexcept;
  PageCacheFile& operator=(PageCacheFile&&) = delete;

  /// Bytes [begin, begin + size).
  void Fetch(uint64_t begin, uint64_t size, ReadMode mode);

 private:
  int descriptor_;
  std::vector<std::byte> piece_;  // what is read is thrown away: the page cache keeps it
};

}  // namespace moe
