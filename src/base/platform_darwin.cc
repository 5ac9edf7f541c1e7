// macOS. Cross-compiled, never run by us.
#include <fcntl.h>
#include <mach-o/dyld.h>
#include <sys/mount.h>
#include <sys/sysctl.h>

#include <algorithm>
#include <iterator>
#include <system_error>
#include <vector>

#include "base/platform.h"

namespace moe {
namespace {

constexpr std::string_view kNetwork[] = {"nfs", "smbfs", "afpfs", "webdav", "macfuse", "osxfuse"};

}  // namespace

const std::string_view kOpenCommand = "open";

std::optional<FileSystem> FileSystemOf(const std::filesystem::path& path) {
  struct statfs status = {};
  if (statfs(path.c_str(), &status) != 0) return std::nullopt;
  const std::string name = status.f_fstypename;
  return FileSystem{name, std::ranges::find(kNetwork, name) != std::end(kNetwork)};
}

void AdviseReading(int descriptor, uint64_t begin, uint64_t size) {
  radvisory advice{static_cast<off_t>(begin), static_cast<int>(std::min<uint64_t>(size, 1 << 30))};
  fcntl(descriptor, F_RDADVISE, &advice);
}

void ForgetPages(int descriptor) { fcntl(descriptor, F_NOCACHE, 1); }

std::filesystem::path ProgramFile() {
  std::vector<char> path(4096);
  auto size = static_cast<uint32_t>(path.size());
  if (_NSGetExecutablePath(path.data(), &size) != 0) return {};
  std::error_code failed;
  const auto file = std::filesystem::canonical(path.data(), failed);
  return failed ? std::filesystem::path() : file;
}

std::string ProcessorName() {
  char name[256] = {};
  size_t size = sizeof name - 1;
  return sysctlbyname("machdep.cpu.brand_string", name, &size, nullptr, 0) == 0 ? name : "";
}

std::optional<uint64_t> MemoryLimit() { return std::nullopt; }

}  // namespace moe
