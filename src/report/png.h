#pragma once

#include <string>
#include <string_view>

#include "moescope/error.h"

namespace moe {

/// An SVG document drawn on width x height pixels. Nothing but `svg` is read.
/// Threads: any. kMalformed if it can't be drawn.
Result<std::string> PngOfSvg(std::string_view svg, int width, int height);

/// The PNG of width x height pixels of four bytes: red, green, blue, and one that is not looked at.
Result<std::string> PngOfPixels(std::string_view pixels, int width, int height);

}  // namespace moe
