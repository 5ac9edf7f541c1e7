#include "measure/quant_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "base/float_convert.h"
#include "measure/encode.h"
#include "measure/float_codes.h"

namespace moe {
namespace {

std::optional<double> IfFinite(double value) {
  if (!std::isfinite(value)) return std::nullopt;
  return value;
}

void MergeStored(const StoredSums& from, StoredSums& to) {
  for (size_t lane = 0; lane < kSumLanes; ++lane) {
    to.sum[lane] += from.sum[lane];
    to.sum_abs[lane] += from.sum_abs[lane];
    to.max[lane] = std::max(to.max[lane], from.max[lane]);
    to.max_abs[lane] = std::max(to.max_abs[lane], from.max_abs[lane]);
  }
}

}  // namespace

uint64_t CountClipped(const Quantizer& quantizer, const float* x, float scale, float bias) {
  uint64_t clipped = 0;
  const float levels = static_cast<float>((1u << quantizer.bits) - 1);
  const double limit = quantizer.mode->largest * quantizer.DecodedScale(scale);
  for (size_t i = 0; i < quantizer.group_size; ++i) {
    if (quantizer.mode->has_bias) {
      const float level = RoundTiesEven((x[i] - bias) / scale);
      clipped += level < 0.0f || level > levels;
    } else {
      clipped += std::fabs(x[i]) > limit;
    }
  }
  return clipped;
}

Tiling::Tiling(uint64_t rows, uint64_t cols) : rows_(rows), cols_(cols) {
  tile_cols_ = std::clamp<uint64_t>(cols, 1, kMaxElements);
  tile_rows_ = cols > kMaxElements ? 1 : kMaxElements / tile_cols_;
  tiles_down_ = rows / tile_rows_ + (rows % tile_rows_ != 0);
  tiles_across_ = cols / tile_cols_ + (cols % tile_cols_ != 0);
}

uint64_t Tiling::tiles_per_part() const {
  const uint64_t row_elements = tile_rows_ * cols_;
  return tiles_across_ * std::max<uint64_t>(1, kPartElements / row_elements);
}

Tile Tiling::operator[](uint64_t index) const {
  Tile tile;
  tile.row = index / tiles_across_ * tile_rows_;
  tile.col = index % tiles_across_ * tile_cols_;
  tile.rows = std::min(tile_rows_, rows_ - tile.row);
  tile.cols = std::min(tile_cols_, cols_ - tile.col);
  return tile;
}

ComputeDType DefaultComputeDType(DType storage) {
  if (storage == DType::kF16) return ComputeDType::kF16;
  if (storage == DType::kF32 || storage == DType::kF64) return ComputeDType::kF32;
  return ComputeDType::kBF16;
}

std::vector<double> ImportanceForBatches(std::span<const double> importance) {
  std::vector<double> repeated(importance.begin(), importance.end());
  if (importance.empty()) return repeated;
  repeated.resize(importance.size() + kBatchElements);
  for (size_t i = importance.size(); i < repeated.size(); ++i) {
    repeated[i] = repeated[i - importance.size()];
  }
  return repeated;
}

void WeightTotals::AddTile(const TileSums& in_t, uint64_t nonfinite_before) {
  sum_sq += in_t.sum_sq;
  max_abs = std::max(max_abs, double{std::bit_cast<float>(in_t.max_bits)});
  storage_nonfinite += nonfinite_before;
  nonfinite_in_t += in_t.nonfinite;
}

void WeightTotals::Merge(const WeightTotals& other) {
  sum_sq += other.sum_sq;
  max_abs = std::max(max_abs, other.max_abs);
  storage_nonfinite += other.storage_nonfinite;
  nonfinite_in_t += other.nonfinite_in_t;
  energy += other.energy;
}

std::optional<std::string> WeightTotals::Refusal(ComputeDType dtype) const {
  if (storage_nonfinite != 0) {
    return fmt::format("ValueError: {} non-finite weights", storage_nonfinite);
  }
  if (nonfinite_in_t != 0) {
    return fmt::format("OverflowError: {} weights exceed {}", nonfinite_in_t,
                       ComputeDTypeName(dtype));
  }
  return std::nullopt;
}

void QuantErrorSums::AddGroups(const GroupBatch& batch) {
  if (quantizer_.search) {
    std::vector<float> w_hat(batch.groups * group_size());
    float scales[GroupBatch::kMostGroups], biases[GroupBatch::kMostGroups];
    GroupRun run{batch.x, batch.groups, scales, biases, w_hat.data(), nullptr, 0};
    RunSearch(quantizer_, run);
    return AddQuantized(batch.x, w_hat.data(), scales, biases, batch.importance, batch.groups);
  }
  AddGroupErrors(quantizer_, batch, sums_);
  groups_ += batch.groups;
}

void QuantErrorSums::AddQuantized(const float* x, const float* w_hat, const float* scales,
                                  const float* biases, const double* importance, size_t groups) {
  double wide[GroupBatch::kMostGroups] = {};
  for (size_t g = 0; g < groups; ++g) {
    wide[g] = quantizer_.DecodedScale(scales[g]);
    sums_.clipped += CountClipped(quantizer_, x + g * group_size(), scales[g],
                                  quantizer_.mode->has_bias ? biases[g] : 0.0f);
  }
  AddStored(wide, groups, sums_.scales);
  if (quantizer_.mode->has_bias) {
    std::copy_n(biases, groups, wide);
    AddStored(wide, groups, sums_.biases);
  }
  AddErrors(quantizer_.dtype, x, w_hat, importance, groups * group_size(), sums_);
  groups_ += groups;
}

void QuantErrorSums::EndTile() {
  sum_sq_ += FoldSum(sums_.sum_sq);
  weighted_sq_ += FoldSum(sums_.weighted_sq);
  std::ranges::fill(sums_.sum_sq, 0.0);
  std::ranges::fill(sums_.weighted_sq, 0.0);
}

void QuantErrorSums::Merge(const QuantErrorSums& other) {
  sum_sq_ += other.sum_sq_;
  weighted_sq_ += other.weighted_sq_;
  groups_ += other.groups_;
  sums_.max_abs = std::max(sums_.max_abs, other.sums_.max_abs);
  sums_.zeroed += other.sums_.zeroed;
  sums_.clipped += other.sums_.clipped;
  sums_.nonfinite |= other.sums_.nonfinite;
  MergeStored(other.sums_.scales, sums_.scales);
  MergeStored(other.sums_.biases, sums_.biases);
}

QuantError QuantErrorSums::Finish(const WeightTotals& weights, double eps,
                                  std::optional<double> rel_den_floor) const {
  QuantError out;
  const auto groups = static_cast<double>(groups_);
  const auto elements = groups * static_cast<double>(quantizer_.group_size);
  out.scale_mean = IfFinite(FoldSum(sums_.scales.sum) / groups);
  out.scale_max = IfFinite(*std::ranges::max_element(sums_.scales.max));
  out.scale_abs_mean = IfFinite(FoldSum(sums_.scales.sum_abs) / groups);
  out.scale_abs_max = IfFinite(*std::ranges::max_element(sums_.scales.max_abs));
  if (quantizer_.mode->has_bias) {
    out.bias_mean = IfFinite(FoldSum(sums_.biases.sum) / groups);
    out.bias_max = IfFinite(*std::ranges::max_element(sums_.biases.max));
  }
  out.bits_per_weight = quantizer_.BitsPerWeight();
  out.zero_share = static_cast<double>(sums_.zeroed) / elements;
  out.clip_share = static_cast<double>(sums_.clipped) / elements;
  if (sums_.nonfinite) {
    out.error = "ValueError: non-finite reconstruction";
    return out;
  }
  const double floor = rel_den_floor.value_or(0.0);
  out.w_rel_fro = std::sqrt(sum_sq_) / std::max(std::sqrt(weights.sum_sq) + eps, floor);
  out.w_rel_max = sums_.max_abs / std::max(weights.max_abs + eps, floor);
  out.max_abs_err = sums_.max_abs;
  if (weights.energy != 0 && std::isfinite(weights.energy)) {
    out.act_rel_fro = IfFinite(std::sqrt(weighted_sq_) / std::sqrt(weights.energy));
  }
  if (sum_sq_ != 0 && weights.sum_sq != 0) {
    const double decibels = 10.0 * std::log10(weights.sum_sq / sum_sq_);
    out.sqnr_db = std::round(decibels * 1e9) / 1e9;
  }
  return out;
}

Result<QuantError> ErrorOfQuantized(std::span<const float> x, uint64_t rows, uint64_t cols,
                                    const QuantizedMatrix& quantized, const QuantScheme& scheme,
                                    ComputeDType dtype, double eps,
                                    std::optional<double> rel_den_floor,
                                    std::span<const double> importance) {
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
      (quantizer->mode->has_bias && quantized.biases.size() != quantized.scales.size())) {
    return fail(fmt::format("quantized arrays do not fit a matrix of shape ({},{})", rows, cols));
  }

  WeightTotals weights;
  QuantErrorSums sums(*quantizer);
  const std::vector<double> repeated = ImportanceForBatches(importance);
  const Tiling tiling(rows, cols);
  size_t at = 0;
  for (uint64_t t = 0; t < tiling.count(); ++t) {
    const size_t count = static_cast<size_t>(tiling[t].rows * tiling[t].cols);
    weights.AddTile(SumTile(&x[at], count), 0);
    for (size_t i = at; i < at + count; i += kBatchElements) {
      const size_t elements = std::min(kBatchElements, at + count - i);
      const double* of_batch = repeated.empty() ? nullptr : &repeated[i % cols];
      if (of_batch != nullptr) weights.energy += SumWeightedSquares(&x[i], of_batch, elements);
      sums.AddQuantized(&x[i], &quantized.w_hat[i], &quantized.scales[i / group],
                        quantizer->mode->has_bias ? &quantized.biases[i / group] : nullptr,
                        of_batch, elements / group);
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
    RoundToCompute(at, count, dtype);
    weights.AddTile(SumTile(at, count), nonfinite);
    at += count;
  }
  out.refusal = weights.Refusal(dtype);
  return out;
}

}  // namespace moe
