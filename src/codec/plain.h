#pragma once

#include <memory>

#include "moescope/matrix_view.h"

namespace moe {

/// F64, F32, F16 and BF16 as they are: any strides, either byte order, C or Fortran order, any
/// alignment. `view` was checked against the tensor.
///
/// Cost: storage is walked in contiguous runs where the rows or the columns of the view are
///       contiguous, else element by element. No allocation in Read().
Result<std::unique_ptr<MatrixSource>> OpenPlainMatrix(const TensorInfo& tensor, TensorBytes bytes,
                                                      const MatrixView& view);

}  // namespace moe
