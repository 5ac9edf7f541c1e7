#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "moescope/error.h"

namespace moe {

/// The first `most` bytes (fewer, if there are no more) of a raw deflate stream. kMalformed,
/// type_name "BadZipFile", when the stream is broken before that. `where` is for messages.
Result<std::vector<std::byte>> InflatePrefix(std::span<const std::byte> deflated, uint64_t most,
                                             const std::string& where);

/// Inflates a whole raw deflate stream in small pieces to an unlinked temporary file, and maps it.
/// The stream must give exactly `bytes` bytes, with this CRC-32: one that would give more is
/// stopped there.
Result<std::shared_ptr<const MappedFile>> InflateToFile(std::span<const std::byte> deflated,
                                                        uint64_t bytes, uint32_t crc32,
                                                        const std::string& where);

/// The CRC-32 of zip.
uint32_t Crc32(std::span<const std::byte> bytes);

}  // namespace moe
