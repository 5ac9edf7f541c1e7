#pragma once

#include <cstddef>
#include <cstdint>

#include "measure/quant_modes.h"
#include "moescope/error.h"
#include "moescope/quantize.h"

namespace moe {

/// Consecutive groups of one scheme and what becomes of them; the caller owns every array.
struct GroupRun {
  const float* x = nullptr;  ///< [groups * group_size], values exact in T
  size_t groups = 0;
  float* scales = nullptr;   ///< [groups] as stored: a number, or the byte 0..255 of scale_values
  float* biases = nullptr;   ///< [groups] rounded to T; written by modes with a bias only
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

/// How affine encodes one group: not yet rounded to T, codes come from these.
struct AffineFit {
  float scale, bias;
};

/// A scheme that applies to a matrix, resolved to the functions that simulate it.
struct Quantizer {
  /// What loops and their arrays have room for; MakeQuantizer() refuses the rest.
  static constexpr size_t kLeastGroupSize = 16;  ///< and what a group size is a multiple of
  static constexpr size_t kMostGroupSize = 128;
  static constexpr unsigned kMostBits = 8;

  const QuantMode* mode = nullptr;
  QuantEncoder encoder;
  ComputeDType dtype = ComputeDType::kF32;
  QuantProfile profile = QuantProfile::kMlxCpu;
  unsigned bits = 0;
  size_t group_size = 0;
  bool search = false;  ///< QuantScheme::search()

  /// The number that a stored scale stands for; in double, since e8m0 code 255 is 2^128.
  double DecodedScale(float stored) const;
  /// Bits of codes, scale and bias for each element.
  double BitsPerWeight() const;
};

bool IsGpu(QuantProfile profile);
bool IsLegacy(QuantProfile profile);
size_t BytesOf(ComputeDType dtype);

/// Resolves `scheme` for a [rows, cols] matrix; what is searched has the profile kMlxCpu. Fails as
/// mx.quantize would: same class, same text, same order of checks.
Result<Quantizer> MakeQuantizer(const QuantScheme& scheme, QuantProfile profile, ComputeDType dtype,
                                uint64_t rows, uint64_t cols);
/// The same for a `mode` that may stand in no table; it outlives the quantizer.
Result<Quantizer> MakeQuantizer(const QuantMode& mode, const QuantScheme& scheme,
                                QuantProfile profile, ComputeDType dtype, uint64_t rows,
                                uint64_t cols);

}  // namespace moe
