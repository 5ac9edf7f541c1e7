#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/byte_source.h"
#include "moescope/checkpoint.h"
#include "moescope/error.h"

namespace moe {

/// Longest header text accepted, in bytes: numpy's own default limit.
inline constexpr uint64_t kMaxNpyHeaderBytes = 10'000;

/// This many bytes from the start of an array file always hold its header.
inline constexpr uint64_t kNpyPrefixBytes = 12 + kMaxNpyHeaderBytes;

struct NpyHeader {
  TensorInfo info;          ///< all but the name
  uint64_t data_begin = 0;  ///< from the start of the array file; its data end with the file
  bool is_object = false;   ///< the data are a pickle, which is never read
};

/// Reads the header of an array file (npy versions 1 to 3) of `file_bytes` bytes, of which `prefix`
/// holds the first kNpyPrefixBytes (or all). `where` is for messages.
///
/// Data must fill the rest of the file exactly. Element types that are no numbers (structures,
/// text, objects, 1-byte voids) are kOpaque with numpy's own text; `V2` is bfloat16.
Result<NpyHeader> ParseNpyHeader(std::span<const std::byte> prefix, uint64_t file_bytes,
                                 const std::string& where);

/// What is said about an array of objects.
tl::unexpected<Error> RefuseObjectArray(std::string where);

/// Opens a .npy file: one tensor, named by the file's stem. kUnsupported for an array of objects.
Result<std::unique_ptr<TensorFile>> OpenNpy(std::shared_ptr<const ByteSource> file);

}  // namespace moe
