#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace moe {

/// A quantization mode of MLX and what mx.quantize takes in it (mlx-quantization.md section 1).
struct QuantMode {
  std::string_view name;
  std::span<const int64_t> bits, group_sizes;
  /// What a config means that leaves them out: the only value there is; for affine the contract's.
  int64_t default_bits, default_group_size;
};

std::span<const QuantMode> QuantModes();
const QuantMode* FindQuantMode(std::string_view name);  ///< nullptr: no such mode

}  // namespace moe
