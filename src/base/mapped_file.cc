#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <system_error>
#include <utility>

#include "base/descriptor.h"
#include "base/hub_link.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> SystemError(const fs::path& path, const char* action, int error) {
  const ErrorCode code =
      error == ENOENT || error == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIo;
  return Fail(code, path.string(),
              std::string(action) + ": " + std::generic_category().message(error));
}

constexpr const char* kChooseFolder = "set TMPDIR to a folder with more space";

uintptr_t AddressOf(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

fs::path SpoolFolder() {
  const char* chosen = std::getenv("TMPDIR");
  return chosen != nullptr && *chosen != '\0' ? chosen : "/var/tmp";
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::Open(const fs::path& path) {
  // O_NONBLOCK: a named pipe must not make us wait; the regular-file check below refuses it.
  const Descriptor file(open(FollowHubLink(path).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.value() < 0) return SystemError(path, "cannot open", errno);
  struct stat status = {};
  if (fstat(file.value(), &status) != 0) return SystemError(path, "cannot stat", errno);
  if (S_ISDIR(status.st_mode)) {
    return Fail(ErrorCode::kBadArgument, path.string(), "is a folder, not a file");
  }
  if (!S_ISREG(status.st_mode)) {
    return Fail(ErrorCode::kBadArgument, path.string(), "is not a regular file");
  }
  return Map(file.value(), static_cast<uint64_t>(status.st_size), path);
}

Result<std::shared_ptr<const MappedFile>> MappedFile::Map(int descriptor, uint64_t size,
                                                          const fs::path& path) {
  std::span<const std::byte> bytes;
  if (size > std::numeric_limits<size_t>::max()) return SystemError(path, "cannot map", ENOMEM);
  if (size > 0) {  // mmap refuses a length of 0
    void* data = mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_SHARED, descriptor, 0);
    if (data == MAP_FAILED) return SystemError(path, "cannot map", errno);
    bytes = {static_cast<const std::byte*>(data), static_cast<size_t>(size)};
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(bytes, path));
}

/// Where a file is mapped, for a signal handler to find: never freed, used again instead.
struct MappedFile::Range {
  std::atomic<bool> used{true}, lost{false};
  std::atomic<uintptr_t> begin{0}, end{0};
  Range* next = nullptr;

  static std::atomic<Range*> all;
};

std::atomic<MappedFile::Range*> MappedFile::Range::all{nullptr};

MappedFile::Range* MappedFile::Register(std::span<const std::byte> bytes) {
  Range* range = Range::all;
  while (range != nullptr && range->used.exchange(true)) range = range->next;
  const bool is_new = range == nullptr;
  if (is_new) range = new Range;
  range->lost = false;
  range->end = AddressOf(bytes.data()) + bytes.size();
  range->begin = AddressOf(bytes.data());
  if (is_new) {
    range->next = Range::all;
    while (!Range::all.compare_exchange_weak(range->next, range)) {
    }
  }
  return range;
}

MappedFile::MappedFile(std::span<const std::byte> bytes, fs::path path)
    : bytes_(bytes), path_(std::move(path)), range_(Register(bytes)) {}

Result<void> MappedFile::Read(uint64_t offset, std::span<std::byte> out) const {
  std::ranges::copy(bytes_.subspan(offset, out.size()), out.begin());
  return CheckWhole();
}

Result<void> MappedFile::CheckWhole() const {
  if (!range_->lost) return {};
  return Fail(ErrorCode::kIo, path_.string(),
              "became shorter while it was read, or its disk failed", "copy or download it again");
}

bool MendLostBytes(const void* address) {
  const uintptr_t at = AddressOf(address);
  for (MappedFile::Range* range = MappedFile::Range::all; range != nullptr; range = range->next) {
    const uintptr_t end = range->end;
    if (at < range->begin || at >= end) continue;
    range->lost = true;  // before the zeros can be read
    const auto page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const uintptr_t page = at / page_bytes * page_bytes;
    return mmap(reinterpret_cast<void*>(page), end - page, PROT_READ,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
  }
  return false;
}

MappedFile::~MappedFile() {
  range_->begin = range_->end = 0;
  range_->used = false;
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

Result<SpoolFile> SpoolFile::Create(uint64_t bytes) {
  fs::path folder = SpoolFolder();
  std::error_code unknown;
  const fs::space_info space = fs::space(folder, unknown);
  if (!unknown && space.available < bytes) {
    return Fail(ErrorCode::kIo, folder.string(),
                "has no room for a temporary file of " + std::to_string(bytes) + " bytes, only " +
                    std::to_string(space.available),
                kChooseFolder);
  }
  std::string name = (folder / "moescope-XXXXXX").string();
  const int descriptor = mkstemp(name.data());
  if (descriptor < 0) return SystemError(folder, "cannot make a temporary file", errno);
  unlink(name.c_str());
  fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  return SpoolFile(descriptor, std::move(folder));
}

SpoolFile::SpoolFile(int descriptor, fs::path folder)
    : descriptor_(descriptor), folder_(std::move(folder)) {}

SpoolFile::SpoolFile(SpoolFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      folder_(std::move(other.folder_)),
      size_(other.size_) {}

SpoolFile::~SpoolFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

Result<void> SpoolFile::Append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      return Fail(ErrorCode::kIo, folder_.string(),
                  "cannot write a temporary file after " + std::to_string(size_) +
                      " bytes: " + std::generic_category().message(errno),
                  kChooseFolder);
    }
    size_ += static_cast<uint64_t>(written);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

Result<std::shared_ptr<const MappedFile>> SpoolFile::Map() const {
  return MappedFile::Map(descriptor_, size_, folder_);
}

}  // namespace moe
