// FP8 with scales of any shape, formats.md sections 4 and 6: value = fp8(code) * scale, whatever
// the companion is called.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>
#include <span>

#include "base/checked.h"
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

/// The config's blocks: weight_block_size, or one for each group of compressed-tensors.
std::vector<Block> ConfigBlocks(const Json& quantization) {
  if (const auto block = PairAt(quantization, "weight_block_size")) return {*block};
  std::vector<Block> blocks;
  if (!quantization.is_object()) return blocks;
  const auto groups = quantization.find("config_groups");
  if (groups == quantization.end() || !groups->is_object()) return blocks;
  for (const auto& group : *groups) {
    if (!group.is_object() || !group.contains("weights")) continue;
    if (const auto block = PairAt(group["weights"], "block_structure")) blocks.push_back(*block);
  }
  return blocks;
}

bool Fits(const Block& block, uint64_t rows, uint64_t cols, uint64_t grid_rows,
          uint64_t grid_cols) {
  return CeilDiv(rows, block.rows) == grid_rows && CeilDiv(cols, block.cols) == grid_cols;
}

std::string BlockName(const Block& block) {
  return block.rows == block.cols ? fmt::format("block{}", block.rows)
                                  : fmt::format("block{}x{}", block.rows, block.cols);
}

/// The usual blocks, for a config that names none. Never rows / grid_rows: edges are partial.
constexpr Block kUsualBlocks[] = {{128, 128}, {64, 64}, {32, 32}};

/// The scale's shape without the payload's leading axes.
struct Tail {
  std::vector<uint64_t> axes;
  bool per_matrix = true;  ///< else the leading axes are 1: one grid for all
};

std::optional<Tail> TailOf(const std::vector<uint64_t>& shape, const std::vector<uint64_t>& scale) {
  const auto leading = static_cast<std::ptrdiff_t>(shape.size() - 2);
  if (std::ssize(scale) < leading) return std::nullopt;
  const auto last_two = scale.begin() + leading;
  Tail tail{{last_two, scale.end()}, true};
  if (std::equal(scale.begin(), last_two, shape.begin())) return tail;
  tail.per_matrix = false;
  const bool shared = scale.size() == shape.size() &&
                      std::all_of(scale.begin(), last_two, [](uint64_t size) { return size == 1; });
  return shared ? std::optional(tail) : std::nullopt;
}

/// One scale for each column: [1, cols]; fbgemm's stacks [in, out] may have it as [out, 1]
/// (formats.md 4.1), where only the name tells a square down_proj from scales by row.
bool IsByColumn(const TensorInfo& payload, const TensorInfo& scale, uint64_t grid_rows,
                uint64_t grid_cols) {
  const uint64_t rows = payload.shape[payload.shape.size() - 2], cols = payload.shape.back();
  if (grid_rows == 1 && grid_cols == cols) return true;
  const bool stack = !payload.name.ends_with(".weight") && scale.name.ends_with("_scale");
  return stack && grid_rows == cols && grid_cols == 1 &&
         (rows != cols || payload.name.ends_with("down_proj"));
}

std::optional<Granularity> GranularityOfGrid(const TensorInfo& payload, const TensorInfo& scale,
                                             uint64_t grid_rows, uint64_t grid_cols,
                                             std::span<const Block> configured) {
  const uint64_t rows = payload.shape[payload.shape.size() - 2], cols = payload.shape.back();
  const auto in_blocks = [&](std::span<const Block> blocks) -> std::optional<Granularity> {
    for (const Block& block : blocks) {
      if (Fits(block, rows, cols, grid_rows, grid_cols)) {
        return Granularity{BlockName(block), grid_rows, grid_cols, block.rows, block.cols};
      }
    }
    return std::nullopt;
  };
  if (IsByteScale(scale.dtype) && grid_rows == rows && grid_cols == CeilDiv(cols, 32)) {
    return Granularity{"mxfp8", rows, grid_cols, 1, 32};
  }
  if (const auto blocks = in_blocks(configured)) return blocks;
  if (grid_rows == 1 && grid_cols == 1) return Granularity{"tensor", 1, 1, rows, cols};
  if (IsByColumn(payload, scale, grid_rows, grid_cols)) {
    return Granularity{"column", 1, cols, rows, 1};
  }
  if (grid_cols == 1 && grid_rows == rows) return Granularity{"channel", rows, 1, 1, cols};
  return configured.empty() ? in_blocks(kUsualBlocks) : std::nullopt;
}

std::optional<Granularity> GranularityOf(const TensorInfo& payload, const TensorInfo& scale,
                                         std::span<const Block> configured) {
  const uint64_t rows = payload.shape[payload.shape.size() - 2], cols = payload.shape.back();
  if (CheckedProduct(scale.shape) == 1u && MatricesOf(payload.shape) != 1) {
    return Granularity{"tensor", 1, 1, rows, cols, false};
  }
  const auto tail = TailOf(payload.shape, scale.shape);
  if (!tail) return std::nullopt;
  std::optional<Granularity> how;
  if (tail->axes.size() == 2) {
    how = GranularityOfGrid(payload, scale, tail->axes[0], tail->axes[1], configured);
  } else if (CheckedProduct(tail->axes) == 1u) {
    how = Granularity{"tensor", 1, 1, rows, cols};
  } else if (tail->axes.size() == 1 && tail->axes.front() == rows) {
    how = Granularity{"channel", rows, 1, 1, cols};
  }
  if (how) how->per_matrix = tail->per_matrix;
  return how;
}

/// What GranularityOf() would have taken, for the error.
std::string Expected(const TensorInfo& payload, const std::vector<uint64_t>& scale,
                     std::span<const Block> configured) {
  const uint64_t rows = payload.shape[payload.shape.size() - 2];
  std::string sizes;
  for (const Block& block : configured) {
    sizes += fmt::format("{}{} x {}", sizes.empty() ? "" : " or ", block.rows, block.cols);
    const uint64_t fused = CeilDiv(rows, block.rows), halves = 2 * CeilDiv(rows / 2, block.rows);
    const bool gate_up = payload.name.find("gate_up") != std::string::npos && rows % 2 == 0;
    if (gate_up && halves != fused && scale.size() >= 2 && scale[scale.size() - 2] == halves) {
      return fmt::format(
          "{} rows of scales for blocks of {} x {} (config.json; scales of gate "
          "and up apart are not decoded where I is no multiple of the block)",
          fused, block.rows, block.cols);
    }
  }
  return fmt::format("scales by tensor, row, column or blocks of {}",
                     sizes.empty() ? "128, 64 or 32" : sizes + " (config.json)");
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
                       ? fmt::format("mxfp8{}", e5m2 ? "_e5m2" : "")
                       : fmt::format("fp8{}_{}", e5m2 ? "_e5m2" : "", how.storage);
  const DType dtype = scale.info().dtype;
  if (dtype == DType::kF16 || dtype == DType::kBF16) weight.float_dtype = dtype;
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
  const std::vector<Block> configured = ConfigBlocks(quantization);
  const auto how = GranularityOf(info, scale->info(), configured);
  if (!how) {
    return WrongCompanion(payload, Expected(info, scale->info().shape, configured), scale);
  }
  return Build(payload, *scale, *how);
}

}  // namespace moe
