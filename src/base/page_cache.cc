#include "base/page_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#if defined(__APPLE__)
#include <sys/mount.h>
#else
#include <sys/vfs.h>
#endif

namespace moe {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{8} << 20;

// linux/magic.h and the file systems' own sources; macOS gives the names itself.
struct KnownFileSystem {
  uint32_t magic;
  std::string_view name;
  bool network;
};
[[maybe_unused]] constexpr KnownFileSystem kKnown[] = {
    {0xef53, "ext4", false},         {0x58465342, "xfs", false},
    {0x9123683e, "btrfs", false},    {0x2fc12fc1, "zfs", false},
    {0xf2f52010, "f2fs", false},     {0xca451a4e, "bcachefs", false},
    {0x01021994, "tmpfs", false},    {0x794c7630, "overlay", false},
    {0x4d44, "vfat", false},         {0x2011bab0, "exfat", false},
    {0x5346544e, "ntfs", false},     {0x7366746e, "ntfs3", false},
    {0x73717368, "squashfs", false}, {0x9660, "iso9660", false},
    {0x6969, "nfs", true},           {0x517b, "smb", true},
    {0xff534d42, "cifs", true},      {0xfe534d42, "smb2", true},
    {0x65735546, "fuse", true},      {0x01021997, "9p", true},
    {0x00c36400, "ceph", true},      {0x0bd00bd0, "lustre", true},
    {0x19830326, "beegfs", true},    {0x47504653, "gpfs", true},
    {0x01161970, "gfs2", true},      {0x7461636f, "ocfs2", true},
    {0x5346414f, "afs", true},       {0x786f4256, "vboxsf", true},
};
[[maybe_unused]] constexpr std::string_view kMacNetwork[] = {"nfs",    "smbfs",   "afpfs",
                                                             "webdav", "macfuse", "osxfuse"};

}  // namespace

std::string_view ReadModeName(ReadMode mode) { return mode == ReadMode::kMap ? "mmap" : "read"; }

std::optional<FileSystem> FileSystemOf(const std::filesystem::path& path) {
  struct statfs status = {};
  if (statfs(path.c_str(), &status) != 0) return std::nullopt;
#if defined(__APPLE__)
  const std::string name = status.f_fstypename;
  return FileSystem{name, std::ranges::find(kMacNetwork, name) != std::end(kMacNetwork)};
#else
  const auto magic = static_cast<uint32_t>(status.f_type);
  const auto known = std::ranges::find(kKnown, magic, &KnownFileSystem::magic);
  if (known == std::end(kKnown)) return FileSystem{fmt::format("unknown ({:#x})", magic), false};
  return FileSystem{std::string(known->name), known->network};
#endif
}

PageCacheFile::PageCacheFile(const std::filesystem::path& path)
    : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}

PageCacheFile::PageCacheFile(PageCacheFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), piece_(std::move(other.piece_)) {}

PageCacheFile::~PageCacheFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

void PageCacheFile::Fetch(uint64_t begin, uint64_t size, ReadMode mode) {
  if (descriptor_ < 0 || size == 0) return;
  if (mode == ReadMode::kMap) {
#if defined(__APPLE__)
    radvisory advice{static_cast<off_t>(begin),
                     static_cast<int>(std::min<uint64_t>(size, 1 << 30))};
    fcntl(descriptor_, F_RDADVISE, &advice);
#else
    posix_fadvise(descriptor_, static_cast<off_t>(begin), static_cast<off_t>(size),
                  POSIX_FADV_WILLNEED);
#endif
    return;
  }
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
