#pragma once

#include <memory>

#include "moescope/checkpoint.h"
#include "moescope/matrix.h"

namespace moe {

/// Where one matrix lies in its tensor: element (r, c) is the tensor's logical row-major element
/// number offset + r * row_stride + c * col_stride.
struct MatrixView {
  uint64_t rows = 0, cols = 0;
  uint64_t offset = 0, row_stride = 0, col_stride = 0;
};

/// The matrix `view` of `tensor`, decoded from `bytes` by the codec that fits. The result keeps
/// `bytes` alive. kUnsupported when no codec reads this storage; kMalformed when the view leaves
/// the tensor.
Result<std::unique_ptr<MatrixSource>> OpenMatrix(const TensorInfo& tensor, TensorBytes bytes,
                                                 const MatrixView& view);

}  // namespace moe
