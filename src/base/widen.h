#pragma once

#include <cstddef>

namespace moe {

/// The `count` little-endian 16-bit floats at `in`, which files align to nothing, as float32 in
/// out[0, count): exact. The fastest version that the CPU has.
void WidenBFloat16(const std::byte* in, size_t count, float* out);
void WidenHalf(const std::byte* in, size_t count, float* out);

}  // namespace moe
