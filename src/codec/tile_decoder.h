#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "moescope/weight.h"

namespace moe {

/// Decodes tiles of a weight [matrices, rows, cols]: the axes before the last two are one.
///
/// Threads: const members may be called from any thread at once.
class TileDecoder {
 public:
  virtual ~TileDecoder() = default;

  /// Decodes `tile` of matrix number `matrix` to out[r * tile.cols + c], float32. The caller keeps
  /// within the weight's shape.
  virtual Result<void> Read(uint64_t matrix, const Tile& tile, float* out) const = 0;
};

/// Makes the decoder from the bytes of a weight's parts, in their order.
using OpenDecoder =
    std::function<Result<std::shared_ptr<const TileDecoder>>(std::vector<TensorBytes>)>;

/// `open` of a weight of this name, shape and parts, whose tiles `decoder` decodes. Its matrices
/// are views whose rows run along the rows of the weight, or along its columns.
OpenArray OpenTiled(const Weight& weight, OpenDecoder decoder);

}  // namespace moe
