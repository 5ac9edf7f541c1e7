#include "moescope/measure.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <utility>

#include "measure/group_outliers.h"
#include "measure/kernels.h"
#include "measure/percentiles.h"
#include "measure/quant_kernels.h"
#include "measure/quant_metrics.h"
#include "measure/quantizer.h"

namespace moe {
namespace {

// Mean and variance, tile by tile (Chan, Golub, LeVeque 1979): exact enough for mean >> std.
class Moments {
 public:
  void AddTile(const float* x, size_t count, const TileSums& sums) {
    const auto n = static_cast<double>(count);
    const double tile_mean = sums.sum / n;
    const double tile_m2 = SumSquaredDeviation(x, count, tile_mean);
    const double off = tile_mean - mean_;
    const double total = count_ + n;
    m2_ += tile_m2 + off * off * (count_ * n / total);
    mean_ += off * (n / total);
    count_ = total;
    sum_ += sums.sum;
    sum_abs_ += sums.sum_abs;
    sum_sq_ += sums.sum_sq;
    max_bits_ = std::max(max_bits_, sums.max_bits);
  }

  void Fill(MatrixStats& stats) const {
    stats.mean = sum_ / count_;
    stats.std = std::sqrt(m2_ / count_);
    stats.mean_abs = sum_abs_ / count_;
    stats.rms = std::sqrt(sum_sq_ / count_);
    stats.max_abs = std::bit_cast<float>(max_bits_);
  }

 private:
  double count_ = 0, mean_ = 0, m2_ = 0, sum_ = 0, sum_abs_ = 0, sum_sq_ = 0;
  uint32_t max_bits_ = 0;
};

// Picks the sampled elements out of the stream as it passes.
class SamplePicker {
 public:
  explicit SamplePicker(const std::vector<int64_t>& indices) : indices_(indices) {}

  /// The sampled ones among elements [begin, begin + x.size()); call in stream order.
  std::span<const float> Pick(uint64_t begin, std::span<const float> x) {
    picked_.clear();
    if (begin == 0) next_ = 0;
    const uint64_t end = begin + x.size();
    for (; next_ < indices_.size() && static_cast<uint64_t>(indices_[next_]) < end; ++next_) {
      picked_.push_back(x[static_cast<uint64_t>(indices_[next_]) - begin]);
    }
    return picked_;
  }

 private:
  const std::vector<int64_t>& indices_;
  size_t next_ = 0;
  std::vector<float> picked_;
};

// One scheme on its way through the tiles.
class SchemeRun {
 public:
  SchemeRun(const QuantScheme& scheme, QuantProfile profile, ComputeDType dtype, uint64_t rows,
            uint64_t cols)
      : quantizer_(MakeQuantizer(scheme, profile, dtype, rows, cols)) {
    if (quantizer_) sums_.emplace(*quantizer_);
  }

  /// `x`: a tile in T, finite.
  void AddTile(const float* x, size_t count) {
    if (!quantizer_) return;
    constexpr size_t kBatch = 2048;  // elements: their reconstruction stays in the first cache
    float w_hat[kBatch];
    float scales[kBatch / 16], biases[kBatch / 16];
    const size_t group = quantizer_->group_size;
    for (size_t at = 0; at < count; at += kBatch) {
      const size_t elements = std::min(kBatch, count - at);
      GroupRun run{x + at, elements / group, scales, biases, w_hat, nullptr, 0};
      QuantizeGroups(*quantizer_, run);
      sums_->AddElements(run.x, w_hat, elements);
      sums_->AddGroups(scales, biases, run.groups, run.clipped);
    }
    sums_->EndTile();
  }

  QuantError Finish(const WeightTotals& weights, const MeasureOptions& options,
                    ComputeDType dtype) const {
    QuantError failed;
    failed.error = weights.Refusal(dtype);
    if (failed.error) return failed;
    if (quantizer_) return sums_->Finish(weights, options.eps, options.rel_den_floor);
    failed.error = quantizer_.error().TypeName() + ": " + quantizer_.error().message;
    return failed;
  }

 private:
  Result<Quantizer> quantizer_;
  std::optional<QuantErrorSums> sums_;
};

// Everything that is computed on one matrix.
class Measurement {
 public:
  Measurement(const MatrixSource& matrix, const MeasureOptions& options,
              const std::vector<int64_t>* sample)
      : matrix_(matrix),
        options_(options),
        elements_(matrix.rows() * matrix.cols()),
        dtype_(options.compute_dtype.value_or(DefaultComputeDType(matrix.storage_dtype()))),
        exact_in_t_(dtype_ == ComputeDType::kF32 ||
                    (dtype_ == ComputeDType::kF16 && matrix.storage_dtype() == DType::kF16) ||
                    (dtype_ == ComputeDType::kBF16 && matrix.storage_dtype() == DType::kBF16)),
        percentiles_(sample == nullptr ? elements_ : sample->size(), options.percentiles_abs,
                     matrix.storage_dtype() == DType::kBF16 ? 16 : 13) {
    if (sample != nullptr) picker_.emplace(*sample);
    for (const int64_t group_size : options.group_sizes) {
      const bool divides = group_size > 0 && matrix.cols() % static_cast<uint64_t>(group_size) == 0;
      groups_.emplace_back();
      if (divides) {
        groups_.back().emplace(static_cast<uint64_t>(group_size), elements_,
                               options.group_outlier_percentile, options.eps);
      }
    }
    for (const QuantScheme& scheme : options.schemes) {
      schemes_.emplace_back(scheme, options.profile, dtype_, matrix.rows(), matrix.cols());
    }
  }

  Result<MatrixMeasurement> Run() {
    if (auto read = ForTiles([this](auto begin, auto x) { FirstRead(begin, x); }); !read) {
      return tl::make_unexpected(read.error());
    }
    if (nonfinite_ == 0 && NeedsSecondRead()) {
      if (auto read = ForTiles([this](auto begin, auto x) { SecondRead(begin, x); }); !read) {
        return tl::make_unexpected(read.error());
      }
    }
    return Finish();
  }

 private:
  Result<void> ForTiles(const std::function<void(uint64_t, std::span<const float>)>& visit) {
    const Tiling tiling(matrix_.rows(), matrix_.cols());
    tile_.resize(static_cast<size_t>(std::min(Tiling::kMaxElements, elements_)));
    uint64_t begin = 0;
    for (uint64_t t = 0; t < tiling.count(); ++t) {
      const Tile tile = tiling[t];
      if (auto read = matrix_.Read(tile, tile_.data()); !read) return read;
      const auto count = static_cast<size_t>(tile.rows * tile.cols);
      visit(begin, std::span<const float>(tile_.data(), count));
      begin += count;
    }
    return {};
  }

  void FirstRead(uint64_t begin, std::span<const float> x) {
    const TileSums sums = SumTile(x.data(), x.size());
    nonfinite_ += sums.nonfinite;
    AddToSchemes(x, sums);
    if (nonfinite_ != 0) return;  // nothing else of this matrix will be reported
    moments_.AddTile(x.data(), x.size(), sums);
    percentiles_.Add(Sampled(begin, x));
    for (auto& group : groups_) {
      if (group) group->Add(x);
    }
  }

  void AddToSchemes(std::span<const float> x, const TileSums& storage_sums) {
    if (schemes_.empty()) return;
    const float* in_t = x.data();
    if (!exact_in_t_) {
      tile_in_t_.assign(x.begin(), x.end());
      RoundToComputeDType(tile_in_t_, dtype_);
      in_t = tile_in_t_.data();
    }
    weights_.AddTile(exact_in_t_ ? storage_sums : SumTile(in_t, x.size()), storage_sums.nonfinite);
    if (weights_.Refusal(dtype_)) return;
    for (SchemeRun& scheme : schemes_) scheme.AddTile(in_t, x.size());
  }

  std::span<const float> Sampled(uint64_t begin, std::span<const float> x) {
    return picker_ ? picker_->Pick(begin, x) : x;
  }

  bool NeedsSecondRead() {
    refine_percentiles_ = percentiles_.NeedsSecondRead();
    bool any = refine_percentiles_;
    for (auto& group : groups_) {
      refine_group_.push_back(group && group->NeedsSecondRead());
      any = any || refine_group_.back();
    }
    return any;
  }

  void SecondRead(uint64_t begin, std::span<const float> x) {
    if (refine_percentiles_) percentiles_.Refine(Sampled(begin, x));
    for (size_t i = 0; i < groups_.size(); ++i) {
      if (refine_group_[i]) groups_[i]->Refine(x);
    }
  }

  MatrixMeasurement Finish() const {
    MatrixMeasurement out;
    out.compute_dtype = dtype_;
    out.stats.nonfinite_count = nonfinite_;
    if (nonfinite_ == 0) FillStats(out.stats);
    for (const SchemeRun& scheme : schemes_) {
      out.quant.push_back(scheme.Finish(weights_, options_, dtype_));
    }
    return out;
  }

  void FillStats(MatrixStats& stats) const {
    moments_.Fill(stats);
    stats.percentiles = percentiles_.Values();
    const double median = stats.percentiles[0] + options_.eps;
    stats.outlier_max_over_mean = stats.max_abs / (stats.mean_abs + options_.eps);
    stats.outlier_p99_over_median = stats.percentiles[1] / median;
    stats.outlier_p999_over_median = stats.percentiles[2] / median;
    for (const auto& group : groups_) {
      stats.groups.emplace_back();
      if (!group) continue;
      stats.groups.back().percentile = group->percentile();
      stats.groups.back().max = group->max();
    }
  }

  const MatrixSource& matrix_;
  const MeasureOptions& options_;
  const uint64_t elements_;
  const ComputeDType dtype_;
  const bool exact_in_t_;  // the weights are values of T already
  std::vector<float> tile_, tile_in_t_;

  uint64_t nonfinite_ = 0;
  Moments moments_;
  PercentileSelector percentiles_;
  std::optional<SamplePicker> picker_;
  std::vector<std::optional<GroupOutliers>> groups_;
  bool refine_percentiles_ = false;
  std::vector<bool> refine_group_;

  WeightTotals weights_;
  std::vector<SchemeRun> schemes_;
};

Result<void> CheckArguments(const MatrixSource& matrix, const MeasureOptions& options,
                            const std::vector<int64_t>* sample) {
  const auto refuse = [](std::string message) {
    return Fail(ErrorCode::kBadArgument, "measure", std::move(message));
  };
  if (matrix.rows() == 0 || matrix.cols() == 0) return refuse("the matrix is empty");
  if (matrix.rows() > UINT64_MAX / matrix.cols()) return refuse("the matrix is too large");
  if (options.percentiles_abs.size() < 3) return refuse("needs the percentiles 50, 99 and 99.9");
  const auto elements = matrix.rows() * matrix.cols();
  if (sample == nullptr) return {};
  if (sample->empty()) return refuse("the sample is empty");
  if (!std::is_sorted(sample->begin(), sample->end()) || sample->front() < 0 ||
      static_cast<uint64_t>(sample->back()) >= elements) {
    return refuse("sample indices must be sorted and lie inside the matrix");
  }
  return {};
}

}  // namespace

Result<MatrixMeasurement> MeasureMatrix(const MatrixSource& matrix, const MeasureOptions& options,
                                        const std::vector<int64_t>* sample) {
  if (auto checked = CheckArguments(matrix, options, sample); !checked) {
    return tl::make_unexpected(checked.error());
  }
  return Measurement(matrix, options, sample).Run();
}

}  // namespace moe
