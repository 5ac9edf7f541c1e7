#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "moescope/error.h"
#include "moescope/quantize.h"

namespace moe {

/// Consecutive groups of one scheme and what becomes of them; the caller owns
/// every array.
struct GroupRun {
  const float* x = nullptr;  ///< [groups * group_size], values exact in T
  size_t groups = 0;
  float* scales = nullptr;   ///< [groups] as stored: affine rounded to T, else
                             ///< the byte 0..255
  float* biases = nullptr;   ///< [groups] rounded to T; written by affine only
  float* w_hat = nullptr;    ///< [groups * group_size], rounded to T
  uint8_t* codes = nullptr;  ///< [groups * group_size], or null when they are not wanted
  uint64_t clipped = 0;      ///< out: elements outside the codes' range (D24)
};

/// How a float mode encodes one group.
struct FloatFit {
  uint8_t byte;  ///< the stored scale
  float factor;  ///< elements are divided by it on the CPU, multiplied with it on the GPU
  float scale;   ///< what element values are multiplied with to reconstruct
};

/// What a code stands for.
enum class ElementKind { kAffine, kFp4, kE4m3 };

/// A scheme that applies to a matrix, resolved to the function that simulates
/// it.
struct Quantizer {
  using Run = void (*)(const Quantizer& quantizer, GroupRun& run);
  /// From the largest magnitude of a group without Inf and NaN.
  using Fit = FloatFit (*)(float largest, bool legacy);

  Run run = nullptr;  ///< the portable one: every field of GroupRun, every input
  Fit fit = nullptr;  ///< float modes
  ElementKind element = ElementKind::kAffine;
  ComputeDType dtype = ComputeDType::kF32;
  QuantProfile profile = QuantProfile::kMlxCpu;
  unsigned bits = 0;
  size_t group_size = 0;
  bool has_bias = false;
  /// Float modes: values of the 256 scale bytes, and the largest element value
  /// M.
  const std::array<float, 256>* scale_values = nullptr;
  float largest = 0;

  /// The number that a stored scale stands for; in double, since e8m0 code 255 is 2^128.
  double DecodedScale(float stored) const;
  /// Bits of codes, scale and bias for each element.
  double BitsPerWeight() const;
};

bool IsGpu(QuantProfile profile);
bool IsLegacy(QuantProfile profile);
size_t BytesOf(ComputeDType dtype);

/// Resolves `scheme` for a [rows, cols] matrix. Fails as mx.quantize would:
/// same class, same text, same order of checks.
Result<Quantizer> MakeQuantizer(const QuantScheme& scheme, QuantProfile profile, ComputeDType dtype,
                                uint64_t rows, uint64_t cols);

}  // namespace moe
