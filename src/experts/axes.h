#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "experts/layout.h"

namespace moe {

/// What is known about a stack [experts, a, b] whose name stands for both orders of the axes
/// (formats.md 10.1).
struct StackShapes {
  using Shape = std::optional<std::vector<uint64_t>>;

  bool is_fused = false, is_down = false;  ///< what `own` is: gate_up_proj, down_proj; else up_proj
  std::vector<uint64_t> own;
  Shape fused, down;               ///< of the same module, `own` included; nullopt: not there
  std::optional<uint64_t> hidden;  ///< what experts take and give
  std::optional<uint64_t> width;   ///< of an expert
};

/// True: [E, out, in]; false: [E, in, out]. gate_up [E, A, B] and down [E, C, D] are out x in when
/// A = 2D and B = C, in x out when B = 2C and A = D; both at once is impossible. Where they fit
/// each other in neither way, or one is not there, the sizes of the config decide for each alone. A
/// question left open is refused, not guessed.
Checked<bool> OutputsFirst(const StackShapes& shapes);

/// All experts along the rows of a matrix [E * out, in], or with `transposed` [E * in, out] (DBRX).
Checked<BankShape> FlatStack(std::span<const uint64_t> shape, uint64_t experts, bool transposed);

}  // namespace moe
