#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moe {

/// One column over all matrices, as the page holds it (page_data.h gives the format).
struct Block {
  std::string_view kind;  ///< "int", "number" or "text"
  int64_t base = 0;
  unsigned planes = 0;
  std::string base64;  ///< of the deflated bytes

  bool operator==(const Block&) const = default;
};

/// Non-negative numbers.
Block PackInts(std::span<const uint32_t> values);
/// Values rounded to five significant digits; NaN and infinities are null.
Block PackNumbers(std::span<const double> values);
/// `json`: a list of texts.
Block PackText(std::string_view json);

}  // namespace moe
