#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/byte_source.h"
#include "moescope/error.h"

namespace moe {

/// Float32 values as a file holds them, little-endian and unaligned. A view into the file.
class StoredFloats {
 public:
  StoredFloats() = default;
  explicit StoredFloats(std::span<const std::byte> bytes) : bytes_(bytes) {}

  size_t size() const { return bytes_.size() / 4; }
  double operator[](size_t i) const;
  StoredFloats Part(size_t begin, size_t count) const {
    return StoredFloats(bytes_.subspan(begin * 4, count * 4));
  }

 private:
  std::span<const std::byte> bytes_;
};

/// What an importance matrix holds of one weight: for each of its matrices (the experts of a stack)
/// the sums of squares of its input, column by column.
struct ImatrixEntry {
  std::string name;      ///< of the weight, as llama.cpp calls it: "blk.3.ffn_down_exps.weight"
  uint64_t columns = 0;  ///< of a matrix; 0: the older form does not say
  StoredFloats sums;     ///< [matrices, columns]; GGUF: sums over tokens; older: mean * calls
  StoredFloats counts;   ///< tokens, of each matrix or of all; none in the older form
  uint32_t calls = 0;    ///< older form: what the means were multiplied by
};

/// An importance matrix of llama.cpp, mapped: its GGUF form (two tensors a weight, NAME.in_sum2
/// F32 [matrices, columns] and NAME.counts F32 [matrices, 1]; other suffixes are left alone), or
/// the older .dat. What the file starts with tells which, not its suffix.
///
/// The older form holds means times `calls` (as ncall = ceil(most tokens of a matrix / tokens of a
/// chunk)), so means of several such files are added up by their calls, as llama.cpp does; how many
/// tokens an expert saw is lost, and experts that saw none are written as ones.
struct ImatrixFile {
  std::filesystem::path path;
  bool older = false;  ///< of the older form, in which the experts' counts are lost
  std::vector<ImatrixEntry> entries;
  std::shared_ptr<const ByteSource> bytes;  ///< keeps them alive

  /// Checks all of it: lengths, shapes, and that sums and counts are finite and not negative.
  /// kMalformed names the broken rule; kUnsupported: a GGUF file that is no importance matrix;
  /// kNotFound, kIo.
  static Result<ImatrixFile> Open(const std::filesystem::path& path);
};

}  // namespace moe
