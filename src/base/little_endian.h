#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <span>

namespace moe {

/// The unsigned integer at byte `at` of `bytes` (which must hold it), least byte first, unaligned.
template <class Unsigned>
Unsigned LoadLittleEndian(std::span<const std::byte> bytes, size_t at = 0) {
  assert(at + sizeof(Unsigned) <= bytes.size());
  std::array<std::byte, sizeof(Unsigned)> raw;
  std::memcpy(raw.data(), bytes.data() + at, raw.size());
  if constexpr (std::endian::native == std::endian::big) std::reverse(raw.begin(), raw.end());
  return std::bit_cast<Unsigned>(raw);
}

/// Writes `value` at `out`, least byte first, unaligned.
template <class Unsigned>
void StoreLittleEndian(Unsigned value, std::byte* out) {
  auto raw = std::bit_cast<std::array<std::byte, sizeof(Unsigned)>>(value);
  if constexpr (std::endian::native == std::endian::big) std::reverse(raw.begin(), raw.end());
  std::memcpy(out, raw.data(), raw.size());
}

}  // namespace moe
