#pragma once

#include <string>
#include <string_view>

#include "moescope/error.h"

namespace moe {

/// Whether the system has a font; without one, text in a PNG is boxes.
bool HasFonts();

/// An SVG document drawn with the system's fonts on width x height pixels, 160 an inch. Nothing but
/// `svg` is read.
/// Threads: any. kMalformed if it can't be drawn.
Result<std::string> PngOfSvg(std::string_view svg, int width, int height);

/// `pixels`, columns x rows of four bytes (red, green, blue, and one that is not looked at),
/// enlarged without smoothing to width x height; a side that is longer already stays as it is.
Result<std::string> PngOfPixels(std::string_view pixels, int columns, int rows, int width,
                                int height);

}  // namespace moe
