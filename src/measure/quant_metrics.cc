#include "measure/quant_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "base/float_convert.h"
#include "measure/float_codes.h"

namespace moe {
namespace {

std::optional<double> IfFinite(double value) {
  if (!std::isfinite(value)) return std::nullopt;
  return value;
}

// Elements that affine's clamp, or the element format's range, would cut off (D24), judged from
// stored scales.
uint64_t CountClipped(const Quantizer& quantizer, const float* x, float scale, float bias) {
  uint64_t clipped = 0;
  const float levels = static_cast<float>((1u << quantizer.bits) - 1);
  const double limit = quantizer.largest * quantizer.DecodedScale(scale);
  for (size_t i = 0; i < quantizer.group_size; ++i) {
    if (quantizer.has_bias) {
      const float level = RoundTiesEven((x[i] - bias) / scale);
      clipped += level < 0.0f || level > levels;
    } else {
      clipped += std::fabs(x[i]) > limit;
    }
  }
  return clipped;
}

}  // namespace

Tiling::Tiling(uint64_t rows, uint64_t cols) : rows_(rows), cols_(cols) {
  tile_cols_ = std::clamp<uint64_t>(cols, 1, kMaxElements);
  tile_rows_ = cols > kMaxElements ? 1 : kMaxElements / tile_cols_;
  tiles_down_ = rows / tile_rows_ + (rows % tile_rows_ != 0);
  tiles_across_ = cols / tile_cols_ + (cols % tile_cols_ != 0);
}

Tile Tiling::operator[](uint64_t index) const {
  Tile tile;
  tile.row = index / tiles_across_ * tile_rows_;
  tile.col = index % tiles_across_ * tile_cols_;
  tile.rows = std::min(tile_rows_, rows_ - tile.row);
  tile.cols = std::min(tile_cols_, cols_ - tile.col);
  return tile;
}

void RoundToComputeDType(std::span<float> values, ComputeDType dtype) {
  if (dtype == ComputeDType::kF16) {
    for (float& value : values) value = RoundToHalf(value);
  } else if (dtype == ComputeDType::kBF16) {
    for (float& value : values) value = RoundToBFloat16(value);
  }
}

ComputeDType DefaultComputeDType(DType storage) {
  if (storage == DType::kF16) return ComputeDType::kF16;
  if (storage == DType::kF32 || storage == DType::kF64) return ComputeDType::kF32;
  return ComputeDType::kBF16;
}

void WeightTotals::AddTile(const TileSums& in_t, uint64_t storage_nonfinite) {
  sum_sq_ += in_t.sum_sq;
  max_bits_ = std::max(max_bits_, in_t.max_bits);
  storage_nonfinite_ += storage_nonfinite;
  nonfinite_in_t_ += in_t.nonfinite;
}

double WeightTotals::max_abs() const { return std::bit_cast<float>(max_bits_); }

std::optional<std::string> WeightTotals::Refusal(ComputeDType dtype) const {
  if (storage_nonfinite_ != 0) {
    return fmt::format("ValueError: {} non-finite weights", storage_nonfinite_);
  }
  if (nonfinite_in_t_ != 0) {
    return fmt::format("OverflowError: {} weights exceed {}", nonfinite_in_t_,
                       ComputeDTypeName(dtype));
  }
  return std::nullopt;
}

void QuantErrorSums::Signed::Add(double value, bool first) {
  sum += value;
  max = first ? value : std::max(max, value);
}

void QuantErrorSums::AddElements(const float* x, const float* w_hat, size_t count) {
  AddErrors(x, w_hat, count, lanes_);
}

void QuantErrorSums::AddGroups(const float* scales, const float* biases, size_t groups,
                               uint64_t clipped) {
  for (size_t g = 0; g < groups; ++g) {
    const bool first = groups_++ == 0;
    const double scale = quantizer_.DecodedScale(scales[g]);
    scale_.Add(scale, first);
    scale_abs_.Add(std::fabs(scale), first);
    if (quantizer_.has_bias) bias_.Add(biases[g], first);
  }
  clipped_ += clipped;
}

void QuantErrorSums::EndTile() {
  sum_sq_ += FoldSum(lanes_.sum_sq);
  for (const double max_abs : lanes_.max_abs) max_abs_ = std::max(max_abs_, max_abs);
  std::fill(std::begin(lanes_.sum_sq), std::end(lanes_.sum_sq), 0.0);
}

QuantError QuantErrorSums::Finish(const WeightTotals& weights, double eps,
                                  std::optional<double> rel_den_floor) const {
  QuantError out;
  const auto groups = static_cast<double>(groups_);
  const auto elements = groups * static_cast<double>(quantizer_.group_size);
  out.scale_mean = IfFinite(scale_.sum / groups);
  out.scale_max = IfFinite(scale_.max);
  out.scale_abs_mean = IfFinite(scale_abs_.sum / groups);
  out.scale_abs_max = IfFinite(scale_abs_.max);
  if (quantizer_.has_bias) {
    out.bias_mean = IfFinite(bias_.sum / groups);
    out.bias_max = IfFinite(bias_.max);
  }
  out.bits_per_weight = quantizer_.BitsPerWeight();
  out.zero_share = static_cast<double>(lanes_.zeroed) / elements;
  out.clip_share = static_cast<double>(clipped_) / elements;
  if (lanes_.max_bits >= kInfinityBits) {
    out.error = "ValueError: non-finite reconstruction";
    return out;
  }
  const double floor = rel_den_floor.value_or(0.0);
  out.w_rel_fro = std::sqrt(sum_sq_) / std::max(std::sqrt(weights.sum_sq()) + eps, floor);
  out.w_rel_max = max_abs_ / std::max(weights.max_abs() + eps, floor);
  out.max_abs_err = max_abs_;
  if (sum_sq_ != 0 && weights.sum_sq() != 0) {
    const double decibels = 10.0 * std::log10(weights.sum_sq() / sum_sq_);
    out.sqnr_db = std::round(decibels * 1e9) / 1e9;
  }
  return out;
}

Result<QuantError> ErrorOfQuantized(std::span<const float> x, uint64_t rows, uint64_t cols,
                                    const QuantizedMatrix& quantized, const QuantScheme& scheme,
                                    ComputeDType dtype, double eps,
                                    std::optional<double> rel_den_floor) {
  const auto fail = [&](std::string message) {
    return Fail(ErrorCode::kBadArgument, "scheme '" + scheme.name + "'", std::move(message), {},
                "ValueError");
  };
  if (quantized.rows != rows) {
    return fail(fmt::format("expected {} quant rows but got {}", rows, quantized.rows));
  }
  // The GPU profile checks least: whoever quantized this has done its own checks.
  const auto quantizer = MakeQuantizer(scheme, QuantProfile::kMlxGpu, dtype, rows, cols);
  if (!quantizer) return tl::make_unexpected(quantizer.error());
  const size_t group = quantizer->group_size;
  if (x.size() != rows * cols || quantized.w_hat.size() != x.size() ||
      quantized.scales.size() != x.size() / group ||
      (quantizer->has_bias && quantized.biases.size() != quantized.scales.size())) {
    return fail(fmt::format("quantized arrays do not fit a matrix of shape ({},{})", rows, cols));
  }

  WeightTotals weights;
  QuantErrorSums sums(*quantizer);
  const Tiling tiling(rows, cols);
  size_t at = 0;
  for (uint64_t t = 0; t < tiling.count(); ++t) {
    const size_t count = static_cast<size_t>(tiling[t].rows * tiling[t].cols);
    weights.AddTile(SumTile(&x[at], count), 0);
    sums.AddElements(&x[at], &quantized.w_hat[at], count);
    for (size_t i = at; i < at + count; i += group) {
      const float* scale = &quantized.scales[i / group];
      const float* bias = quantizer->has_bias ? &quantized.biases[i / group] : nullptr;
      const uint64_t clipped =
          CountClipped(*quantizer, &x[i], *scale, bias == nullptr ? 0.0f : *bias);
      sums.AddGroups(scale, bias, 1, clipped);
    }
    sums.EndTile();
    at += count;
  }
  return sums.Finish(weights, eps, rel_den_floor);
}

Result<WeightsInT> ReadWeightsInT(const MatrixSource& matrix, ComputeDType dtype) {
  WeightsInT out;
  out.x.resize(static_cast<size_t>(matrix.rows() * matrix.cols()));
  WeightTotals weights;
  const Tiling tiling(matrix.rows(), matrix.cols());
  float* at = out.x.data();
  for (uint64_t t = 0; t < tiling.count(); ++t) {
    const Tile tile = tiling[t];
    const size_t count = static_cast<size_t>(tile.rows * tile.cols);
    if (auto read = matrix.Read(tile, at); !read) return tl::make_unexpected(read.error());
    const uint64_t nonfinite = SumTile(at, count).nonfinite;
    RoundToComputeDType({at, count}, dtype);
    weights.AddTile(SumTile(at, count), nonfinite);
    at += count;
  }
  out.refusal = weights.Refusal(dtype);
  return out;
}

}  // namespace moe
