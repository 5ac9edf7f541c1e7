#pragma once

#include <cstddef>

namespace moe {

/// Tensors with more axes than this are refused, whatever the container.
inline constexpr size_t kMaxTensorRank = 64;

}  // namespace moe
