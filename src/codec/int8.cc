// Integers of 8 bits, checkpoints.md sections 6.2 and 7.3: compressed-tensors int-quantized and
// naive-quantized, value = (q - zero point) * scale; bitsandbytes, value = q * SCB / 127.
#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"
#include "checkpoint/names.h"
#include "codec/codecs.h"
#include "codec/scaled_codes.h"

namespace moe {
namespace {

/// Of npz files: parts are read as little-endian rows.
bool IsPlainOrder(const TensorInfo& info) {
  return !info.byte_swapped && (!info.fortran_order || info.shape.size() < 2);
}

/// (q * SCB) * (1 / 127), rounded after each step as bitsandbytes' int8_vectorwise_dequant does.
class Bitsandbytes8Decoder : public TileDecoder {
 public:
  explicit Bitsandbytes8Decoder(std::shared_ptr<const TileDecoder> scaled)
      : scaled_(std::move(scaled)) {}

  Result<void> Read(uint64_t matrix, const Tile& tile, float* out) const override {
    constexpr float kReciprocal = 7.874015718698502e-3f;
    const auto done = scaled_->Read(matrix, tile, out);
    const uint64_t count = tile.rows * tile.cols;
    for (uint64_t i = 0; i < count; ++i) out[i] *= kReciprocal;
    return done;
  }

 private:
  std::shared_ptr<const TileDecoder> scaled_;  ///< q * SCB
};

bool IsZero(const TensorBytes& bytes) {
  return std::all_of(bytes.data.begin(), bytes.data.end(),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

Weight Bitsandbytes8Weight(const TensorRef& payload, const TensorRef& scb,
                           const std::optional<TensorRef>& format) {
  const TensorInfo& info = payload.info();
  Weight weight{
      .name = info.name, .shape = info.shape, .storage = "bnb_int8", .parts = {payload, scb}};
  if (format) weight.parts.push_back(*format);
  const auto check_format = [place = TensorPlace(info.name)](std::span<TensorBytes> companions,
                                                             ScaledCodes&) -> Result<void> {
    if (companions.empty() || IsZero(companions[0])) return {};
    return Fail(ErrorCode::kUnsupported, place, "weight_format is not 0 (rows as they are)");
  };
  return ScaledWeight(
      std::move(weight),
      {.elements = kInt8Values, .scales = {.rows = info.shape[0], .block_cols = info.shape[1]}},
      {check_format}, [](auto scaled) -> std::shared_ptr<const TileDecoder> {
        return std::make_shared<Bitsandbytes8Decoder>(std::move(scaled));
      });
}

Result<std::optional<Weight>> FindBitsandbytes8(const TensorRef& payload, const TensorRef& scb,
                                                const std::optional<TensorRef>& format,
                                                const QuantWords& words) {
  const TensorInfo& info = payload.info();
  auto agrees = CheckStatements(
      payload, scb, words,
      {SaysMethod(words, {"bitsandbytes"}), Says("load_in_8bit", words.Flag("load_in_8bit"), true),
       Says("load_in_4bit", words.Flag("load_in_4bit"), false)});
  if (!agrees) return tl::make_unexpected(agrees.error());
  if (info.shape.size() != 2 || scb.info().dtype != DType::kF32 ||
      scb.info().shape != std::vector<uint64_t>{info.shape[0]} || !IsPlainOrder(scb.info())) {
    return WrongCompanion(payload, "one little-endian float32 of SCB a row", scb);
  }
  if (format && CheckedProduct(format->info().shape) != 1u) {
    return WrongCompanion(payload, "one number of weight_format", format);
  }
  return Bitsandbytes8Weight(payload, scb, format);
}

/// Bits of the integers: 8, or as config.json says of naive-quantized ones, which have a byte each.
uint64_t BitsOf(const QuantWords& words) {
  const bool naive = words.format == "naive-quantized";
  return naive ? std::clamp<uint64_t>(words.bits.value_or(8), 1, 8) : 8;
}

/// The scale's grid on a matrix: one scale, or the payload's rows by groups of columns.
std::optional<GridSize> GridOf(const TensorInfo& info, const TensorInfo& scale) {
  const std::vector<uint64_t>& shape = info.shape;
  const size_t ndim = shape.size();
  const uint64_t rows = shape[ndim - 2], cols = shape[ndim - 1];
  if (CheckedProduct(scale.shape) == 1u && MatricesOf(shape) == 1) return GridSize{1, 1};
  if (ndim == 2 && scale.shape == std::vector<uint64_t>{rows}) return GridSize{rows, 1};
  if (scale.shape.size() != ndim) return std::nullopt;
  const uint64_t groups = scale.shape.back();
  const bool rows_fit = scale.shape == WithLastAxes(shape, rows, groups);
  if (!rows_fit || groups == 0 || cols % groups != 0) return std::nullopt;
  return GridSize{rows, groups};
}

/// X.weight, X.weight_scale and maybe X.weight_zero_point.
struct ScaledInt8 {
  TensorRef payload;
  std::optional<TensorRef> scale, zero;
};

/// The grid of scales, and of zero points where there are some.
Result<GridSize> CheckedGrid(const ScaledInt8& found) {
  const auto& [payload, scale, zero] = found;
  const bool readable = scale && IsScaleFloat(scale->info().dtype) && IsPlainOrder(scale->info());
  const auto grid = readable ? GridOf(payload.info(), scale->info()) : std::nullopt;
  if (!grid) return WrongCompanion(payload, "weight_scale by tensor, row or group", scale);
  if (zero && (zero->info().dtype != DType::kI8 || zero->info().shape != scale->info().shape ||
               !IsPlainOrder(zero->info()))) {
    return WrongCompanion(payload, "weight_zero_point int8 of the shape of its scale", zero);
  }
  return *grid;
}

Result<void> ReadZeroPoints(std::span<TensorBytes> companions, ScaledCodes& codes) {
  ScaleGrid zeros = codes.scales;
  zeros.bytes = std::move(companions[0]);
  zeros.dtype = DType::kI8;
  zeros.codes = &kInt8Values;
  codes.zero = [zeros = std::move(zeros)](uint64_t matrix, uint64_t row, uint64_t grid_col) {
    return zeros.At(matrix, row / zeros.block_rows, grid_col);
  };
  return {};
}

Weight WeightOf(const ScaledInt8& found, GridSize grid, uint64_t bits) {
  const TensorInfo& info = found.payload.info();
  const uint64_t rows = info.shape[info.shape.size() - 2], group = info.shape.back() / grid.cols;
  const std::string by = grid.cols > 1    ? fmt::format("g{}", group)
                         : grid.rows == 1 ? "tensor"
                                          : "channel";
  Weight weight{.name = info.name,
                .shape = info.shape,
                .storage = fmt::format("int{}_{}{}", bits, by, found.zero ? "_asym" : ""),
                .parts = {found.payload, *found.scale}};
  if (found.zero) weight.parts.push_back(*found.zero);
  const ScaleGrid scales{.rows = grid.rows,
                         .cols = grid.cols,
                         .block_rows = grid.rows == 1 ? rows : 1,
                         .block_cols = group};
  Companions zeros;
  if (found.zero) zeros = {ReadZeroPoints, {LayoutOf(scales, DType::kI8)}};
  return ScaledWeight(std::move(weight), {.elements = kInt8Values, .scales = scales}, zeros);
}

Result<std::optional<Weight>> FindScaledInt8(const ScaledInt8& found, const QuantWords& words) {
  const std::vector<uint64_t>& shape = found.payload.info().shape;
  const auto grid = CheckedGrid(found);
  if (!grid) return tl::make_unexpected(grid.error());
  const uint64_t bits = BitsOf(words);
  auto agrees = CheckStatements(found.payload, found.scale, words,
                                {SaysMethod(words, {"compressed-tensors", "modelopt"}),
                                 SaysFormat(words, {"int-quantized", "naive-quantized"}),
                                 Says("type", words.type, "int"), Says("bits", words.bits, bits),
                                 SaysGrid(words, shape[shape.size() - 2], shape.back(), *grid),
                                 SaysZeroPoints(words, found.zero.has_value())});
  if (!agrees) return tl::make_unexpected(agrees.error());
  return WeightOf(found, *grid, bits);
}

}  // namespace

Result<std::optional<Weight>> FindInt8Weight(const TensorRef& payload, const TensorIndex& tensors,
                                             const QuantWords& words) {
  const TensorInfo& info = payload.info();
  const auto stem = StemOf(info.name, ".weight");
  if (!stem || info.dtype != DType::kI8 || info.shape.size() < 2) return std::optional<Weight>{};
  if (!IsPlainOrder(info)) {
    return Fail(ErrorCode::kUnsupported, TensorPlace(info.name), "its codes are in Fortran order",
                "save the array in C order (numpy.ascontiguousarray)");
  }
  if (const auto scb = tensors.Find(*stem, ".SCB")) {
    return FindBitsandbytes8(payload, *scb, tensors.Find(*stem, ".weight_format"), words);
  }
  const auto scale = tensors.Find(*stem, ".weight_scale");
  if (!scale && (tensors.Find(*stem, ".scale") || tensors.Find(*stem, ".weight_scale_inv"))) {
    return std::optional<Weight>{};  // two FP4 codes a byte: FindPackedFloats
  }
  return FindScaledInt8({payload, scale, tensors.Find(*stem, ".weight_zero_point")}, words);
}

}  // namespace moe
