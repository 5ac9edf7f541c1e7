#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "moescope/dtype.h"
#include "moescope/error.h"
#include "moescope/stop_token.h"

namespace moe {

/// One tensor as its container describes it. Its bytes are not touched yet.
struct TensorInfo {
  std::string name;
  DType dtype = DType::kOpaque;
  std::string dtype_text;       ///< text of the `dtype` column: NumPy's name, or the container's
  std::vector<uint64_t> shape;  ///< outermost dimension first; {} is a scalar
  uint64_t nbytes = 0;          ///< of the decoded array (not of a compressed member)
  bool fortran_order = false;   ///< npy: first axis fastest
  bool byte_swapped = false;    ///< npy, GGUF: big-endian elements
  std::optional<uint32_t>
      ggml_type;  ///< GGUF: ggml's number of a block type; dtype is kOpaque then
};

/// The raw bytes of a tensor. Valid while `owner` lives (it holds the mapping, not a copy).
struct TensorBytes {
  std::span<const std::byte> data;
  std::shared_ptr<const void> owner;
};

/// One open container file; its whole header was checked when it was opened.
///
/// Threads:  const members may be called from any thread at once.
/// Lifetime: bytes stay valid as long as their TensorBytes lives, even after the file object died.
class TensorFile {
 public:
  virtual ~TensorFile() = default;

  /// The path as it was given to OpenTensorFile().
  virtual const std::filesystem::path& path() const = 0;

  /// safetensors: sorted by name; npz: in the order of the archive; npy: one, named by the stem.
  virtual std::span<const TensorInfo> tensors() const = 0;

  /// GGUF: the file's key-value pairs as JSON texts, arrays of more than 1024 elements left out.
  /// Empty for other containers.
  virtual const std::map<std::string, std::string>& metadata() const {
    static const std::map<std::string, std::string> none;
    return none;
  }

  /// Bytes of tensors()[index], exactly nbytes of them, in the file's own element order. A stored
  /// tensor is a view of the mapping; a deflated npz member is inflated once, in small pieces, to
  /// an unlinked temporary file, which is mapped: anonymous memory stays small whatever its size.
  virtual Result<TensorBytes> Bytes(size_t index) const = 0;

  /// kIo once bytes were read that the file had lost since it was opened (where the program handles
  /// SIGBUS as moescope does; else such a read ends it).
  virtual Result<void> CheckWhole() const { return {}; }

  /// Where in the file the bytes of tensors()[index] begin; nullopt where they don't lie there as
  /// they are (npz).
  virtual std::optional<uint64_t> PositionOf(size_t /*index*/) const { return std::nullopt; }
};

/// Opens `path` by its suffix (.safetensors, .npz, .npy, .gguf) and validates all of its header.
/// kNotFound/kIo from the system; kMalformed names the broken rule of the format; kUnsupported for
/// a suffix that no reader has, and for what a reader knows and does not read.
///
/// `stop` is asked by any thread while bytes are inflated or their checksum is taken: once true,
/// Bytes() ends with kInterrupted.
Result<std::unique_ptr<TensorFile>> OpenTensorFile(const std::filesystem::path& path,
                                                   const StopToken& stop = {});

}  // namespace moe
