#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "insight/run.h"
#include "moescope/error.h"

namespace moe {

struct WrittenReport {
  std::filesystem::path path;
  uint64_t bytes = 0;
};

/// The page with `data` in it: what PageData() or PairPage() gives. kUnsupported: this program was
/// built without the page.
Result<std::string> PageWith(std::string_view data);

/// Writes report.html in the run's folder, whole or not at all: one page that needs nothing else,
/// no network either, for a run that has data (tables/ is not needed).
///
/// kUnsupported: this program was built without the page. kNotFound, kIo, kMalformed name the file.
/// Memory: what the run's matrices take, and the page.
Result<WrittenReport> WriteReport(Run& run);

}  // namespace moe
