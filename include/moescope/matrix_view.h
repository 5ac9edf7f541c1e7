#pragma once

#include <cstdint>

namespace moe {

/// Where one matrix lies in its weight: element (r, c) is the weight's logical row-major element
/// number offset + r * row_stride + c * col_stride.
struct MatrixView {
  uint64_t rows = 0, cols = 0;
  uint64_t offset = 0, row_stride = 0, col_stride = 0;
};

}  // namespace moe
