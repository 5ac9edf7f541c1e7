#pragma once

#include <cstdint>
#include <filesystem>

#include "moescope/error.h"

namespace moe {

/// How fast a file was read, from its beginning.
struct ReadSpeed {
  std::filesystem::path file;
  uint64_t bytes = 0;
  double seconds = 0;

  double BytesPerSecond() const { return static_cast<double>(bytes) / seconds; }
};

/// Reads up to `most_bytes` of the largest file in `folder` and the folders in it, from the disk
/// where the system can be asked for that. kNotFound: there is no file with bytes; kIo: can't be
/// read.
Result<ReadSpeed> MeasureReading(const std::filesystem::path& folder, uint64_t most_bytes);

}  // namespace moe
