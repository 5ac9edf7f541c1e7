#include "base/page_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/temp_folder.h"

namespace moe {
namespace {

constexpr size_t kBytes = size_t{20} << 20;  // more than Fetch() reads at a time

#if defined(__linux__)
// Pages of `descriptor`'s first kBytes that are in memory.
size_t ResidentPages(int descriptor) {
  void* mapped = mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, descriptor, 0);
  std::vector<unsigned char> pages(kBytes / static_cast<size_t>(sysconf(_SC_PAGESIZE)));
  EXPECT_EQ(mincore(mapped, kBytes, pages.data()), 0);
  munmap(mapped, kBytes);
  size_t resident = 0;
  for (const unsigned char page : pages) resident += page & 1;
  return resident;
}

TEST(PageCacheFile, ReadingBringsAllPagesOfARange) {
  const TempFolder folder;
  const auto path = folder.path() / "weights";
  std::ofstream(path) << std::string(kBytes, 'w');
  const int descriptor = open(path.c_str(), O_RDWR);
  ASSERT_EQ(fsync(descriptor), 0);
  posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
  const size_t before = ResidentPages(descriptor);
  const size_t all = kBytes / static_cast<size_t>(sysconf(_SC_PAGESIZE));
  PageCacheFile file(path);
  file.Fetch(0, kBytes, ReadMode::kRead);
  EXPECT_EQ(ResidentPages(descriptor), all);
  if (before == all) GTEST_SKIP() << "this file system keeps all pages in memory";
  close(descriptor);
}
#endif

TEST(PageCacheFile, WhatCannotBeReadIsLeftToTheMapping) {
  const TempFolder folder;
  for (const ReadMode mode : {ReadMode::kMap, ReadMode::kRead}) {
    PageCacheFile absent(folder.path() / "absent");
    absent.Fetch(0, kBytes, mode);
    std::ofstream(folder.path() / "short") << "few bytes";
    PageCacheFile moved = PageCacheFile(folder.path() / "short");
    moved.Fetch(4, kBytes, mode);  // beyond its end
  }
}

}  // namespace
}  // namespace moe
