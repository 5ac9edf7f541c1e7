#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/byte_source.h"
#include "moescope/error.h"

namespace moe {

/// How a member's bytes are stored.
enum class ZipMethod { kStored, kDeflated };

/// One member of a zip archive. Its bytes are [data_begin, data_begin + stored_bytes) of the file.
struct ZipMember {
  std::string name;  ///< UTF-8; may hold slashes and `..`: never use it as a path
  ZipMethod method = ZipMethod::kStored;
  uint32_t crc32 = 0;         ///< of the bytes after inflating
  uint64_t stored_bytes = 0;  ///< as they lie in the file
  uint64_t bytes = 0;         ///< after inflating; == stored_bytes when stored
  uint64_t data_begin = 0;
};

/// The members of the archive `file`, in the order of its central directory (ZIP64 too).
///
/// kMalformed, type_name "BadZipFile", for what is no archive, for ranges that leave the file or
/// overlap, and for two members of one name; kUnsupported for encryption, several disks, and
/// methods other than stored and deflate.
Result<std::vector<ZipMember>> ReadZipDirectory(const ByteSource& file);

/// An error about the archive's framing or contents, as Python names it.
tl::unexpected<Error> BadZip(std::string where, std::string message, std::string hint = {});

}  // namespace moe
