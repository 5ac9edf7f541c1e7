#include <fcntl.h>
#include <fmt/format.h>
#include <sys/vfs.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <system_error>

#include "base/platform.h"
#include "base/text.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

// linux/magic.h and the file systems' own sources.
struct KnownFileSystem {
  uint32_t magic;
  std::string_view name;
  bool network;
};
constexpr KnownFileSystem kKnown[] = {
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

// The number that a file of the kernel holds; nullopt for "max".
std::optional<uint64_t> NumberIn(const fs::path& path) {
  std::ifstream file(path);
  uint64_t number = 0;
  return file >> number ? std::optional(number) : std::nullopt;
}

}  // namespace

const std::string_view kOpenCommand = "xdg-open";

std::optional<FileSystem> FileSystemOf(const fs::path& path) {
  struct statfs status = {};
  if (statfs(path.c_str(), &status) != 0) return std::nullopt;
  const auto magic = static_cast<uint32_t>(status.f_type);
  const auto known = std::ranges::find(kKnown, magic, &KnownFileSystem::magic);
  if (known == std::end(kKnown)) return FileSystem{fmt::format("unknown ({:#x})", magic), false};
  return FileSystem{std::string(known->name), known->network};
}

void AdviseReading(int descriptor, uint64_t begin, uint64_t size) {
  posix_fadvise(descriptor, static_cast<off_t>(begin), static_cast<off_t>(size),
                POSIX_FADV_WILLNEED);
}

void ForgetPages(int descriptor) { posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED); }

fs::path ProgramFile() {
  std::error_code failed;
  const fs::path file = fs::read_symlink("/proc/self/exe", failed);
  return failed ? fs::path() : file;
}

std::string ProcessorName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (line.starts_with("model name") && colon != std::string::npos) {
      return std::string(Trimmed(std::string_view(line).substr(colon + 1)));
    }
  }
  return "";
}

// The least of this process's control group and those above it (version 2; a container sees its own
// as the root).
std::optional<uint64_t> MemoryLimit() {
  const fs::path root = "/sys/fs/cgroup";
  fs::path group = root / "";
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (line.starts_with("0::/")) group = root / line.substr(4);
  }
  std::optional<uint64_t> least = NumberIn(root / "memory/memory.limit_in_bytes");  // version 1
  for (;; group = group.parent_path()) {
    const auto limit = NumberIn(group / "memory.max");
    if (limit) least = std::min(*limit, least.value_or(*limit));
    if (group == root || !group.has_relative_path()) return least;
  }
}

}  // namespace moe
