#pragma once

#include <cstdint>
#include <filesystem>

#include "moescope/error.h"

namespace moe {

struct WrittenReport {
  std::filesystem::path path;
  uint64_t bytes = 0;
};

/// Writes `run_dir`/report.html, whole or not at all: one page that needs nothing else, no network
/// either, for a run that has data (tables/ is not needed).
///
/// kUnsupported: this program was built without the page. kNotFound, kIo, kMalformed name the file.
/// Memory: what ReadRunMatrices() takes, and the page.
Result<WrittenReport> WriteReport(const std::filesystem::path& run_dir);

}  // namespace moe
