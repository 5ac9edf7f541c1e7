#pragma once

#include <cassert>
#include <cstddef>
#include <span>

namespace moe {

/// The unsigned integer at byte `at` of `bytes` (which must hold it), least byte first, unaligned.
template <class Unsigned>
Unsigned LoadLittleEndian(std::span<const std::byte> bytes, size_t at = 0) {
  assert(at + sizeof(Unsigned) <= bytes.size());
  Unsigned value = 0;
  for (size_t i = sizeof(Unsigned); i-- > 0;) {
    value = static_cast<Unsigned>(value << 8 | std::to_integer<Unsigned>(bytes[at + i]));
  }
  return value;
}

}  // namespace moe
