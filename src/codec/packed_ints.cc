// compressed-tensors pack-quantized, formats.md 6.2: X.weight_packed I32 along the input axis,
// codes stored as q + 2^(bits - 1), X.weight_scale, X.weight_shape, and X.weight_zero_point packed
// along the output axis. value = (code - zero code) * scale.
#include <fmt/format.h>

#include "base/checked.h"
#include "base/little_endian.h"
#include "codec/codecs.h"
#include "codec/scaled_codes.h"

namespace moe {
namespace {

struct Packing {
  unsigned bits = 0;
  bool padded = false;  ///< up to compressed-tensors 0.17: no code straddles words
};

bool Fits(const Packing& packing, uint64_t cols, uint64_t words) {
  if (packing.padded) return CeilDiv(cols, 32 / packing.bits) == words;
  const auto bits = CheckedMul(cols, packing.bits);
  return bits && CeilDiv(*bits, 32) == words;
}

/// The width whose packing of `cols` codes takes `words` words: the config's if that fits.
std::optional<Packing> PackingOf(uint64_t cols, uint64_t words,
                                 std::optional<uint64_t> configured) {
  std::vector<Packing> fits;
  for (unsigned bits = 1; bits <= 8; ++bits) {
    if (configured && *configured != bits) continue;
    const bool divides = 32 % bits == 0;
    if (Fits({bits, false}, cols, words)) {
      fits.push_back({bits, false});
    } else if (!divides && Fits({bits, true}, cols, words)) {
      fits.push_back({bits, true});
    }
  }
  return fits.size() == 1 ? std::optional(fits.front()) : std::nullopt;
}

/// The last two numbers of weight_shape.
std::optional<std::pair<uint64_t, uint64_t>> ReadShape(const TensorRef& tensor) {
  const TensorInfo& info = tensor.info();
  const size_t width = info.dtype == DType::kI64 ? 8 : info.dtype == DType::kI32 ? 4 : 0;
  if (width == 0 || info.shape.size() != 1 || info.shape[0] < 2 || info.shape[0] > 8) {
    return std::nullopt;
  }
  const auto bytes = tensor.file->Bytes(tensor.index);
  if (!bytes || bytes->data.size() != info.shape[0] * width) return std::nullopt;
  const auto at = [&](uint64_t index) -> uint64_t {
    return width == 8 ? LoadLittleEndian<uint64_t>(bytes->data, index * 8)
                      : LoadLittleEndian<uint32_t>(bytes->data, index * 4);
  };
  return std::pair(at(info.shape[0] - 2), at(info.shape[0] - 1));
}

/// Zero codes lie along the output axis: code of row r in word r * bits / 32 of the group's column.
float ZeroAt(std::span<const std::byte> bytes, uint64_t matrix, uint64_t row, uint64_t group,
             uint64_t word_rows, uint64_t groups, unsigned bits) {
  const auto word = [&](uint64_t index) -> uint64_t {
    const uint64_t at = (matrix * word_rows + index) * groups + group;
    return LoadLittleEndian<uint32_t>(bytes, at * 4);
  };
  const uint64_t bit = row * bits, first = bit / 32;
  uint64_t pair = word(first);
  if (bit % 32 + bits > 32) pair |= word(first + 1) << 32;
  return static_cast<float>((pair >> (bit % 32)) & ((1u << bits) - 1));
}

struct Parts {
  TensorRef scale, shape;
  std::optional<TensorRef> zero, g_idx;
};

Result<std::optional<Weight>> Build(const TensorRef& payload, std::string_view stem,
                                    const Parts& parts,
                                    const nlohmann::ordered_json& quantization) {
  const TensorInfo& words = payload.info();
  const size_t ndim = words.shape.size();
  const auto shape = ReadShape(parts.shape);
  if (!shape || shape->first != words.shape[ndim - 2] || shape->second == 0) {
    return WrongCompanion(payload, "weight_shape that ends in its rows and the true columns",
                          parts.shape);
  }
  const uint64_t rows = shape->first, cols = shape->second;
  const nlohmann::ordered_json config = GroupWeights(quantization);
  const auto packing = PackingOf(cols, words.shape.back(), UnsignedAt(config, "num_bits"));
  if (!packing) {
    return WrongCompanion(
        payload,
        fmt::format("one width of 1 to 8 bits that packs {} columns into {} words "
                    "(config.json: num_bits)",
                    cols, words.shape.back()),
        std::nullopt);
  }
  const TensorInfo& scale = parts.scale.info();
  const uint64_t groups = scale.shape.empty() ? 0 : scale.shape.back();
  const uint64_t configured = UnsignedAt(config, "group_size").value_or(0);
  const uint64_t group = groups == 0 ? 0
                         : configured > 0 && CeilDiv(cols, configured) == groups
                             ? configured
                             : (cols % groups == 0 ? cols / groups : 0);
  if (group == 0 || !IsScaleFloat(scale.dtype) ||
      scale.shape != WithLastAxes(words.shape, rows, groups)) {
    return WrongCompanion(payload, "weight_scale by row or group of its columns", parts.scale);
  }
  ScaledCodes codes;
  codes.rows = rows;
  codes.cols = cols;
  codes.bits = packing->bits;
  codes.row_bytes = words.shape.back() * 4;
  codes.codes_per_word = packing->padded ? 32 / packing->bits : 0;
  codes.elements = IntegerElements(parts.zero ? 0 : -(int64_t{1} << (packing->bits - 1)));
  codes.scales.dtype = scale.dtype;
  codes.scales.matrices = MatricesOf(words.shape);
  codes.scales.rows = rows;
  codes.scales.cols = groups;
  codes.scales.block_cols = group;

  Weight weight;
  weight.name = fmt::format("{}.weight", stem);
  weight.shape = WithLastAxes(words.shape, rows, cols);
  weight.storage =
      fmt::format("int{}_{}{}", packing->bits, groups == 1 ? "channel" : fmt::format("g{}", group),
                  parts.zero ? "_asym" : "");
  weight.float_dtype = scale.dtype;
  weight.parts = {payload, parts.scale, parts.shape};
  const uint64_t word_rows = CeilDiv(rows * packing->bits, 32);
  if (parts.zero) {
    if (parts.zero->info().dtype != DType::kI32 ||
        parts.zero->info().shape != WithLastAxes(words.shape, word_rows, groups)) {
      return WrongCompanion(payload, "weight_zero_point I32 packed along its rows", parts.zero);
    }
    weight.parts.push_back(*parts.zero);
  }
  if (parts.g_idx) {
    if (parts.g_idx->info().dtype != DType::kI32 ||
        parts.g_idx->info().shape != std::vector<uint64_t>{cols}) {
      return WrongCompanion(payload, "weight_g_idx I32 of its columns", parts.g_idx);
    }
    weight.parts.push_back(*parts.g_idx);
  }
  weight.open = [codes, word_rows, payload, parts](
                    std::vector<TensorBytes> bytes) -> Result<std::shared_ptr<const WeightArray>> {
    ScaledCodes opened = codes;
    opened.bytes = std::move(bytes[0]);
    opened.scales.bytes = std::move(bytes[1]);
    if (parts.g_idx) {
      for (uint64_t col = 0; col < opened.cols; ++col) {
        const auto group_of = LoadLittleEndian<uint32_t>(bytes.back().data, col * 4);
        if (group_of >= opened.scales.cols) {
          return WrongCompanion(payload, "weight_g_idx below its number of groups", parts.g_idx);
        }
        opened.group_of_col.push_back(group_of);
      }
    }
    if (parts.zero) {
      opened.zero = [zeros = std::move(bytes[3]), word_rows, groups = opened.scales.cols,
                     bits = opened.bits](uint64_t matrix, uint64_t row, uint64_t col) {
        return ZeroAt(zeros.data, matrix, row, col, word_rows, groups, bits);
      };
    }
    return MakeScaledArray(std::move(opened));
  };
  return weight;
}

}  // namespace

Result<std::optional<Weight>> FindPackedInts(const TensorRef& payload, const TensorIndex& tensors,
                                             const nlohmann::ordered_json& quantization) {
  const TensorInfo& info = payload.info();
  const auto stem = StemOf(info.name, ".weight_packed");
  const bool words = info.dtype == DType::kI32 || info.dtype == DType::kU32;
  if (!stem || !words || info.shape.size() < 2) return std::optional<Weight>{};
  const auto scale = tensors.Find(*stem, ".weight_scale");
  if (!scale) return WrongCompanion(payload, "weight_scale", std::nullopt);
  const auto shape = tensors.Find(*stem, ".weight_shape");
  if (!shape) return WrongCompanion(payload, "weight_shape", std::nullopt);
  return Build(payload, *stem,
               {*scale, *shape, tensors.Find(*stem, ".weight_zero_point"),
                tensors.Find(*stem, ".weight_g_idx")},
               quantization);
}

}  // namespace moe
