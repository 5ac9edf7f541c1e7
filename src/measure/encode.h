#pragma once

#include <cstddef>
#include <cstdint>

#include "measure/quantizer.h"

// Weights as the bytes that MLX's files hold. Groups are consecutive, as rows are: what a tile of
// whole rows becomes lies side by side in each of the tensors, so a matrix may be encoded in any
// pieces of whole groups. The bytes are the same for every SIMD target, those of QuantizeMatrix().

namespace moe {

/// What one group takes in each of the tensors.
struct GroupBytes {
  size_t codes = 0;  ///< of the packed little-endian words
  size_t scale = 0;  ///< 1 of float modes, else those of T
  size_t bias = 0;   ///< 0 of modes without
};
GroupBytes GroupBytesOf(const Quantizer& quantizer);

/// Where the bytes of groups go; the caller owns every array.
struct EncodedGroups {
  std::byte* codes = nullptr;
  std::byte* scales = nullptr;
  std::byte* biases = nullptr;  ///< null where a bias takes no bytes
};

/// Encodes [groups * group_size] values that are exact in T, whatever they are.
void EncodeGroups(const Quantizer& quantizer, const float* x, size_t groups,
                  const EncodedGroups& out);

/// The same form, and of each group the scale and bias with the least squared error that a search
/// finds: affine over ranges within the group's, mx modes over two exponents, nvfp4 over five
/// scales. Never worse than EncodeGroups(), which MLX's GPU profiles and weights that are not
/// finite get. The same bytes for every SIMD target.
void SearchGroups(const Quantizer& quantizer, const float* x, size_t groups,
                  const EncodedGroups& out);

/// What SearchGroups() makes, decoded as MLX does: as QuantEncoder::run, but for `clipped`.
void RunSearch(const Quantizer& quantizer, GroupRun& run);

/// Packs codes of `bits` bits each, least significant first: code i takes bits [i * bits,
/// (i + 1) * bits). `count` is a multiple of 8; out has count * bits / 8 bytes.
void PackCodes(const uint8_t* codes, size_t count, unsigned bits, std::byte* out);

/// `value` in T, little-endian, as MLX writes it: its NaN has one pattern of 16 bits.
void StoreFloat(ComputeDType dtype, float value, std::byte* out);

}  // namespace moe
