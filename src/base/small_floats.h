#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>

#include "base/float_convert.h"

namespace moe {

// Values of the codes of 8- and 4-bit floats (checkpoints.md section 11).

/// Values of the 256 e4m3 codes; 0x7f and 0xff are NaN.
inline constexpr std::array<float, 256> kE4m3Values = [] {
  std::array<float, 256> values{};
  for (unsigned code = 0; code < 256; ++code) {
    const unsigned exponent = (code >> 3) & 15u, mantissa = code & 7u;
    float value = exponent == 0 ? static_cast<float>(mantissa) : static_cast<float>(8 + mantissa);
    for (unsigned e = 1; e < exponent; ++e) value *= 2.0f;
    value *= 0x1p-9f;
    if (exponent == 15 && mantissa == 7) value = std::numeric_limits<float>::quiet_NaN();
    values[code] = (code & 0x80u) ? -value : value;
  }
  return values;
}();

/// Values of the 256 e8m0 codes: 2^(code - 127); code 0 is a subnormal, 255 is infinity (2^128), as
/// in MLX; in OCP MX v1.0 it is NaN.
inline constexpr std::array<float, 256> kE8m0Values = [] {
  std::array<float, 256> values{};
  values[0] = 0x1p-127f;
  for (uint32_t code = 1; code < 256; ++code) values[code] = std::bit_cast<float>(code << 23);
  return values;
}();

/// Magnitudes of fp4 (e2m1) codes 0..7, then the negative ones 8..15.
inline constexpr std::array<float, 16> kFp4Values = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,
                                                     4.0f,  6.0f,  -0.0f, -0.5f, -1.0f, -1.5f,
                                                     -2.0f, -3.0f, -4.0f, -6.0f};

/// Values of the 256 e5m2 codes: the upper byte of a half.
inline constexpr std::array<float, 256> kE5m2Values = [] {
  std::array<float, 256> values{};
  for (uint32_t code = 0; code < 256; ++code) {
    values[code] = HalfToFloat(static_cast<uint16_t>(code << 8));
  }
  return values;
}();

}  // namespace moe
