#include "codec/scaled_codes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/float_convert.h"
#include "base/little_endian.h"
#include "base/small_floats.h"
#include "checkpoint/names.h"

namespace moe {
namespace {

constexpr size_t kChunk = 256;

/// Codes [first, first + count) of an LSB-first bit stream of `bits` wide codes.
void UnpackBits(std::span<const std::byte> stream, unsigned bits, uint64_t first, size_t count,
                uint8_t* out) {
  if (bits == 8) {
    std::memcpy(out, stream.data() + first, count);
    return;
  }
  const unsigned mask = (1u << bits) - 1;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t bit = (first + i) * bits;
    const size_t byte = bit / 8;
    unsigned pair = std::to_integer<unsigned>(stream[byte]);
    if (bit % 8 + bits > 8) pair |= std::to_integer<unsigned>(stream[byte + 1]) << 8;
    out[i] = static_cast<uint8_t>((pair >> (bit % 8)) & mask);
  }
}

class ScaledDecoder : public TileDecoder {
 public:
  explicit ScaledDecoder(ScaledCodes codes) : codes_(std::move(codes)) {}

  Result<void> Read(uint64_t matrix, const Tile& tile, float* out) const override {
    for (uint64_t r = 0; r < tile.rows; ++r) {
      ReadRow(matrix, tile.row + r, tile.col, tile.cols, out + r * tile.cols);
    }
    return {};
  }

 private:
  void ReadRow(uint64_t matrix, uint64_t row, uint64_t col, uint64_t count, float* out) const {
    const std::span<const std::byte> stream = codes_.bytes.data.subspan(
        (matrix * codes_.rows + row) * codes_.row_bytes, codes_.row_bytes);
    const float factor = codes_.factor ? codes_.factor(matrix, row) : 1.0f;
    std::array<uint8_t, kChunk> chunk;
    for (uint64_t done = 0; done < count;) {
      const uint64_t at = col + done;
      const uint64_t block = codes_.scales.block_cols;
      const uint64_t room = codes_.group_of_col.empty() ? block - at % block : kChunk;
      const size_t size = static_cast<size_t>(std::min<uint64_t>({kChunk, count - done, room}));
      Unpack(stream, at, size, chunk.data());
      if (codes_.group_of_col.empty()) {
        Decode(Block(matrix, row, at / block, factor), chunk.data(), size, out + done);
      } else {
        for (size_t i = 0; i < size; ++i) {
          Decode(Block(matrix, row, codes_.group_of_col[at + i], factor), &chunk[i], 1,
                 out + done + i);
        }
      }
      done += size;
    }
  }

  struct BlockTerms {
    float scale, bias, zero;
  };

  BlockTerms Block(uint64_t matrix, uint64_t row, uint64_t group, float factor) const {
    const uint64_t grid_row = row / codes_.scales.block_rows;
    const float scale = codes_.scales.At(matrix, grid_row, group);
    return {codes_.divides ? scale / factor : scale * factor,
            codes_.biases ? codes_.biases->At(matrix, grid_row, group) : 0.0f,
            codes_.zero ? codes_.zero(matrix, row, group) : 0.0f};
  }

  void Decode(const BlockTerms& block, const uint8_t* codes, size_t size, float* out) const {
    if (codes_.biases) {
      for (size_t i = 0; i < size; ++i) {
        out[i] = codes_.elements[codes[i]] * block.scale + block.bias;
      }
    } else {
      for (size_t i = 0; i < size; ++i) {
        out[i] = (codes_.elements[codes[i]] - block.zero) * block.scale;
      }
    }
  }

  void Unpack(std::span<const std::byte> stream, uint64_t first, size_t count, uint8_t* out) const {
    if (codes_.codes_per_word == 0) return UnpackBits(stream, codes_.bits, first, count, out);
    const unsigned mask = (1u << codes_.bits) - 1;
    for (size_t i = 0; i < count; ++i) {
      const uint64_t code = first + i;
      const auto word = LoadLittleEndian<uint32_t>(stream, code / codes_.codes_per_word * 4);
      out[i] = static_cast<uint8_t>((word >> (code % codes_.codes_per_word * codes_.bits)) & mask);
    }
  }

  ScaledCodes codes_;
};

}  // namespace

float ScaleGrid::At(uint64_t matrix, uint64_t grid_row, uint64_t grid_col) const {
  const uint64_t index = ((shared ? 0 : matrix) * rows + grid_row) * cols + grid_col;
  if (IsScaleFloat(dtype)) return FloatAt(bytes.data, index, dtype);
  return (*codes)[std::to_integer<size_t>(bytes.data[index])];
}

float FloatAt(std::span<const std::byte> floats, uint64_t index, DType dtype) {
  if (dtype == DType::kF32) {
    return std::bit_cast<float>(LoadLittleEndian<uint32_t>(floats, index * 4));
  }
  const auto raw = LoadLittleEndian<uint16_t>(floats, index * 2);
  return dtype == DType::kF16 ? HalfToFloat(raw) : BFloat16ToFloat(raw);
}

PartLayout LayoutOf(const ScaleGrid& grid, DType dtype) {
  return WholeLines(grid.cols * DTypeBits(dtype) / 8, grid.block_rows, grid.shared);
}

namespace {

PartLayout LayoutOf(const ScaledCodes& codes) {
  const PartLayout rows{.kind = PartLayout::Kind::kLines,
                        .weights = codes.codes_per_word,
                        .bytes = sizeof(uint32_t),
                        .line_bytes = codes.row_bytes};
  return codes.codes_per_word != 0 ? rows : WithCodes(rows, codes.bits);
}

}  // namespace

Weight ScaledWeight(Weight weight, ScaledCodes codes, const Companions& companions,
                    WrapDecoder wrap) {
  codes.rows = weight.shape[weight.shape.size() - 2];
  codes.cols = weight.shape.back();
  if (codes.row_bytes == 0) codes.row_bytes = codes.cols * codes.bits / 8;
  codes.scales.dtype = weight.parts[1].info().dtype;
  weight.float_dtype = HalfOrOpaque(codes.scales.dtype);
  std::vector<PartLayout> layouts = {LayoutOf(codes), LayoutOf(codes.scales, codes.scales.dtype)};
  layouts.insert(layouts.end(), companions.layouts.begin(), companions.layouts.end());
  weight.ranges_of = RangesBy(weight, std::move(layouts));
  weight.open =
      OpenTiled(weight,
                [codes = std::move(codes), read = companions.read, wrap](
                    std::vector<TensorBytes> bytes) -> Result<std::shared_ptr<const TileDecoder>> {
                  ScaledCodes opened = codes;
                  opened.bytes = std::move(bytes[0]);
                  opened.scales.bytes = std::move(bytes[1]);
                  if (read) {
                    auto done = read(std::span(bytes).subspan(2), opened);
                    if (!done) return tl::make_unexpected(done.error());
                  }
                  std::shared_ptr<const TileDecoder> decoder =
                      std::make_shared<ScaledDecoder>(std::move(opened));
                  return wrap == nullptr ? decoder : wrap(std::move(decoder));
                });
  return weight;
}

ReadCompanions ReadGlobalScale(const TensorRef& payload, const GlobalScale& global) {
  return [payload, global](std::span<TensorBytes> companions, ScaledCodes& codes) -> Result<void> {
    const uint64_t parts = global.parts, count = companions[0].data.size() / sizeof(float);
    ScaleGrid grid{.bytes = std::move(companions[0]), .shared = count == parts, .cols = parts};
    for (uint64_t i = 0; i < count; ++i) {
      const float value = grid.At(i / parts, 0, i % parts);
      if (std::isfinite(value) && value >= 0 && !(global.divides && value == 0)) continue;
      return WrongCompanion(
          payload, fmt::format("a finite, positive {}, not {}", global.name, value), global.tensor);
    }
    codes.divides = global.divides;
    codes.factor = [grid = std::move(grid), rows = codes.rows / parts, parts, unit = global.unit](
                       uint64_t matrix, uint64_t row) {
      return grid.At(matrix, 0, std::min(row / rows, parts - 1)) / unit;
    };
    return {};
  };
}

std::array<float, 256> IntegerElements(int64_t offset) {
  std::array<float, 256> elements{};
  for (size_t code = 0; code < 256; ++code) {
    elements[code] = static_cast<float>(static_cast<int64_t>(code) + offset);
  }
  return elements;
}

std::array<float, 256> Fp4Elements() {
  std::array<float, 256> elements{};
  std::copy(kFp4Values.begin(), kFp4Values.end(), elements.begin());
  return elements;
}

std::optional<std::string_view> StemOf(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return std::nullopt;
  return name.substr(0, name.size() - suffix.size());
}

uint64_t MatricesOf(std::span<const uint64_t> shape) {
  uint64_t matrices = 1;
  for (size_t i = 0; i + 2 < shape.size(); ++i) matrices *= shape[i];
  return matrices;
}

std::vector<uint64_t> WithLastAxes(std::span<const uint64_t> shape, uint64_t rows, uint64_t cols) {
  std::vector<uint64_t> changed(shape.begin(), shape.end());
  changed[changed.size() - 2] = rows;
  changed[changed.size() - 1] = cols;
  return changed;
}

bool IsScaleFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

bool IsByteScale(DType dtype) { return dtype == DType::kU8 || dtype == DType::kF8E8M0; }

bool IsWord(DType dtype) { return dtype == DType::kI32 || dtype == DType::kU32; }

DType HalfOrOpaque(DType dtype) {
  return dtype == DType::kF16 || dtype == DType::kBF16 ? dtype : DType::kOpaque;
}

std::optional<UnevenGroup> FindUnevenGroup(std::span<const uint32_t> group_of_col, uint64_t groups,
                                           uint64_t size) {
  std::vector<uint64_t> columns(groups);
  for (const uint32_t group : group_of_col) ++columns[group];
  if (size == 0) size = *std::max_element(columns.begin(), columns.end());
  uint64_t rest = group_of_col.size();
  for (uint64_t group = 0; group < groups; ++group) {
    const uint64_t wanted = group + 1 < groups ? size : std::max<uint64_t>(rest, 1);
    if (columns[group] != wanted) return UnevenGroup{group, columns[group], wanted};
    rest -= wanted;
  }
  return std::nullopt;
}

tl::unexpected<Error> WrongCompanion(const TensorRef& payload, const std::string& want,
                                     const std::optional<TensorRef>& found) {
  std::string have = "none";
  if (found) {
    have = fmt::format("{} [{}] {}", Printable(found->info().name),
                       fmt::join(found->info().shape, ", "), found->info().dtype_text);
  }
  return Malformed(
      TensorPlace(payload.info().name),
      fmt::format("its [{}] {} needs {}, found {}", fmt::join(payload.info().shape, ", "),
                  payload.info().dtype_text, want, have));
}

}  // namespace moe
