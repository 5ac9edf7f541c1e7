#pragma once

#include <bit>
#include <cstdint>

namespace moe {

// Exact conversions between binary32 and the two 16-bit formats, in integer arithmetic: the same
// bits on every machine, whatever the CPU's rounding mode, denormal mode or instruction set.
// To 16 bits: nearest-even, overflow to infinity, subnormals kept, a NaN stays a (quiet) NaN.

// Written with selects instead of branches, so that a loop over it becomes SIMD.
constexpr float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  const uint32_t rebias = magnitude >= 0x7c00u ? 224u << 23 : 112u << 23;  // Inf and NaN: to 255
  const uint32_t normal = (magnitude << 13) + rebias;
  const float small = static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f;
  const uint32_t subnormal = std::bit_cast<uint32_t>(small);
  return std::bit_cast<float>(sign | (magnitude < 0x400u ? subnormal : normal));
}

constexpr uint16_t FloatToHalf(float value) {
  constexpr uint32_t kInfinity = 0x7f800000u;
  constexpr uint32_t kOverflow = 0x477ff000u;   // 65520, halfway from the largest half to 2^16
  constexpr uint32_t kMinNormal = 0x38800000u;  // 2^-14
  constexpr uint32_t kUnderflow = 0x33000000u;  // 2^-25, halfway from 0 to the smallest subnormal
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half = 0;
  if (magnitude > kInfinity) {
    half = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
  } else if (magnitude >= kOverflow) {
    half = 0x7c00u;
  } else if (magnitude >= kMinNormal) {
    half = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  } else if (magnitude > kUnderflow) {
    const uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    const uint32_t shift = 126u - (magnitude >> 23);  // 14..24: leaves units of 2^-24
    const uint32_t odd = (mantissa >> shift) & 1u;
    half = (mantissa + (1u << (shift - 1)) - 1u + odd) >> shift;
  }
  return static_cast<uint16_t>(sign | half);
}

constexpr float BFloat16ToFloat(uint16_t bfloat) {
  return std::bit_cast<float>(static_cast<uint32_t>(bfloat) << 16);
}

constexpr uint16_t FloatToBFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

constexpr float RoundToHalf(float value) { return HalfToFloat(FloatToHalf(value)); }

constexpr float RoundToBFloat16(float value) { return BFloat16ToFloat(FloatToBFloat16(value)); }

}  // namespace moe
