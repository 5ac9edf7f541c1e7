#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "moescope/dtype.h"
#include "moescope/error.h"

namespace moe {

/// A tensor that is to be written.
struct PlannedTensor {
  std::string name;
  DType dtype = DType::kOpaque;  ///< one that safetensors has
  std::vector<uint64_t> shape;

  uint64_t bytes() const;
};

/// A safetensors file before any byte of its tensors is known: they lie one after another, in their
/// order.
struct SafetensorsPlan {
  std::string name;                 ///< of the file
  std::string header;               ///< the file's first bytes
  size_t first = 0;                 ///< the number of its first tensor
  std::vector<uint64_t> positions;  ///< in the file, of the bytes of each tensor
  uint64_t size = 0;                ///< of the file
};

/// 5 GiB, as mlx_lm cuts.
inline constexpr uint64_t kMostShardBytes = uint64_t{5} << 30;

/// The files of a checkpoint, cut as mlx_lm.convert cuts them: each holds at most `most` bytes of
/// tensors, or one larger tensor. "model.safetensors", or "model-00001-of-00003.safetensors".
/// Metadata: {"format": "mlx"}.
std::vector<SafetensorsPlan> PlanSafetensors(std::span<const PlannedTensor> tensors,
                                             uint64_t most = kMostShardBytes);

/// Files whose tensors are written in pieces, in any order. What is not written is zero.
///
/// Threads: Write() and Read() may be called from any thread at once, for pieces that don't
/// overlap.
class SafetensorsWriter {
 public:
  /// Opens the files in `folder`, each in its full size with its header; of files that are there,
  /// as a run that ended early left them, the tensors' bytes stay. kIo: can't be written, or the
  /// disk has not room for all.
  static Result<std::unique_ptr<SafetensorsWriter>> Open(const std::filesystem::path& folder,
                                                         std::vector<SafetensorsPlan> files);
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  /// Bytes from `offset` on of tensor number `tensor`.
  Result<void> Write(size_t tensor, uint64_t offset, std::span<const std::byte> bytes) const;
  Result<void> Read(size_t tensor, uint64_t offset, std::span<std::byte> bytes) const;

  /// Flushes all files to the disk and closes them.
  Result<void> Finish();

 private:
  struct File {
    std::filesystem::path path;
    int descriptor = -1;
  };
  struct Place {
    const File& file;
    uint64_t position;
  };

  explicit SafetensorsWriter(std::vector<SafetensorsPlan> plans) : plans_(std::move(plans)) {}
  Result<void> OpenFile(const std::filesystem::path& folder, const SafetensorsPlan& plan);
  Place PlaceOf(size_t tensor) const;

  std::vector<SafetensorsPlan> plans_;
  std::vector<File> files_;  ///< of each plan
};

}  // namespace moe
