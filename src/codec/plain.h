#pragma once

#include <memory>

#include "moescope/weight.h"

namespace moe {

/// F64, F32, F16 and BF16 as they are: any strides, either byte order, C or Fortran order, any
/// alignment. kUnsupported for any other type, kMalformed when `bytes` do not fit the shape.
Result<std::shared_ptr<const WeightArray>> OpenPlainFloats(const TensorInfo& tensor,
                                                           TensorBytes bytes);

}  // namespace moe
