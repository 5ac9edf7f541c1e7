// Block types of ggml, checkpoints.md 8.5: a row is a run of blocks, each with its own scales.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/checked.h"
#include "base/float_convert.h"
#include "base/little_endian.h"
#include "base/small_floats.h"
#include "base/text.h"
#include "checkpoint/ggml_types.h"
#include "checkpoint/names.h"
#include "codec/codecs.h"
#include "codec/scaled_codes.h"

namespace moe {
namespace {

constexpr uint64_t kLongestBlock = 256;

/// The bytes of one block.
class BlockBytes {
 public:
  explicit BlockBytes(const std::byte* bytes) : bytes_(bytes) {}
  uint32_t operator[](size_t at) const { return std::to_integer<uint32_t>(bytes_[at]); }
  int Signed(size_t at) const { return static_cast<int8_t>(bytes_[at]); }
  float Half(size_t at) const {
    return HalfToFloat(static_cast<uint16_t>((*this)[at] | (*this)[at + 1] << 8));
  }

 private:
  const std::byte* bytes_;
};

/// Decodes one whole block.
using DecodeBlock = void (*)(BlockBytes block, float* out);

float F(uint32_t value) { return static_cast<float>(value); }
float F(int value) { return static_cast<float>(value); }

/// Element e of 32 packed as halves: low nibbles first, then high ones.
uint32_t Nibble(BlockBytes block, size_t qs, uint32_t e) {
  return e < 16 ? block[qs + e] & 15u : block[qs + e - 16] >> 4;
}

void DecodeQ4_0(BlockBytes block, float* out) {
  const float d = block.Half(0);
  for (uint32_t e = 0; e < 32; ++e) out[e] = d * F(static_cast<int>(Nibble(block, 2, e)) - 8);
}

void DecodeQ4_1(BlockBytes block, float* out) {
  const float d = block.Half(0), m = block.Half(2);
  for (uint32_t e = 0; e < 32; ++e) out[e] = d * F(Nibble(block, 4, e)) + m;
}

uint32_t FiveBits(BlockBytes block, size_t qh, size_t qs, uint32_t e) {
  return Nibble(block, qs, e) | ((block[qh + e / 8] >> (e % 8)) & 1u) << 4;
}

void DecodeQ5_0(BlockBytes block, float* out) {
  const float d = block.Half(0);
  for (uint32_t e = 0; e < 32; ++e) {
    out[e] = d * F(static_cast<int>(FiveBits(block, 2, 6, e)) - 16);
  }
}

void DecodeQ5_1(BlockBytes block, float* out) {
  const float d = block.Half(0), m = block.Half(2);
  for (uint32_t e = 0; e < 32; ++e) out[e] = d * F(FiveBits(block, 4, 8, e)) + m;
}

void DecodeQ8_0(BlockBytes block, float* out) {
  const float d = block.Half(0);
  for (uint32_t e = 0; e < 32; ++e) out[e] = d * F(block.Signed(2 + e));
}

/// Two-bit code of element e of 256: byte 32h + r % 32, bits 2(r / 32) on.
uint32_t TwoBits(BlockBytes block, size_t qs, uint32_t e) {
  const uint32_t h = e / 128, r = e % 128;
  return (block[qs + 32 * h + r % 32] >> (2 * (r / 32))) & 3u;
}

void DecodeQ2K(BlockBytes block, float* out) {
  const float d = block.Half(80), dmin = block.Half(82);
  for (uint32_t k = 0; k < 16; ++k) {
    const float scale = d * F(block[k] & 15u), least = dmin * F(block[k] >> 4);
    for (uint32_t e = 16 * k; e < 16 * k + 16; ++e) {
      out[e] = scale * F(TwoBits(block, 16, e)) - least;
    }
  }
}

void DecodeQ3K(BlockBytes block, float* out) {
  constexpr size_t kQs = 32, kScales = 96;
  const float d = block.Half(108);
  for (uint32_t k = 0; k < 16; ++k) {
    const uint32_t low = (block[kScales + k % 8] >> (4 * (k / 8))) & 15u;
    const uint32_t high = (block[kScales + 8 + k % 4] >> (2 * (k / 4))) & 3u;
    const float scale = d * F(static_cast<int>(low | high << 4) - 32);
    for (uint32_t e = 16 * k; e < 16 * k + 16; ++e) {
      const bool whole = (block[e % 32] >> (e / 32)) & 1u;
      out[e] = scale * F(static_cast<int>(TwoBits(block, kQs, e)) - (whole ? 0 : 4));
    }
  }
}

struct ScaleMin {
  uint32_t scale, min;
};
/// The 6-bit scale and minimum of sub-block j in the 12 bytes from `at`.
ScaleMin SixBits(BlockBytes block, size_t at, uint32_t j) {
  if (j < 4) return {block[at + j] & 63u, block[at + j + 4] & 63u};
  return {(block[at + j + 4] & 15u) | (block[at + j - 4] >> 6) << 4,
          (block[at + j + 4] >> 4) | (block[at + j] >> 6) << 4};
}

/// Q4_K and, with the fifth bits at `qh`, Q5_K.
template <size_t kQs, size_t kQh>
void DecodeQ45K(BlockBytes block, float* out) {
  const float d = block.Half(0), dmin = block.Half(2);
  for (uint32_t j = 0; j < 8; ++j) {
    const ScaleMin six = SixBits(block, 4, j);
    const float scale = d * F(six.scale), least = dmin * F(six.min);
    for (uint32_t i = 0; i < 32; ++i) {
      uint32_t q = (block[kQs + 32 * (j / 2) + i] >> (4 * (j % 2))) & 15u;
      if (kQh != 0) q |= ((block[kQh + i] >> j) & 1u) << 4;
      out[32 * j + i] = scale * F(q) - least;
    }
  }
}

void DecodeQ6K(BlockBytes block, float* out) {
  constexpr size_t kQh = 128, kScales = 192;
  const float d = block.Half(208);
  for (uint32_t k = 0; k < 16; ++k) {
    const float scale = d * F(block.Signed(kScales + k));
    for (uint32_t e = 16 * k; e < 16 * k + 16; ++e) {
      const uint32_t h = e / 128, r = e % 128;
      const uint32_t low = (block[64 * h + r % 64] >> (4 * (r / 64))) & 15u;
      const uint32_t high = (block[kQh + 32 * h + r % 32] >> (2 * (r / 32))) & 3u;
      out[e] = scale * F(static_cast<int>(low | high << 4) - 32);
    }
  }
}

constexpr float kIq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                            1,    13,   25,  38,  53,  69,  89,  113};

void DecodeIq4Nl(BlockBytes block, float* out) {
  const float d = block.Half(0);
  for (uint32_t e = 0; e < 32; ++e) out[e] = d * kIq4[Nibble(block, 2, e)];
}

void DecodeIq4Xs(BlockBytes block, float* out) {
  const float d = block.Half(0);
  const uint32_t scales_high = block[2] | block[3] << 8;
  for (uint32_t j = 0; j < 8; ++j) {
    const uint32_t low = (block[4 + j / 2] >> (4 * (j % 2))) & 15u;
    const uint32_t high = (scales_high >> (2 * j)) & 3u;
    const float scale = d * F(static_cast<int>(low | high << 4) - 32);
    for (uint32_t r = 0; r < 32; ++r) out[32 * j + r] = scale * kIq4[Nibble(block, 8 + 16 * j, r)];
  }
}

void DecodeTq1(BlockBytes block, float* out) {
  constexpr uint32_t kPowers[] = {1, 3, 9, 27, 81};
  constexpr size_t kQh = 48;
  const float d = block.Half(52);
  for (uint32_t e = 0; e < 256; ++e) {
    uint32_t byte, n;
    if (e < 160) {
      byte = block[e % 32];
      n = e / 32;
    } else if (e < 240) {
      byte = block[32 + (e - 160) % 16];
      n = (e - 160) / 16;
    } else {
      byte = block[kQh + (e - 240) % 4];
      n = (e - 240) / 4;
    }
    const uint32_t trit = ((byte * kPowers[n] & 255u) * 3) >> 8;
    out[e] = d * F(static_cast<int>(trit) - 1);
  }
}

void DecodeTq2(BlockBytes block, float* out) {
  const float d = block.Half(64);
  for (uint32_t e = 0; e < 256; ++e) {
    out[e] = d * F(static_cast<int>(TwoBits(block, 0, e)) - 1);
  }
}

void DecodeMxfp4(BlockBytes block, float* out) {
  const float scale = kE8m0Values[block[0]];
  for (uint32_t e = 0; e < 32; ++e) out[e] = scale * kFp4Values[Nibble(block, 1, e)];
}

void DecodeNvfp4(BlockBytes block, float* out) {
  for (uint32_t s = 0; s < 4; ++s) {
    const uint32_t code = block[s] & 0x7fu;
    const float scale = code == 0x7fu ? 0.0f : kE4m3Values[code];
    for (uint32_t r = 0; r < 16; ++r) {
      const uint32_t byte = block[4 + 8 * s + r % 8];
      out[16 * s + r] = scale * kFp4Values[r < 8 ? byte & 15u : byte >> 4];
    }
  }
}

void DecodeQ1(BlockBytes block, float* out) {
  const float d = block.Half(0);
  for (uint32_t e = 0; e < 128; ++e) out[e] = (block[2 + e / 8] >> (e % 8)) & 1u ? d : -d;
}

void DecodeQ2(BlockBytes block, float* out) {
  const float d = block.Half(0);
  for (uint32_t e = 0; e < 64; ++e) {
    out[e] = d * F(static_cast<int>((block[2 + e / 4] >> (2 * (e % 4))) & 3u) - 1);
  }
}

struct BlockCodec {
  uint32_t id;
  DecodeBlock decode;
  bool half_scales = true;
};

// A new block type is one line here (and its sizes in checkpoint/ggml_types.cc).
constexpr BlockCodec kBlockCodecs[] = {
    {2, DecodeQ4_0},          {3, DecodeQ4_1}, {6, DecodeQ5_0},          {7, DecodeQ5_1},
    {8, DecodeQ8_0},          {10, DecodeQ2K}, {11, DecodeQ3K},          {12, DecodeQ45K<16, 0>},
    {13, DecodeQ45K<48, 16>}, {14, DecodeQ6K}, {20, DecodeIq4Nl},        {23, DecodeIq4Xs},
    {34, DecodeTq1},          {35, DecodeTq2}, {39, DecodeMxfp4, false}, {40, DecodeNvfp4, false},
    {41, DecodeQ1},           {42, DecodeQ2},
};
constexpr uint32_t kNvfp4 = 40, kQ8_1 = 9, kQ8K = 15;

class BlockDecoder : public TileDecoder {
 public:
  BlockDecoder(TensorBytes bytes, std::optional<ScaleGrid> factor, const GgmlType& type,
               DecodeBlock decode, uint64_t rows, uint64_t cols)
      : bytes_(std::move(bytes)),
        factor_(std::move(factor)),
        type_(type),
        decode_(decode),
        rows_(rows),
        row_bytes_(cols / type.block_elements * type.block_bytes) {}

  Result<void> Read(uint64_t matrix, const Tile& tile, float* out) const override {
    const float factor = factor_ ? factor_->At(matrix, 0, 0) : 1.0f;
    for (uint64_t r = 0; r < tile.rows; ++r) {
      float* line = out + r * tile.cols;
      ReadRow((matrix * rows_ + tile.row + r) * row_bytes_, tile.col, tile.cols, line);
      if (factor_) std::for_each(line, line + tile.cols, [&](float& value) { value *= factor; });
    }
    return {};
  }

 private:
  void ReadRow(uint64_t row_begin, uint64_t col, uint64_t count, float* out) const {
    const uint64_t size = type_.block_elements;
    float whole[kLongestBlock];
    for (uint64_t done = 0; done < count;) {
      const uint64_t block = (col + done) / size, skip = (col + done) % size;
      const uint64_t taken = std::min(size - skip, count - done);
      const BlockBytes bytes(bytes_.data.data() + row_begin + block * type_.block_bytes);
      if (taken == size) {
        decode_(bytes, out + done);
      } else {
        decode_(bytes, whole);
        std::copy_n(whole + skip, taken, out + done);
      }
      done += taken;
    }
  }

  TensorBytes bytes_;
  std::optional<ScaleGrid> factor_;  // ModelOpt's second scale, one a matrix
  GgmlType type_;
  DecodeBlock decode_;
  uint64_t rows_, row_bytes_;
};

/// "gguf_q4_K": the leading letters small.
std::string StorageOf(std::string_view type) {
  const size_t end = std::min(type.find_first_of("0123456789_"), type.size());
  return "gguf_" + LowerAscii(type.substr(0, end)) + std::string(type.substr(end));
}

tl::unexpected<Error> NotDecoded(const TensorInfo& info, bool known) {
  const std::string place = TensorPlace(info.name);
  if (!known) {
    return Fail(ErrorCode::kUnsupported, place,
                info.dtype_text + " is unknown: removed, of a fork, or newer than this program",
                "requantize it with llama.cpp, or use a newer moescope");
  }
  const bool activations = *info.ggml_type == kQ8_1 || *info.ggml_type == kQ8K;
  return Fail(ErrorCode::kUnsupported, place,
              fmt::format("GGUF type {} {}", info.dtype_text,
                          activations ? "is for activations, never for weights"
                                      : "needs grid tables that this version does not have"));
}

/// ModelOpt's second scale beside NVFP4 blocks.
Result<std::optional<TensorRef>> FindFactor(const TensorRef& payload, const TensorIndex& tensors) {
  const TensorInfo& info = payload.info();
  const auto stem = StemOf(info.name, ".weight");
  if (!stem || info.ggml_type != kNvfp4) return std::optional<TensorRef>{};
  const auto scale = tensors.Find(*stem, ".scale");
  if (!scale) return scale;
  const uint64_t count = CheckedProduct(scale->info().shape).value_or(0);
  if (scale->info().dtype == DType::kF32 && (count == 1 || count == MatricesOf(info.shape))) {
    return scale;
  }
  return WrongCompanion(payload, "one float32 scale a matrix", scale);
}

}  // namespace

Result<std::optional<Weight>> FindGgufBlocks(const TensorRef& payload, const TensorIndex& tensors,
                                             const QuantWords&) {
  const TensorInfo& info = payload.info();
  if (!info.ggml_type || info.shape.size() < 2) return std::optional<Weight>{};
  const auto codec = std::find_if(std::begin(kBlockCodecs), std::end(kBlockCodecs),
                                  [&](const BlockCodec& row) { return row.id == *info.ggml_type; });
  const auto type = FindGgmlType(*info.ggml_type);
  if (codec == std::end(kBlockCodecs) || !type) return NotDecoded(info, type.has_value());
  const auto factor = FindFactor(payload, tensors);
  if (!factor) return tl::make_unexpected(factor.error());
  Weight weight{.name = info.name,
                .shape = info.shape,
                .storage = StorageOf(type->name),
                .float_dtype = codec->half_scales ? DType::kF16 : DType::kOpaque,
                .parts = {payload}};
  if (*factor) weight.parts.push_back(**factor);
  weight.ranges_of = RangesBy(
      weight, {{.kind = PartLayout::Kind::kLines,
                .weights = type->block_elements,
                .bytes = type->block_bytes,
                .line_bytes = info.shape.back() / type->block_elements * type->block_bytes}});
  weight.open = OpenTiled(
      weight,
      [type = *type, decode = codec->decode, shape = info.shape](
          std::vector<TensorBytes> bytes) -> Result<std::shared_ptr<const TileDecoder>> {
        std::optional<ScaleGrid> factors;
        if (bytes.size() > 1) {
          const bool shared = bytes[1].data.size() == sizeof(float);
          factors = ScaleGrid{.bytes = std::move(bytes[1]), .shared = shared};
        }
        return std::make_shared<BlockDecoder>(std::move(bytes[0]), std::move(factors), type, decode,
                                              shape[shape.size() - 2], shape.back());
      });
  return weight;
}

}  // namespace moe
