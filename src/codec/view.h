#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "moescope/error.h"
#include "moescope/matrix_view.h"

namespace moe {

/// kMalformed when `view` leaves an array of `shape`; `place` names it.
Result<void> CheckView(std::span<const uint64_t> shape, const MatrixView& view,
                       const std::string& place);

/// Where a logical element of [matrices, rows, cols] lies.
struct Place3 {
  uint64_t matrix = 0, row = 0, col = 0;
};
inline Place3 PlaceOf(uint64_t element, uint64_t rows, uint64_t cols) {
  return {element / cols / rows, element / cols % rows, element % cols};
}

}  // namespace moe
