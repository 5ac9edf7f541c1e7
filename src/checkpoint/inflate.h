#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "moescope/error.h"
#include "moescope/stop_token.h"

namespace moe {

/// A raw deflate stream: bytes [begin, begin + size) of a file, which outlives it.
struct DeflateStream {
  const ByteSource& file;
  uint64_t begin = 0, size = 0;
};

/// The first `most` bytes (fewer, if there are no more) of a stream. kMalformed, type_name
/// "BadZipFile", when the stream is broken before that. `where` is for messages.
Result<std::vector<std::byte>> InflatePrefix(const DeflateStream& deflated, uint64_t most,
                                             const std::string& where);

/// Asked between pieces; once true, the work ends with kInterrupted. May be empty.

/// Inflates a whole stream in small pieces to an unlinked temporary file, and maps it.
/// The stream must give exactly `bytes` bytes, with this CRC-32: one that would give more is
/// stopped there. kIo before anything is written if there is no room for so many.
Result<std::shared_ptr<const MappedFile>> InflateToFile(const DeflateStream& deflated,
                                                        uint64_t bytes, uint32_t crc32,
                                                        const std::string& where,
                                                        const StopToken& stop);

/// The CRC-32 of zip.
Result<uint32_t> Crc32(std::span<const std::byte> bytes, const StopToken& stop);

}  // namespace moe
