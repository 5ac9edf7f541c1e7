// FP8 with scales of any shape, formats.md sections 4 and 6: value = fp8(code) * scale, whatever
// the companion is called.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/small_floats.h"
#include "checkpoint/names.h"
#include "codec/codecs.h"
#include "codec/scaled_codes.h"

namespace moe {
namespace {

using Json = nlohmann::ordered_json;

struct Granularity {
  std::string storage;
  uint64_t grid_rows = 1, grid_cols = 1, block_rows = 1, block_cols = 1;
  bool per_matrix = true;  ///< else one scale for all
};

struct Block {
  uint64_t rows = 0, cols = 0;
};

std::optional<Block> PairAt(const Json& object, const char* key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array() || found->size() != 2) return std::nullopt;
  const Json &rows = (*found)[0], &cols = (*found)[1];
  if (!rows.is_number_unsigned() || !cols.is_number_unsigned()) return std::nullopt;
  const Block block{rows.get<uint64_t>(), cols.get<uint64_t>()};
  return block.rows > 0 && block.cols > 0 ? std::optional(block) : std::nullopt;
}

std::optional<Block> ConfigBlock(const Json& quantization) {
  if (const auto block = PairAt(quantization, "weight_block_size")) return block;
  return PairAt(GroupWeights(quantization), "block_structure");
}

bool Fits(const Block& block, uint64_t rows, uint64_t cols, uint64_t grid_rows,
          uint64_t grid_cols) {
  return CeilDiv(rows, block.rows) == grid_rows && CeilDiv(cols, block.cols) == grid_cols;
}

/// The block of a grid: the config's, else one of the usual sizes. Never rows / grid_rows: edge
/// blocks are partial.
std::optional<Block> BlockOf(const Json& quantization, uint64_t rows, uint64_t cols,
                             uint64_t grid_rows, uint64_t grid_cols) {
  const auto configured = ConfigBlock(quantization);
  if (configured) {
    const bool fits = Fits(*configured, rows, cols, grid_rows, grid_cols);
    return fits ? configured : std::nullopt;
  }
  for (const uint64_t size : {128, 64, 32}) {
    if (Fits({size, size}, rows, cols, grid_rows, grid_cols)) return Block{size, size};
  }
  return std::nullopt;
}

/// The scale's shape without the payload's leading axes; nullopt: it has others.
std::optional<std::vector<uint64_t>> Tail(const std::vector<uint64_t>& shape,
                                          const std::vector<uint64_t>& scale) {
  const size_t leading = shape.size() - 2;
  if (scale.size() < leading) return std::nullopt;
  for (size_t i = 0; i < leading; ++i) {
    if (scale[i] != shape[i]) return std::nullopt;
  }
  return std::vector<uint64_t>(scale.begin() + static_cast<std::ptrdiff_t>(leading), scale.end());
}

std::optional<Granularity> GranularityOf(const TensorInfo& payload, const TensorInfo& scale,
                                         const Json& quantization) {
  const uint64_t rows = payload.shape[payload.shape.size() - 2], cols = payload.shape.back();
  uint64_t count = 1;
  for (const uint64_t size : scale.shape) count *= size;
  if (count == 1 && MatricesOf(payload.shape) != 1) {
    return Granularity{"tensor", 1, 1, rows, cols, false};
  }
  const auto tail = Tail(payload.shape, scale.shape);
  if (!tail) return std::nullopt;
  uint64_t own = 1;
  for (const uint64_t size : *tail) own *= size;
  if (own == 1) return Granularity{"tensor", 1, 1, rows, cols};
  if (tail->size() == 1 && tail->front() == rows) return Granularity{"channel", rows, 1, 1, cols};
  if (tail->size() != 2) return std::nullopt;
  const uint64_t grid_rows = (*tail)[0], grid_cols = (*tail)[1];
  // fbgemm's stacks are [in, out] with one scale for each output column (formats.md 4.1).
  const bool by_column = payload.name.ends_with("down_proj") && scale.name.ends_with("_scale");
  if (grid_cols == 1 && grid_rows == cols && (by_column || rows != cols)) {
    return Granularity{"column", 1, cols, rows, 1};
  }
  if (grid_cols == 1 && grid_rows == rows) return Granularity{"channel", rows, 1, 1, cols};
  if (grid_rows == 1 && grid_cols == cols) return Granularity{"column", 1, cols, rows, 1};
  if (IsByteScale(scale.dtype) && grid_rows == rows && grid_cols == CeilDiv(cols, 32)) {
    return Granularity{"mxfp8", rows, grid_cols, 1, 32};
  }
  const auto block = BlockOf(quantization, rows, cols, grid_rows, grid_cols);
  if (!block) return std::nullopt;
  const std::string name = block->rows == block->cols
                               ? fmt::format("block{}", block->rows)
                               : fmt::format("block{}x{}", block->rows, block->cols);
  return Granularity{name, grid_rows, grid_cols, block->rows, block->cols};
}

std::optional<TensorRef> ScaleOf(const TensorIndex& tensors, const std::string& name) {
  const auto stem = StemOf(name, ".weight");
  if (!stem) {
    for (const char* suffix : {"_scale_inv", "_scale"}) {
      if (const auto found = tensors.Find(name, suffix)) return found;
    }
    return std::nullopt;
  }
  for (const char* suffix : {".weight_scale_inv", ".weight_scale", ".scale", ".qscale_weight"}) {
    if (const auto found = tensors.Find(*stem, suffix)) return found;
  }
  return std::nullopt;
}

/// e8m0 as OCP MX has it: code 255 is NaN.
constexpr std::array<float, 256> kE8m0WithNan = [] {
  std::array<float, 256> values = kE8m0Values;
  values[255] = std::numeric_limits<float>::quiet_NaN();
  return values;
}();

Weight Build(const TensorRef& payload, const TensorRef& scale, const Granularity& how) {
  const TensorInfo& info = payload.info();
  const bool e5m2 = info.dtype == DType::kF8E5M2;
  ScaledCodes codes;
  codes.rows = info.shape[info.shape.size() - 2];
  codes.cols = info.shape.back();
  codes.row_bytes = codes.cols;
  codes.elements = e5m2 ? kE5m2Values : kE4m3Values;
  codes.scales.dtype = scale.info().dtype;
  codes.scales.codes = &kE8m0WithNan;
  codes.scales.matrices = how.per_matrix ? MatricesOf(info.shape) : 1;
  codes.scales.rows = how.grid_rows;
  codes.scales.cols = how.grid_cols;
  codes.scales.block_rows = how.block_rows;
  codes.scales.block_cols = how.block_cols;

  Weight weight;
  weight.name = info.name;
  weight.shape = info.shape;
  weight.storage = how.storage == "mxfp8"
                       ? how.storage
                       : fmt::format("fp8{}_{}", e5m2 ? "_e5m2" : "", how.storage);
  weight.float_dtype = scale.info().dtype;
  weight.parts = {payload, scale};
  weight.open =
      [codes](std::vector<TensorBytes> bytes) -> Result<std::shared_ptr<const WeightArray>> {
    ScaledCodes opened = codes;
    opened.bytes = std::move(bytes[0]);
    opened.scales.bytes = std::move(bytes[1]);
    return MakeScaledArray(std::move(opened));
  };
  return weight;
}

}  // namespace

Result<std::optional<Weight>> FindFp8Weight(const TensorRef& payload, const TensorIndex& tensors,
                                            const Json& quantization) {
  const TensorInfo& info = payload.info();
  const bool fnuz = info.dtype == DType::kF8E4M3Fnuz || info.dtype == DType::kF8E5M2Fnuz;
  const bool fp8 = info.dtype == DType::kF8E4M3 || info.dtype == DType::kF8E5M2;
  if ((!fp8 && !fnuz) || info.shape.size() < 2 || info.name.ends_with("scale")) {
    return std::optional<Weight>{};
  }
  if (fnuz) {
    return Fail(ErrorCode::kUnsupported, fmt::format("tensor '{}'", Printable(info.name)),
                fmt::format("{} is not decoded: no published checkpoint says how its scales are "
                            "meant",
                            info.dtype_text));
  }
  const auto scale = ScaleOf(tensors, info.name);
  if (!scale || !(IsScaleFloat(scale->info().dtype) || IsByteScale(scale->info().dtype))) {
    return WrongCompanion(payload, "a scale (weight_scale_inv, weight_scale, scale)", scale);
  }
  const auto how = GranularityOf(info, scale->info(), quantization);
  if (!how) {
    const auto block = ConfigBlock(quantization);
    return WrongCompanion(
        payload,
        block ? fmt::format("scales by tensor, row, column or blocks of {} x {} (config.json)",
                            block->rows, block->cols)
              : "scales by tensor, row, column or blocks of 128, 64 or 32",
        scale);
  }
  return Build(payload, *scale, *how);
}

}  // namespace moe
