#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "moescope/error.h"

namespace moe {

/// A picture's size: 8 x 4 inch, in the units of an SVG (96 an inch) and in pixels (160 an inch).
inline constexpr int kSvgWidth = 768, kSvgHeight = 384;
inline constexpr int kPngWidth = 1280, kPngHeight = 640;

/// Draws the charts of src/report/web/charts without a browser: their script in a JavaScript engine
/// (Duktape). A chart's picture depends on nothing but its data.
///
/// Threads: one at a time; each thread opens its own, which takes half a second.
class Pictures {
 public:
  static constexpr size_t kMemoryLimitBytes = size_t{512} << 20;

  /// kUnsupported tells what this program was built without.
  static Result<std::unique_ptr<Pictures>> Open(size_t memory_limit = kMemoryLimitBytes);
  virtual ~Pictures() = default;

  /// The SVG document of `chart` ("bars"), a file of src/report/web/charts, which says what `data`
  /// (JSON text, UTF-8) is. kMalformed has the script's message, as when its memory runs out.
  virtual Result<std::string> Svg(std::string_view chart, std::string_view data) = 0;
};

}  // namespace moe
