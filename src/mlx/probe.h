#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "moescope/quantize.h"

namespace moe {

class MlxBackend;

/// One thing that MLX's kernels do in different ways (mlx-quantization.md section 6), and which way
/// an MLX goes.
struct ProbeAnswer {
  std::string name;     ///< "affine_ties", "rounds_bf16"
  std::string meaning;  ///< what was tried, for people
  /// The profiles that give the same scales, biases, codes and reconstruction, with "+" between
  /// them, or "none"; of rounds_*: "once", "twice" or "neither". Of an error of MLX, its words.
  std::string answer;
};

/// Quantizes small matrices made for that with the real MLX, on the device it was opened for.
std::vector<ProbeAnswer> ProbeMlx(const MlxBackend& mlx);

/// The matrices that tell profiles apart: a row of `cols` weights each, exact in `dtype`.
struct MlxProbe {
  std::string_view name, meaning;
  QuantScheme scheme;
  ComputeDType dtype;
  std::vector<float> weights;
};
std::vector<MlxProbe> MlxProbes();

}  // namespace moe
