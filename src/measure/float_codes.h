#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "base/float_convert.h"
#include "base/small_floats.h"
#include "moescope/quantize.h"

namespace moe {

// The number formats of MLX's quantized weights (mlx-quantization.md sections 3 to 5), one element
// at a time, each operation an IEEE float32 operation: the readable truth the kernels are tested
// against.

inline uint32_t FloatBits(float value) { return std::bit_cast<uint32_t>(value); }

/// |value| as an integer that orders non-negative floats; from kInfinityBits
/// on: Inf or NaN.
inline uint32_t MagnitudeBits(float value) { return FloatBits(value) & 0x7fffffffu; }
inline constexpr uint32_t kInfinityBits = 0x7f800000u;

/// `value` rounded to `kType`, nearest-even (R_T of the specification).
template <ComputeDType kType>
float RoundTo(float value) {
  if constexpr (kType == ComputeDType::kF16) return RoundToHalf(value);
  if constexpr (kType == ComputeDType::kBF16) return RoundToBFloat16(value);
  return value;
}

/// Nearest integer, ties to even (rint), without a call of the C library.
inline float RoundTiesEven(float value) {
  constexpr float kTwo23 = 8388608.0f;  // from here on every float is an integer
  const float magnitude = std::fabs(value);
  if (!(magnitude < kTwo23)) return value;
  return std::copysign((magnitude + kTwo23) - kTwo23, value);
}

/// Nearest integer, ties away from zero (round).
inline float RoundTiesAway(float value) {
  const float magnitude = std::fabs(value);
  const float even = RoundTiesEven(magnitude);
  return std::copysign(magnitude - even == 0.5f ? even + 1.0f : even, value);
}

/// e4m3 code of `value`: nearest-even; |value| >= 448, Inf and NaN saturate to 448, sign kept.
inline uint8_t E4m3FromFloat(float value) {
  constexpr uint32_t kLargest = 0x43e00000u;    // 448
  constexpr uint32_t kMinNormal = 0x3c800000u;  // 2^-6
  const uint32_t magnitude = MagnitudeBits(value);
  const uint32_t sign = (FloatBits(value) >> 24) & 0x80u;
  // Both, then a choice: branches on weights are mispredicted.
  const float shifted = std::bit_cast<float>(magnitude) + 16384.0f;  // units of 2^-9
  const uint32_t tiny = FloatBits(shifted) - FloatBits(16384.0f);
  const uint32_t normal = (magnitude - (120u << 23) + 0x7ffffu + ((magnitude >> 20) & 1u)) >> 20;
  const uint32_t code = magnitude < kMinNormal ? tiny : magnitude < kLargest ? normal : 0x7eu;
  return static_cast<uint8_t>(sign | code);
}

/// MLX's CPU code: the first smallest float32 distance in table order. So ties go to the smaller
/// magnitude, -0 never occurs, and NaN, Inf and values too large to tell distances apart give 0.
inline uint8_t Fp4FirstNearest(float value) {
  constexpr float kDistancesExact = 65536.0f;
  const float magnitude = std::fabs(value);
  if (magnitude <= kDistancesExact) {
    const int code = (magnitude > 0.25f) + (magnitude > 0.75f) + (magnitude > 1.25f) +
                     (magnitude > 1.75f) + (magnitude > 2.5f) + (magnitude > 3.5f) +
                     (magnitude > 5.0f);
    return static_cast<uint8_t>(code != 0 && value < 0 ? code + 8 : code);
  }
  uint8_t best = 0;
  for (uint8_t code = 1; code < 16; ++code) {
    if (std::fabs(value - kFp4Values[code]) < std::fabs(value - kFp4Values[best])) best = code;
  }
  return best;
}

/// The GPU kernels' code: ties to the even code, the sign is kept on zero, NaN gives 7.
inline uint8_t Fp4TiesEven(float value) {
  if (std::isnan(value)) return 7;
  const float magnitude = std::fabs(value);
  const int code = (magnitude > 0.25f) + (magnitude >= 0.75f) + (magnitude > 1.25f) +
                   (magnitude >= 1.75f) + (magnitude > 2.5f) + (magnitude >= 3.5f) +
                   (magnitude > 5.0f);
  return static_cast<uint8_t>(std::signbit(value) ? code + 8 : code);
}

/// Smallest e with 2^e >= value; value is positive and finite.
inline int CeilLog2(float value) {
  const uint32_t bits = FloatBits(value);
  if (bits < 0x00800000u) return CeilLog2(value * 0x1p24f) - 24;  // subnormal: scale it up
  return static_cast<int>(bits >> 23) - 127 + ((bits & 0x7fffffu) != 0);
}

/// 2^exponent, for -149..127.
inline float PowerOfTwo(int exponent) {
  if (exponent < -126) return std::bit_cast<float>(1u << (exponent + 149));
  return std::bit_cast<float>(static_cast<uint32_t>(exponent + 127) << 23);
}

}  // namespace moe
