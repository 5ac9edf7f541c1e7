#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "moescope/error.h"

namespace moe {

/// The bytes of a file, wherever it lies: all that readers of containers see of it.
///
/// Threads: const members may be called from any thread at once.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  virtual const std::filesystem::path& path() const = 0;  ///< as it was given
  virtual uint64_t size() const = 0;

  /// Fills `out` with the bytes from `offset` on, which lie within size(). kIo, naming the path.
  virtual Result<void> Read(uint64_t offset, std::span<std::byte> out) const = 0;

  /// All bytes in memory, for as long as the source lives; nullopt: Read() alone gives them.
  virtual std::optional<std::span<const std::byte>> Map() const = 0;

  /// kIo once bytes were seen that the file has lost since it was opened.
  virtual Result<void> CheckWhole() const { return {}; }
};

/// Where a reader looks into a source, here and there: a view where it is mapped, else a buffer.
///
/// Threads: one at a time. Lifetime: the source outlives it.
class ByteWindow {
 public:
  explicit ByteWindow(const ByteSource& source) : source_(source), mapped_(source.Map()) {}

  /// Bytes [offset, offset + size), within the source, until the next call. Empty once a read has
  /// failed: fault() says why.
  std::span<const std::byte> At(uint64_t offset, uint64_t size) {
    return mapped_ ? mapped_->subspan(offset, size) : Buffered(offset, size);
  }

  const std::optional<Error>& fault() const { return fault_; }

 private:
  std::span<const std::byte> Buffered(uint64_t offset, uint64_t size);

  const ByteSource& source_;
  std::optional<std::span<const std::byte>> mapped_;
  std::optional<Error> fault_;
  std::vector<std::byte> buffer_;
  uint64_t begin_ = 0;  // of the buffer
};

}  // namespace moe
