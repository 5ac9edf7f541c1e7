// FP8 with scales of any shape, checkpoints.md sections 4 and 6: value = fp8(code) * scale,
// whatever the companion is called.
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

struct Granularity {
  std::string storage;
  uint64_t grid_rows = 1, grid_cols = 1, block_rows = 1, block_cols = 1;
  bool per_matrix = true;  ///< else one scale for all
};

struct Block {
  uint64_t rows = 0, cols = 0;
};

std::string BlockName(const Block& block) {
  return block.rows == block.cols ? fmt::format("block{}", block.rows)
                                  : fmt::format("block{}x{}", block.rows, block.cols);
}

/// The usual blocks, where the config says nothing. Never rows / grid_rows: edges are partial.
constexpr Block kUsualBlocks[] = {{128, 128}, {64, 64}, {32, 32}};

/// The scale's shape without the payload's leading axes.
struct Tail {
  std::vector<uint64_t> axes;
  bool per_matrix = true;  ///< else the leading axes are 1: one grid for all
};

/// ModelOpt's blocks keep the axes that it reduced: [.., rows, 1, cols, 1] is [.., rows, cols].
std::vector<uint64_t> WithoutReducedAxes(const std::vector<uint64_t>& shape,
                                         std::vector<uint64_t> scale) {
  const size_t size = scale.size();
  if (size != shape.size() + 2 || scale[size - 1] != 1 || scale[size - 3] != 1) return scale;
  return WithLastAxes(std::span(scale).first(size - 2), scale[size - 4], scale[size - 2]);
}

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

/// Of a matrix with so many rows: rank 2 as it is, one for each row, or one.
std::optional<GridSize> GridOfTail(const Tail& tail, uint64_t rows) {
  if (tail.axes.size() == 2) return GridSize{tail.axes[0], tail.axes[1]};
  if (CheckedProduct(tail.axes) == 1u) return GridSize{1, 1};
  if (tail.axes == std::vector<uint64_t>{rows}) return GridSize{rows, 1};
  return std::nullopt;
}

/// One scale for each column: [1, cols]; fbgemm's stacks [in, out] may have it as [out, 1]
/// (checkpoints.md 4.1), where only the name tells a square down_proj from scales by row.
bool IsByColumn(const TensorInfo& payload, const TensorInfo& scale, uint64_t grid_rows,
                uint64_t grid_cols) {
  const uint64_t rows = payload.shape[payload.shape.size() - 2], cols = payload.shape.back();
  if (grid_rows == 1 && grid_cols == cols) return true;
  const bool stack = !payload.name.ends_with(".weight") && scale.name.ends_with("_scale");
  return stack && grid_rows == cols && grid_cols == 1 &&
         (rows != cols || payload.name.ends_with("down_proj"));
}

std::optional<Granularity> GranularityOfGrid(const TensorInfo& payload, const TensorInfo& scale,
                                             GridSize grid) {
  const uint64_t rows = payload.shape[payload.shape.size() - 2], cols = payload.shape.back();
  if (IsByteScale(scale.dtype) && grid == GridSize{rows, CeilDiv(cols, 32)}) {
    return Granularity{"mxfp8", rows, grid.cols, 1, 32};
  }
  if (grid == GridSize{1, 1}) return Granularity{"tensor", 1, 1, rows, cols};
  if (IsByColumn(payload, scale, grid.rows, grid.cols)) {
    return Granularity{"column", 1, cols, rows, 1};
  }
  if (grid == GridSize{rows, 1}) return Granularity{"channel", rows, 1, 1, cols};
  for (const Block& block : kUsualBlocks) {
    if (CeilDiv(rows, block.rows) == grid.rows && CeilDiv(cols, block.cols) == grid.cols) {
      return Granularity{BlockName(block), grid.rows, grid.cols, block.rows, block.cols};
    }
  }
  return std::nullopt;
}

/// What the shapes tell where the config says nothing.
std::optional<Granularity> GranularityOf(const TensorInfo& payload, const TensorInfo& scale,
                                         const std::optional<Tail>& tail) {
  const uint64_t rows = payload.shape[payload.shape.size() - 2], cols = payload.shape.back();
  if (CheckedProduct(scale.shape) == 1u && MatricesOf(payload.shape) != 1) {
    return Granularity{"tensor", 1, 1, rows, cols, false};
  }
  const auto grid = tail ? GridOfTail(*tail, rows) : std::nullopt;
  auto how = grid ? GranularityOfGrid(payload, scale, *grid) : std::nullopt;
  if (how) how->per_matrix = tail->per_matrix;
  return how;
}

/// What the config asks for; its grid is that of GridOf(words).
Granularity GranularityOf(const TensorInfo& payload, const TensorInfo& scale,
                          const QuantWords& words, GridSize grid) {
  const uint64_t rows = payload.shape[payload.shape.size() - 2], cols = payload.shape.back();
  if (words.strategy == "tensor") return {"tensor", 1, 1, rows, cols};
  const bool groups = words.strategy != "block" && words.group.value_or(0) > 0;
  if (words.strategy == "channel" || (words.strategy != "block" && !groups)) {
    return {"channel", rows, 1, 1, cols};
  }
  const Block block = groups ? Block{1, *words.group} : Block{words.block_rows, words.block_cols};
  const bool mx = block.rows == 1 && block.cols == 32 && IsByteScale(scale.dtype);
  return {mx ? "mxfp8" : BlockName(block), grid.rows, grid.cols, block.rows, block.cols};
}

/// The FP8 of config.json's blocks of 32 x 32 may have a scale for 1 x 32 (checkpoints.md 4.1).
QuantWords WithMxGroups(QuantWords words, const TensorInfo& scale, std::optional<GridSize> grid,
                        uint64_t rows, uint64_t cols) {
  const bool tiles = words.block_rows == 32 && words.block_cols == 32;
  if (tiles && IsByteScale(scale.dtype) && grid == GridSize{rows, CeilDiv(cols, 32)}) {
    words.block_rows = 1;
  }
  return words;
}

/// Gate and up were quantized apart, and I is no multiple of the block.
std::optional<std::string> ScalesOfHalves(const TensorInfo& payload, const QuantWords& words,
                                          const std::optional<GridSize>& found) {
  const uint64_t rows = payload.shape[payload.shape.size() - 2], block = words.block_rows;
  const bool gate_up = payload.name.find("gate_up") != std::string::npos && rows % 2 == 0;
  if (!gate_up || !found || block == 0) return std::nullopt;
  const uint64_t fused = CeilDiv(rows, block), halves = 2 * CeilDiv(rows / 2, block);
  if (halves == fused || found->rows != halves) return std::nullopt;
  return fmt::format(
      "{} rows of scales for blocks of {} x {} ({}; scales of gate and up apart are not decoded "
      "where I is no multiple of the block)",
      fused, block, words.block_cols, words.entry);
}

/// A payload with its scale, whose shape without leading axes makes a grid if it can be one.
struct Scaled {
  TensorRef payload, scale;
  uint64_t rows = 0, cols = 0;
  std::optional<Tail> tail;
  std::optional<GridSize> grid;

  Scaled(const TensorRef& codes, const TensorRef& scales) : payload(codes), scale(scales) {
    const std::vector<uint64_t>& shape = payload.info().shape;
    rows = shape[shape.size() - 2];
    cols = shape.back();
    tail = TailOf(shape, WithoutReducedAxes(shape, scale.info().shape));
    if (tail) grid = GridOfTail(*tail, rows);
  }
};

Result<void> CheckGrid(const Scaled& scaled, const QuantWords& words, GridSize grid) {
  return CheckStatements(scaled.payload, scaled.scale, words,
                         {SaysGrid(words, scaled.rows, scaled.cols, grid)});
}

/// As the shapes tell; `wanted`: what the config says all the same.
Result<Granularity> GranularityByShape(const Scaled& scaled, const QuantWords& words,
                                       const std::optional<GridSize>& wanted) {
  const auto how = GranularityOf(scaled.payload.info(), scaled.scale.info(), scaled.tail);
  if (!how) {
    return WrongCompanion(scaled.payload,
                          "scales by tensor, row, column or blocks of 128, 64 or 32", scaled.scale);
  }
  auto agrees = CheckGrid(scaled, words, wanted.value_or(GridSize{how->grid_rows, how->grid_cols}));
  if (!agrees) return tl::make_unexpected(agrees.error());
  return *how;
}

/// As the config says: scales must make the grid `wanted`.
Result<Granularity> GranularityBySaid(const Scaled& scaled, const QuantWords& words,
                                      GridSize wanted) {
  const TensorInfo &info = scaled.payload.info(), &scale = scaled.scale.info();
  if (const auto halves = ScalesOfHalves(info, words, scaled.grid)) {
    return WrongCompanion(scaled.payload, *halves, scaled.scale);
  }
  const bool lone = words.strategy == "tensor" && CheckedProduct(scale.shape) == 1u;
  const uint64_t matrices = MatricesOf(info.shape);
  if (!lone && (!scaled.grid || (!scaled.tail->per_matrix && matrices != 1))) {
    return WrongCompanion(scaled.payload,
                          fmt::format("{} x {} scales for each of {} matrices ({})", wanted.rows,
                                      wanted.cols, matrices, words.entry),
                          scaled.scale);
  }
  auto agrees = CheckGrid(scaled, words, lone ? GridSize{1, 1} : *scaled.grid);
  if (!agrees) return tl::make_unexpected(agrees.error());
  Granularity how = GranularityOf(info, scale, words, wanted);
  how.per_matrix = !lone || matrices == 1;
  return how;
}

/// How the scales lie: as the config says, else as their shape tells.
Result<Granularity> FindGranularity(const TensorRef& payload, const TensorRef& scale,
                                    const QuantWords& said) {
  const Scaled scaled(payload, scale);
  const auto& grid = scaled.grid;
  const QuantWords words = WithMxGroups(said, scale.info(), grid, scaled.rows, scaled.cols);
  const auto wanted = GridOf(words, scaled.rows, scaled.cols);
  // Channels of a stack [in, out] are its columns.
  const bool columns = words.strategy == "channel" && !payload.info().name.ends_with(".weight") &&
                       grid && scaled.tail->per_matrix &&
                       IsByColumn(payload.info(), scale.info(), grid->rows, grid->cols);
  if (wanted && !columns) return GranularityBySaid(scaled, words, *wanted);
  return GranularityByShape(scaled, words, wanted);
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

Weight WeightOf(const TensorRef& payload, const TensorRef& scale, const Granularity& how) {
  const TensorInfo& info = payload.info();
  const bool e5m2 = info.dtype == DType::kF8E5M2;
  const std::string storage = how.storage == "mxfp8"
                                  ? fmt::format("mxfp8{}", e5m2 ? "_e5m2" : "")
                                  : fmt::format("fp8{}_{}", e5m2 ? "_e5m2" : "", how.storage);
  return ScaledWeight(
      {.name = info.name, .shape = info.shape, .storage = storage, .parts = {payload, scale}},
      {.elements = e5m2 ? kE5m2Values : kE4m3Values,
       .scales = {.codes = &kE8m0WithNan,
                  .shared = !how.per_matrix,
                  .rows = how.grid_rows,
                  .cols = how.grid_cols,
                  .block_rows = how.block_rows,
                  .block_cols = how.block_cols}});
}

/// "e4m3" or "e5m2" of fmt, which may say "float8_e4m3fn"; empty: something else.
std::string FormatOf(const QuantWords& words) {
  const std::string text = words.Text("fmt");
  for (const char* format : {"e4m3", "e5m2"}) {
    if (text.find(format) != std::string::npos) return format;
  }
  return "";
}

}  // namespace

Result<std::optional<Weight>> FindFp8Weight(const TensorRef& payload, const TensorIndex& tensors,
                                            const QuantWords& words) {
  const TensorInfo& info = payload.info();
  const bool fnuz = info.dtype == DType::kF8E4M3Fnuz || info.dtype == DType::kF8E5M2Fnuz;
  const bool fp8 = info.dtype == DType::kF8E4M3 || info.dtype == DType::kF8E5M2;
  if ((!fp8 && !fnuz) || info.shape.size() < 2 || info.name.ends_with("scale")) {
    return std::optional<Weight>{};
  }
  if (fnuz) {
    return Fail(ErrorCode::kUnsupported, TensorPlace(info.name),
                fmt::format("{} is not decoded: no published checkpoint says how its scales are "
                            "meant",
                            info.dtype_text));
  }
  const auto scale = ScaleOf(tensors, info.name);
  if (!scale || !(IsScaleFloat(scale->info().dtype) || IsByteScale(scale->info().dtype))) {
    return WrongCompanion(payload, "a scale (weight_scale_inv, weight_scale, scale)", scale);
  }
  const bool e5m2 = info.dtype == DType::kF8E5M2;
  auto agrees = CheckStatements(
      payload, scale, words,
      {SaysMethod(words, {"fp8", "fbgemm_fp8", "mxfp8", "modelopt", "compressed-tensors"}),
       SaysFormat(words, {"float-quantized", "mxfp8-quantized", "naive-quantized"}),
       Says("type", words.type, "float"), Says("bits", words.bits, 8), SaysZeroPoints(words, false),
       Says("fmt", FormatOf(words), e5m2 ? "e5m2" : "e4m3")});
  if (!agrees) return tl::make_unexpected(agrees.error());
  const auto how = FindGranularity(payload, *scale, words);
  if (!how) return tl::make_unexpected(how.error());
  const bool by_line = how->storage == "channel" || how->storage == "column";
  if (IsByteScale(scale->info().dtype) &&
      (by_line || (how->storage == "tensor" && words.strategy == "tensor"))) {
    return WrongCompanion(payload, fmt::format("float scales by {}", how->storage), scale);
  }
  return WeightOf(payload, *scale, *how);
}

}  // namespace moe
