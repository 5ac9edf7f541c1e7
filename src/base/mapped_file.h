#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "base/byte_source.h"
#include "moescope/error.h"

namespace moe {

/// A regular file, mapped read-only. Pages come in when they are read.
///
/// Threads:  const members may be called from any thread at once.
/// Lifetime: a span from bytes() is valid while this object lives. A file that becomes shorter
///           meanwhile makes reads fault (SIGBUS); where MendLostBytes() is in the handler, they
///           give zeros, and CheckWhole() tells.
class MappedFile : public ByteSource {
 public:
  /// A FollowHubLink() is followed. kNotFound, or kIo with the system's reason; kBadArgument for a
  /// folder. Empty files are fine.
  static Result<std::shared_ptr<const MappedFile>> Open(const std::filesystem::path& path);

  /// Maps the first `size` bytes behind `descriptor`, which may be closed afterwards. `path` is
  /// for messages.
  static Result<std::shared_ptr<const MappedFile>> Map(int descriptor, uint64_t size,
                                                       const std::filesystem::path& path);

  ~MappedFile() override;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

  const std::filesystem::path& path() const override { return path_; }
  uint64_t size() const override { return bytes_.size(); }
  Result<void> Read(uint64_t offset, std::span<std::byte> out) const override;
  std::optional<std::span<const std::byte>> Map() const override { return bytes_; }

  /// kIo once a read has met bytes that the file has lost: what was read is not the file's.
  Result<void> CheckWhole() const override;

 private:
  struct Range;
  friend bool MendLostBytes(const void* address);
  static Range* Register(std::span<const std::byte> bytes);

  MappedFile(std::span<const std::byte> bytes, std::filesystem::path path);

  std::span<const std::byte> bytes_;
  std::filesystem::path path_;
  Range* range_;
};

/// For a SIGBUS handler: if `address` lies in a mapped file, puts zeros there and behind it, which
/// CheckWhole() then tells of. False if it lies in none.
bool MendLostBytes(const void* address);

/// A file without a name that takes bytes in order and is then mapped. It lies in $TMPDIR or
/// /var/tmp, not /tmp, which is memory on many systems.
///
/// Threads: one at a time.
class SpoolFile {
 public:
  /// For `bytes` bytes; kIo if the file system has less room than that.
  static Result<SpoolFile> Create(uint64_t bytes);
  ~SpoolFile();
  SpoolFile(SpoolFile&& other) noexcept;
  SpoolFile& operator=(SpoolFile&&) = delete;

  /// kIo when the disk is full, naming the folder and how to choose another.
  Result<void> Append(std::span<const std::byte> bytes);

  /// Everything appended so far. The mapping keeps the bytes alive after the spool is gone.
  Result<std::shared_ptr<const MappedFile>> Map() const;

 private:
  SpoolFile(int descriptor, std::filesystem::path folder);

  int descriptor_;
  std::filesystem::path folder_;
  uint64_t size_ = 0;
};

}  // namespace moe
