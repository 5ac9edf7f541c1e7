#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace moe {

struct AffineFit;
struct FloatFit;
struct GroupRun;
struct Quantizer;

/// The SIMD kernel that sums a mode's errors (error_kernels.cc). The first one takes what the
/// mode's own encoder makes: slow, and right for every mode, so a new one begins with it.
enum class ErrorKernel : uint8_t { kPortable, kAffine, kMxfp4, kMxfp8, kNvfp4 };

/// What simulates a mode on weights of one dtype.
struct QuantEncoder {
  using Run = void (*)(const Quantizer& quantizer, GroupRun& run);
  using Fit = FloatFit (*)(float largest, bool legacy);
  using FitRange = AffineFit (*)(float lo, float hi, unsigned bits);

  Run run = nullptr;  ///< portable: fills every field of GroupRun, for every input
  Fit fit = nullptr;  ///< float modes: from the largest magnitude of a group without Inf and NaN
  FitRange fit_range = nullptr;  ///< affine: from the smallest and largest of such a group
};
/// For float32, float16, bfloat16: the order of ComputeDType.
using QuantEncoders = std::array<QuantEncoder, 3>;

/// A quantization mode: all that is to be said of it, in one row (quant_modes.cc).
struct QuantMode {
  std::string_view name;
  std::span<const int64_t> bits, group_sizes;  ///< what mx.quantize takes
  /// Of a config that leaves them out: the mode's only value; of affine the contract's.
  int64_t default_bits = 0, default_group_size = 0;

  unsigned scale_bits = 0;  ///< of a stored scale, and bias; 0: as wide as the weights' dtype
  bool has_bias = false;    ///< a bias for each group beside the scale
  /// What the 256 stored scales stand for; nullptr: a scale is stored as the number that it is.
  const std::array<float, 256>* scale_values = nullptr;
  float largest = 0;  ///< the largest element value, times the scale; 0: codes clamp (affine)
  uint64_t cpu_elements = 1;  ///< MLX's CPU graph takes only a multiple of these from a matrix

  ErrorKernel kernel = ErrorKernel::kPortable;
  const QuantEncoders* cpu = nullptr;  ///< of the profiles mlx-cpu, mlx-cpu-legacy
  const QuantEncoders* gpu = nullptr;  ///< of the profiles mlx-gpu, mlx-gpu-legacy
};

std::span<const QuantMode> QuantModes();
const QuantMode* FindQuantMode(std::string_view name);  ///< nullptr: no such mode

/// The bits of a group's scale, and bias; `float_bits`: of the weights' dtype.
unsigned GroupBits(const QuantMode& mode, unsigned float_bits);
/// What a weight takes with its share of scale and bias (contract D24).
double BitsPerWeight(const QuantMode& mode, int64_t bits, int64_t group_size, unsigned float_bits);

}  // namespace moe
