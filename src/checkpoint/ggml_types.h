#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "moescope/dtype.h"

namespace moe {

/// A tensor type of ggml (checkpoints.md 8.5): blocks of `block_elements` values in `block_bytes`
/// bytes.
struct GgmlType {
  uint32_t id;
  std::string_view name;  ///< as the gguf package writes it: "Q4_K"
  uint32_t block_elements, block_bytes;
  DType dtype = DType::kOpaque;  ///< of plain types
};

/// nullopt: removed, of a fork, or newer than this table.
std::optional<GgmlType> FindGgmlType(uint32_t id);

}  // namespace moe
