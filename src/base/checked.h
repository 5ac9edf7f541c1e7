#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace moe {

// Arithmetic on numbers that a file or a config wrote: nullopt instead of a wrapped result.

inline std::optional<uint64_t> CheckedAdd(uint64_t a, uint64_t b) {
  uint64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

inline std::optional<uint64_t> CheckedMul(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

/// Left to right, as the safetensors reader does: {0, huge, huge} is 0, {huge, huge, 0} overflows.
inline std::optional<uint64_t> CheckedProduct(std::span<const uint64_t> factors) {
  std::optional<uint64_t> product = 1;
  for (const uint64_t factor : factors) {
    product = CheckedMul(*product, factor);
    if (!product) break;
  }
  return product;
}

}  // namespace moe
