#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "moescope/error.h"

namespace moe {

/// Draws a chart (as Pictures::Svg()) as PNG and SVG: both files or none.
///
/// Threads: any; each has an engine of its own. kUnsupported tells what this program was built
/// without; kMalformed as Pictures::Svg(), kIo.
Result<void> WritePicture(std::string_view chart, std::string_view data,
                          const std::filesystem::path& png, const std::filesystem::path& svg);

}  // namespace moe
