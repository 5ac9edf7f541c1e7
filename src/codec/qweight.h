#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/little_endian.h"
#include "codec/config_words.h"
#include "codec/scaled_codes.h"

namespace moe {

// What GPTQ and AWQ have in common (checkpoints.md section 7): codes in 32-bit words, stored [in,
// out], and for each group of inputs a row of zero points and a row of scales:
//   w[o, i] = scales[g, o] * (code[i, o] - zero[g, o]), g the group of input i.

/// X.qweight and the tensors beside it: matrices of at least one element, of fitting dtypes.
struct Qweight {
  std::string place;  ///< where of an error
  std::string stem;   ///< "X"
  TensorRef codes, zeros, scales;
  uint64_t outputs = 0,
           groups = 0;  ///< scales and zeros have `groups` rows, scales `outputs` columns
  bool packed_along_outputs = false;  ///< AWQ; else GPTQ
};

/// nullopt: `payload` is no X.qweight of integers. kMalformed or kUnsupported: it is one, but its
/// tensors or quant_method fit neither GPTQ nor AWQ.
Result<std::optional<Qweight>> FindQweight(const TensorRef& payload, const TensorIndex& tensors,
                                           const QuantWords& words);

/// Whether the groups are as many as the config's group_size makes of `inputs`, and the codes as
/// wide as it says.
Result<void> CheckGroups(const Qweight& found, const QuantWords& words, uint64_t inputs,
                         uint64_t bits);

/// Decodes by blocks of kInputs x kOutputs, since words run along the outputs and tiles along the
/// inputs.
class QweightDecoder : public TileDecoder {
 public:
  struct Layout {
    uint64_t inputs = 0, outputs = 0, groups = 0;
    uint64_t group_size = 0;  ///< group of input i: i / group_size; 0: g_idx tells
    DType scale_dtype = DType::kF16;
  };

  /// `parts`: codes, zeros, scales and optionally I32 [inputs], the group of each input (checked).
  QweightDecoder(const Layout& layout, std::vector<TensorBytes> parts);

  Result<void> Read(uint64_t matrix, const Tile& tile, float* out) const override;

  /// The zero point that all groups and outputs share; nullopt: they differ.
  std::optional<uint32_t> OnlyZero() const;

 protected:
  /// The codes of `input`, of outputs [output, output + count).
  virtual void Codes(uint64_t input, uint64_t output, size_t count, uint32_t* codes) const = 0;
  /// The zero points of `group`, of outputs [output, output + count).
  virtual void Zeros(uint64_t group, uint64_t output, size_t count, uint32_t* zeros) const = 0;

  std::span<const std::byte> part(size_t number) const { return parts_[number].data; }

 private:
  static constexpr size_t kInputs = 64, kOutputs = 64;

  uint64_t GroupOf(uint64_t input) const;
  void DecodeBlock(uint64_t input, uint64_t inputs, uint64_t output, size_t outputs,
                   float* block) const;

  Layout layout_;
  std::vector<TensorBytes> parts_;
  ScaleGrid scales_;  // [groups, outputs]
};

/// Groups have as many inputs as the config says, where that gives so many groups; else inputs /
/// groups when it is a power of two (then no other number gives as many). Not told otherwise, as
/// the last group may be a short one: 0 where `g_idx` tells groups, else kMalformed.
Result<QweightDecoder::Layout> LayoutOf(const Qweight& found, const QuantWords& words,
                                        uint64_t inputs, bool g_idx = false);

/// How the codes of a weight lie: a row of words for so many inputs, each word of so many outputs.
struct QweightPacking {
  uint64_t inputs = 1, word_rows = 1;  ///< so many inputs share so many rows
  uint64_t outputs = 1;                ///< of a word
};

/// `ranges_of` of a weight of QweightWeight(). Zero points are needed as a whole, since opening may
/// look at all of them; with `g_idx` so are the scales.
RangesOfMatrix QweightRanges(const Weight& weight, const QweightDecoder::Layout& layout,
                             const QweightPacking& packing, bool g_idx = false);

/// The weight "X.weight" [outputs, inputs] of codes, zeros and scales, without `open`, with storage
/// "SCHEME_g128" ("SCHEME_channel" for one group, "SCHEME" where the group's size is 0).
Weight QweightWeight(const Qweight& found, const QweightDecoder::Layout& layout,
                     std::string_view scheme);

/// Whether each zero point is 2^(bits - 1), as those of a symmetric checkpoint are. `entry` of the
/// config says that it is one.
Result<void> CheckSymmetric(const QweightDecoder& array, unsigned bits, const std::string& place,
                            const std::string& entry);

inline uint32_t WordAt(std::span<const std::byte> words, uint64_t index) {
  return LoadLittleEndian<uint32_t>(words, index * sizeof(uint32_t));
}

}  // namespace moe
