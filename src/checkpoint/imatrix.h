#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace moe {

/// One entry of llama.cpp's old importance matrix. A view into the file's bytes.
struct LegacyImatrixEntry {
  std::string_view name;
  uint32_t calls = 0;                 ///< what each value was multiplied by
  std::span<const std::byte> values;  ///< float32, little-endian: 4 bytes each, at least one
};

/// The entries of an old importance matrix (checkpoints.md 9.1), which has no magic: every entry
/// must fit, and the file must end where the last one or the tail behind it does. Only the few
/// bytes in front of each entry's values are touched. nullopt: it is none.
std::optional<std::vector<LegacyImatrixEntry>> ReadLegacyImatrix(std::span<const std::byte> bytes);

/// True for a file that ReadLegacyImatrix() reads; false for what can't be read.
bool LooksLikeLegacyImatrix(const std::filesystem::path& path);

}  // namespace moe
