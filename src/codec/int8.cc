// Integers of 8 bits, formats.md sections 6.2 and 7.3: compressed-tensors int-quantized and
// naive-quantized, value = (q - zero point) * scale; bitsandbytes, value = q * SCB / 127.
#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"
#include "checkpoint/names.h"
#include "codec/codecs.h"
#include "codec/scaled_codes.h"

namespace moe {
namespace {

ScaledCodes CodesOf(const TensorInfo& info) {
  ScaledCodes codes;
  codes.rows = info.shape[info.shape.size() - 2];
  codes.cols = info.shape.back();
  codes.row_bytes = codes.cols;
  codes.elements = SignedElements();
  codes.scales.block_cols = codes.cols;
  return codes;
}

/// Of npz files: parts are read as little-endian rows.
bool IsPlainOrder(const TensorInfo& info) {
  return !info.byte_swapped && (!info.fortran_order || info.shape.size() < 2);
}

/// (q * SCB) * (1 / 127), rounded after each step as bitsandbytes' int8_vectorwise_dequant does.
class Bitsandbytes8Array : public WeightArray {
 public:
  explicit Bitsandbytes8Array(std::shared_ptr<const WeightArray> scaled)
      : scaled_(std::move(scaled)) {}

  Result<void> Read(uint64_t matrix, const Tile& tile, float* out) const override {
    constexpr float kReciprocal = 7.874015718698502e-3f;
    const auto done = scaled_->Read(matrix, tile, out);
    const uint64_t count = tile.rows * tile.cols;
    for (uint64_t i = 0; i < count; ++i) out[i] *= kReciprocal;
    return done;
  }

 private:
  std::shared_ptr<const WeightArray> scaled_;  ///< q * SCB
};

bool IsZero(const TensorBytes& bytes) {
  return std::all_of(bytes.data.begin(), bytes.data.end(),
                     [](std::byte byte) { return byte == std::byte{0}; });
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
  ScaledCodes codes = CodesOf(info);
  codes.scales.rows = codes.rows;
  Weight weight;
  weight.name = info.name;
  weight.shape = info.shape;
  weight.storage = "bnb_int8";
  weight.parts = {payload, scb};
  if (format) weight.parts.push_back(*format);
  weight.open = [codes, place = fmt::format("tensor '{}'", Printable(info.name))](
                    std::vector<TensorBytes> bytes) -> Result<std::shared_ptr<const WeightArray>> {
    if (bytes.size() > 2 && !IsZero(bytes[2])) {
      return Fail(ErrorCode::kUnsupported, place, "weight_format is not 0 (rows as they are)");
    }
    ScaledCodes opened = codes;
    opened.bytes = std::move(bytes[0]);
    opened.scales.bytes = std::move(bytes[1]);
    return std::make_shared<Bitsandbytes8Array>(MakeScaledArray(std::move(opened)));
  };
  return weight;
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

}  // namespace

Result<std::optional<Weight>> FindInt8Weight(const TensorRef& payload, const TensorIndex& tensors,
                                             const QuantWords& words) {
  const TensorInfo& info = payload.info();
  const auto stem = StemOf(info.name, ".weight");
  if (!stem || info.dtype != DType::kI8 || info.shape.size() < 2) return std::optional<Weight>{};
  if (!IsPlainOrder(info)) {
    return Fail(ErrorCode::kUnsupported, fmt::format("tensor '{}'", Printable(info.name)),
                "its codes are in Fortran order",
                "save the array in C order (numpy.ascontiguousarray)");
  }
  if (const auto scb = tensors.Find(*stem, ".SCB")) {
    return FindBitsandbytes8(payload, *scb, tensors.Find(*stem, ".weight_format"), words);
  }
  const auto scale = tensors.Find(*stem, ".weight_scale");
  const auto zero = tensors.Find(*stem, ".weight_zero_point");
  if (!scale && (tensors.Find(*stem, ".scale") || tensors.Find(*stem, ".weight_scale_inv"))) {
    return std::optional<Weight>{};  // two FP4 codes a byte: FindPackedFloats
  }
  const bool readable = scale && IsScaleFloat(scale->info().dtype) && IsPlainOrder(scale->info());
  const auto grid = readable ? GridOf(info, scale->info()) : std::nullopt;
  if (!grid) return WrongCompanion(payload, "weight_scale by tensor, row or group", scale);
  if (zero && (zero->info().dtype != DType::kI8 || zero->info().shape != scale->info().shape ||
               !IsPlainOrder(zero->info()))) {
    return WrongCompanion(payload, "weight_zero_point int8 of the shape of its scale", zero);
  }
  const uint64_t bits = BitsOf(words);
  auto agrees =
      CheckStatements(payload, scale, words,
                      {SaysMethod(words, {"compressed-tensors", "modelopt"}),
                       SaysFormat(words, {"int-quantized", "naive-quantized"}),
                       Says("type", words.type, "int"), Says("bits", words.bits, bits),
                       SaysGrid(words, info.shape[info.shape.size() - 2], info.shape.back(), *grid),
                       SaysZeroPoints(words, zero.has_value())});
  if (!agrees) return tl::make_unexpected(agrees.error());
  ScaledCodes codes = CodesOf(info);
  codes.scales.dtype = scale->info().dtype;
  codes.scales.matrices = MatricesOf(info.shape);
  codes.scales.rows = grid->rows;
  codes.scales.cols = grid->cols;
  codes.scales.block_rows = grid->rows == 1 ? codes.rows : 1;
  codes.scales.block_cols = codes.cols / grid->cols;
  Weight weight;
  weight.name = info.name;
  weight.shape = info.shape;
  weight.storage = fmt::format("int{}_{}{}", bits,
                               grid->cols > 1 ? fmt::format("g{}", codes.scales.block_cols)
                                              : (grid->rows == 1 ? "tensor" : "channel"),
                               zero ? "_asym" : "");
  const DType dtype = scale->info().dtype;
  if (dtype == DType::kF16 || dtype == DType::kBF16) weight.float_dtype = dtype;
  weight.parts = {payload, *scale};
  if (zero) weight.parts.push_back(*zero);
  weight.open =
      [codes](std::vector<TensorBytes> bytes) -> Result<std::shared_ptr<const WeightArray>> {
    ScaledCodes opened = codes;
    opened.bytes = std::move(bytes[0]);
    opened.scales.bytes = std::move(bytes[1]);
    if (bytes.size() > 2) {
      const ScaleGrid grid_of = opened.scales;
      opened.zero = [zeros = std::move(bytes[2]), grid_of](uint64_t matrix, uint64_t row,
                                                           uint64_t col) {
        const uint64_t at = (matrix * grid_of.rows + row / grid_of.block_rows) * grid_of.cols + col;
        return static_cast<float>(static_cast<int8_t>(zeros.data[at]));
      };
    }
    return MakeScaledArray(std::move(opened));
  };
  return weight;
}

}  // namespace moe
