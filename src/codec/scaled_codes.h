#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "codec/part_layout.h"
#include "codec/tile_decoder.h"
#include "codec/weight.h"

namespace moe {

/// Scales (or offsets) of a weight: one for each block of each matrix.
struct ScaleGrid {
  TensorBytes bytes = {};
  DType dtype = DType::kF32;                      ///< F32, F16, BF16, or of 8 bits
  const std::array<float, 256>* codes = nullptr;  ///< values of 8-bit ones
  bool shared = false;                            ///< one grid for all matrices
  uint64_t rows = 1, cols = 1;                    ///< of the grid
  uint64_t block_rows = 1, block_cols = 1;        ///< weights that share a scale; edges are partial

  float At(uint64_t matrix, uint64_t grid_row, uint64_t grid_col) const;
};

/// Codes of one width in rows, each an LSB-first bit stream, and a scale for each block:
///   value = (element(code) - zero) * (scale * factor) + bias
/// which is nearly every way of storing quantized weights (checkpoints.md sections 3 to 6).
struct ScaledCodes {
  TensorBytes bytes = {};
  uint64_t rows = 0, cols = 0;           ///< of a matrix
  unsigned bits = 8;                     ///< 1..8
  uint64_t row_bytes = 0;                ///< 0: cols codes fill them
  unsigned codes_per_word = 0;           ///< not 0: 32-bit words with unused top bits
  std::array<float, 256> elements = {};  ///< value of each code
  ScaleGrid scales = {};
  std::optional<ScaleGrid> biases = {};  ///< blocks as those of scales
  /// Zero point of the block at (matrix, row, grid column), in units of elements; empty: 0.
  std::function<float(uint64_t matrix, uint64_t row, uint64_t grid_col)> zero = {};
  /// What scales are multiplied with, or divided by; empty: 1.
  std::function<float(uint64_t matrix, uint64_t row)> factor = {};
  bool divides = false;
  /// Grid column of each column where groups are not in order (act-order); empty: col / block_cols.
  std::vector<uint32_t> group_of_col = {};
};

/// Takes from the bytes of the parts behind payload and scales what only they tell (biases, zero
/// points, factors, order of columns), and checks it.
using ReadCompanions =
    std::function<Result<void>(std::span<TensorBytes> companions, ScaledCodes& codes)>;

/// The parts behind payload and scales.
struct Companions {
  ReadCompanions read = nullptr;
  std::vector<PartLayout> layouts = {};  ///< of each; not told: all of it is needed
};

/// A decoder of what scaled codes give, where that is not the value yet.
using WrapDecoder =
    std::shared_ptr<const TileDecoder> (*)(std::shared_ptr<const TileDecoder> scaled);

/// A weight of scaled codes. `weight` says its name, shape, storage and parts: payload, scales,
/// then the others. The rest of it, and sizes, bytes and the dtype of scales in `codes`, come from
/// these.
Weight ScaledWeight(Weight weight, ScaledCodes codes, const Companions& companions = {},
                    WrapDecoder wrap = nullptr);

/// How a grid lies whose values have `dtype`.
PartLayout LayoutOf(const ScaleGrid& grid, DType dtype);

/// F32 factors of the scales of whole matrices (NVFP4): one for all matrices, or `parts` for each,
/// which share its rows evenly.
struct GlobalScale {
  TensorRef tensor;
  std::string_view name;  ///< for errors: "global_scale"
  uint64_t parts = 1;
  bool divides = false;  ///< scales are divided by it
  float unit = 1.0f;     ///< what stands for a factor of 1
};

/// Reads the first companion as `global`. kMalformed where a factor is negative or not finite, or
/// scales would be divided by 0.
ReadCompanions ReadGlobalScale(const TensorRef& payload, const GlobalScale& global);

std::array<float, 256> IntegerElements(int64_t offset);  ///< code + offset
std::array<float, 256> Fp4Elements();                    ///< e2m1
inline constexpr std::array<float, 256> kInt8Values = [] {
  std::array<float, 256> values{};
  for (int code = 0; code < 256; ++code) values[code] = static_cast<int8_t>(code);
  return values;
}();

/// Element `index` of `floats`, of little-endian F32, F16 or BF16.
float FloatAt(std::span<const std::byte> floats, uint64_t index, DType dtype = DType::kF32);

/// The part of `name` before `suffix`; nullopt: it doesn't end with it.
std::optional<std::string_view> StemOf(std::string_view name, std::string_view suffix);

/// Axes before the last two multiplied. Shapes were checked by the reader.
uint64_t MatricesOf(std::span<const uint64_t> shape);

/// `shape` with its last two axes replaced.
std::vector<uint64_t> WithLastAxes(std::span<const uint64_t> shape, uint64_t rows, uint64_t cols);

inline uint64_t CeilDiv(uint64_t a, uint64_t b) { return a / b + (a % b != 0 ? 1 : 0); }
bool IsScaleFloat(DType dtype);   ///< F32, F16 or BF16
bool IsByteScale(DType dtype);    ///< U8 or F8_E8M0: 2^(b - 127)
bool IsWord(DType dtype);         ///< I32 or U32
DType HalfOrOpaque(DType dtype);  ///< F16 and BF16 as they are, kOpaque for others

/// A group of columns that is not as large as it must be.
struct UnevenGroup {
  uint64_t group = 0, columns = 0, wanted = 0;
};

/// The first of `groups` that has not `size` columns (0: as many as the largest), or the last one
/// not the rest. Permuting columns, as act-order does, changes no count. Groups are in range.
std::optional<UnevenGroup> FindUnevenGroup(std::span<const uint32_t> group_of_col, uint64_t groups,
                                           uint64_t size);

/// "tensor 'X': expected WANT, found NAME [..] DTYPE" (or "found none").
tl::unexpected<Error> WrongCompanion(const TensorRef& payload, const std::string& want,
                                     const std::optional<TensorRef>& found);

}  // namespace moe
