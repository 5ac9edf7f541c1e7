#pragma once

#include <cstdint>
#include <vector>

#include "moescope/error.h"

namespace moe {

/// What numpy.random.default_rng(seed).choice(n, k, replace=False) returns, in its order: k
/// distinct indices in [0, n), the same numbers NumPy 2 draws. k > n or n > 2^63 - 1 is a bad
/// argument.
///
/// Memory: O(k), whatever n is.
Result<std::vector<int64_t>> SampleIndices(uint64_t n, uint64_t k, uint64_t seed);

}  // namespace moe
