#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <limits>
#include <string>
#include <system_error>
#include <utility>

namespace moe {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> SystemError(const fs::path& path, const char* action, int error) {
  const ErrorCode code =
      error == ENOENT || error == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIo;
  return Fail(code, path.string(),
              std::string(action) + ": " + std::generic_category().message(error));
}

/// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int value() const { return value_; }

 private:
  int value_;
};

fs::path SpoolFolder() {
  const char* chosen = std::getenv("TMPDIR");
  return chosen != nullptr && *chosen != '\0' ? chosen : "/var/tmp";
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::Open(const fs::path& path) {
  // O_NONBLOCK: a named pipe must not make us wait; the regular-file check below refuses it.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
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
  return std::shared_ptr<const MappedFile>(new MappedFile(bytes));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

Result<SpoolFile> SpoolFile::Create() {
  fs::path folder = SpoolFolder();
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
                  "set TMPDIR to a folder with more space");
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
