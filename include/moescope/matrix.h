#pragma once

#include <cstdint>

#include "moescope/dtype.h"
#include "moescope/error.h"

namespace moe {

/// A rectangle of a matrix: rows [row, row + rows) x columns [col, col + cols).
struct Tile {
  uint64_t row = 0, col = 0, rows = 0, cols = 0;
};

/// A weight matrix [rows = output features, cols = input features] that is read in tiles.
///
/// Threads: const members may be called from any thread at once.
class MatrixSource {
 public:
  virtual ~MatrixSource() = default;

  virtual uint64_t rows() const = 0;
  virtual uint64_t cols() const = 0;

  /// Element type on disk.
  virtual DType storage_dtype() const = 0;

  /// The dtype that its values are meant in, and quantized from: of decoded weights another than
  /// the element type of their codes.
  virtual DType value_dtype() const { return storage_dtype(); }

  /// Decodes `tile` (which lies inside the matrix) to out[r * tile.cols + c], float32.
  /// float64 is rounded to nearest-even; other plain floats are exact.
  virtual Result<void> Read(const Tile& tile, float* out) const = 0;
};

}  // namespace moe
