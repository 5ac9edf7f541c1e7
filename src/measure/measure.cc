#include "moescope/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <utility>

#include "base/ordered_work.h"
#include "measure/float_codes.h"
#include "measure/group_outliers.h"
#include "measure/kernels.h"
#include "measure/percentiles.h"
#include "measure/quant_metrics.h"
#include "measure/quantizer.h"
#include "measure/square_sums.h"
#include "measure/weight_counts.h"

namespace moe {
namespace {

// Mean and variance, tile by tile (Chan, Golub, LeVeque 1979): exact enough for mean >> std.
class Moments {
 public:
  void AddTile(const float* x, size_t count, const TileSums& sums) {
    Moments tile;
    tile.count_ = static_cast<double>(count);
    tile.mean_ = sums.sum / tile.count_;
    tile.m2_ = SumSquaredDeviation(x, count, tile.mean_);
    tile.sum_ = sums.sum;
    tile.sum_abs_ = sums.sum_abs;
    tile.sum_sq_ = sums.sum_sq;
    tile.max_abs_ = std::bit_cast<float>(sums.max_bits);
    Merge(tile);
  }

  void Merge(const Moments& next) {
    const double off = next.mean_ - mean_;
    const double total = count_ + next.count_;
    m2_ += next.m2_ + off * off * (count_ * next.count_ / total);
    mean_ += off * (next.count_ / total);
    count_ = total;
    sum_ += next.sum_;
    sum_abs_ += next.sum_abs_;
    sum_sq_ += next.sum_sq_;
    max_abs_ = std::max(max_abs_, next.max_abs_);
  }

  void Fill(MatrixStats& stats) const {
    stats.mean = sum_ / count_;
    stats.std = std::sqrt(m2_ / count_);
    stats.mean_abs = sum_abs_ / count_;
    stats.rms = std::sqrt(sum_sq_ / count_);
    stats.max_abs = max_abs_;
  }

 private:
  double count_ = 0, mean_ = 0, m2_ = 0, sum_ = 0, sum_abs_ = 0, sum_sq_ = 0;
  float max_abs_ = 0;
};

// Picks the sampled elements out of the stream as it passes.
class SamplePicker {
 public:
  explicit SamplePicker(std::span<const int64_t> indices) : indices_(indices) {}

  /// The sampled ones among elements [begin, begin + x.size()).
  std::span<const float> Pick(uint64_t begin, std::span<const float> x) {
    picked_.clear();
    const auto at = static_cast<int64_t>(begin), end = at + static_cast<int64_t>(x.size());
    for (auto next = std::lower_bound(indices_.begin(), indices_.end(), at);
         next != indices_.end() && *next < end; ++next) {
      picked_.push_back(x[static_cast<size_t>(*next - at)]);
    }
    return picked_;
  }

 private:
  std::span<const int64_t> indices_;
  std::vector<float> picked_;
};

// Smallest and largest of the groups of one batch, for each group size that schemes have.
class GroupRanges {
 public:
  /// For `size`, whose ranges Find() is to keep from now on.
  void Want(size_t size) {
    const auto same = [&](const Ranges& ranges) { return ranges.size == size; };
    if (std::ranges::none_of(ranges_, same)) ranges_.push_back({size});
  }

  /// `blocks`: of the same elements, rounded to T as they are; null if there are none. They are to
  /// stay until the next call.
  void Find(std::span<const float> x, const BlockSums* blocks) {
    for (Ranges& ranges : ranges_) {
      ranges.lo = ranges.made_lo;
      ranges.hi = ranges.made_hi;
      if (blocks == nullptr || ranges.size % BlockSums::kBlock != 0) {
        SummarizeGroups(x.data(), x.size() / ranges.size, ranges.size, ranges.made_lo,
                        ranges.made_hi, nullptr);
      } else if (ranges.size == BlockSums::kBlock) {
        ranges.lo = blocks->lo;
        ranges.hi = blocks->hi;
      } else {
        ranges.Join(*blocks);
      }
    }
  }

  GroupBatch BatchOf(std::span<const float> x, const double* importance, size_t size) const {
    const auto found = std::ranges::find(ranges_, size, &Ranges::size);
    return {x.data(), x.size() / size, found->lo, found->hi, importance};
  }

 private:
  struct Ranges {
    size_t size;
    const float *lo = nullptr, *hi = nullptr;
    float made_lo[GroupBatch::kMostGroups] = {}, made_hi[GroupBatch::kMostGroups] = {};

    void Join(const BlockSums& blocks) {
      const size_t per_group = size / BlockSums::kBlock;
      for (size_t b = 0, g = 0; b < blocks.blocks; b += per_group, ++g) {
        made_lo[g] = *std::min_element(blocks.lo + b, blocks.lo + b + per_group);
        made_hi[g] = *std::max_element(blocks.hi + b, blocks.hi + b + per_group);
      }
    }
  };
  std::vector<Ranges> ranges_;
};

// What is the same for all parts of a matrix.
struct Task {
  const MeasureInput& input;
  const MeasureOptions& options;
  const MatrixSource& matrix = input.matrix;
  const std::optional<std::span<const int64_t>> sample = input.sample;  // nullopt: all
  const std::vector<double> importance = ImportanceForBatches(input.importance);
  const uint64_t elements = matrix.rows() * matrix.cols();
  const Tiling tiling = Tiling(matrix.rows(), matrix.cols());
  const ComputeDType dtype =
      options.compute_dtype.value_or(DefaultComputeDType(matrix.value_dtype()));
  const bool counts_values = WeightCounts::Serves(matrix.storage_dtype());
  const bool in_blocks = matrix.cols() % BlockSums::kBlock == 0;
  // The weights are values of T already.
  const bool exact_in_t = dtype == ComputeDType::kF32 ||
                          (dtype == ComputeDType::kF16 && matrix.storage_dtype() == DType::kF16) ||
                          (dtype == ComputeDType::kBF16 && matrix.storage_dtype() == DType::kBF16);
};

// What some consecutive tiles of a matrix have given. Parts that follow each other are merged.
class PartMeasurement {
 public:
  explicit PartMeasurement(const Task& task)
      : task_(task), square_sums_(task.input.square_sums, task.matrix.cols()) {
    const MeasureOptions& options = task.options;
    if (task.counts_values) counts_.emplace(task.matrix.storage_dtype());
    if (options.stats && (!task.counts_values || task.sample)) {
      constexpr unsigned kBinShift = 13;  // 2^18 bins
      percentiles_.emplace(!task.sample ? task.elements : task.sample->size(),
                           options.percentiles_abs, kBinShift);
    }
    if (task.sample) picker_.emplace(*task.sample);
    if (options.stats) WantGroups();
    for (const QuantScheme& scheme : options.schemes) {
      auto quantizer = MakeQuantizer(scheme, options.profile, task.dtype, task.matrix.rows(),
                                     task.matrix.cols());
      if (!quantizer) {
        schemes_.push_back(tl::make_unexpected(quantizer.error()));
        continue;
      }
      ranges_.Want(quantizer->group_size);
      schemes_.push_back(QuantErrorSums(*quantizer));
    }
  }

  /// Elements [begin, begin + x.size()) of the matrix: a tile.
  void Add(uint64_t begin, std::span<const float> x) {
    TileSums sums;
    if (counts_) {
      counts_->Add(x);
      finite_ = finite_ && counts_->AllFinite();
    } else {
      sums = SumTile(x.data(), x.size());
      nonfinite_ += sums.nonfinite;
      finite_ = nonfinite_ == 0;
      if (finite_ && task_.options.stats) moments_.AddTile(x.data(), x.size(), sums);
    }
    if (finite_ && percentiles_) percentiles_->Add(Sampled(begin, x));
    if (finite_) square_sums_.Add(begin, x);
    const std::span<const float> in_t = InT(x, sums);
    if (!finite_) return;  // only counts will be reported
    for (size_t at = 0; at < x.size(); at += kBatchElements) {
      const size_t count = std::min(kBatchElements, x.size() - at);
      AddBatch(begin + at, x.subspan(at, count), in_t.subspan(at, count));
    }
    for (auto& scheme : schemes_) {
      if (scheme) scheme->EndTile();
    }
  }

  /// `next` holds the tiles that follow.
  void Merge(const PartMeasurement& next) {
    nonfinite_ += next.nonfinite_;
    finite_ = finite_ && next.finite_;
    weights_.Merge(next.weights_);
    if (counts_) counts_->Merge(*next.counts_);
    if (!finite_) return;
    moments_.Merge(next.moments_);
    square_sums_.Merge(next.square_sums_);
    if (percentiles_) percentiles_->Merge(*next.percentiles_);
    for (size_t i = 0; i < groups_.size(); ++i) {
      if (groups_[i]) groups_[i]->Merge(*next.groups_[i]);
    }
    for (size_t i = 0; i < schemes_.size(); ++i) {
      if (schemes_[i]) schemes_[i]->Merge(*next.schemes_[i]);
    }
  }

  /// After all tiles: true if they must come again, through Refine().
  bool NeedsSecondRead() {
    if (!finite_) return false;
    refine_percentiles_ = percentiles_ && percentiles_->NeedsSecondRead();
    bool any = refine_percentiles_;
    for (auto& group : groups_) {
      refine_group_.push_back(group && group->NeedsSecondRead());
      any = any || refine_group_.back();
    }
    return any;
  }

  void Refine(uint64_t begin, std::span<const float> x) {
    if (refine_percentiles_) percentiles_->Refine(Sampled(begin, x));
    if (std::ranges::find(refine_group_, true) == refine_group_.end()) return;
    for (; !x.empty(); x = x.subspan(std::min(kBatchElements, x.size()))) {
      const auto batch = x.first(std::min(kBatchElements, x.size()));
      const BlockSums* blocks = FindBlocks(batch);
      for (size_t i = 0; i < groups_.size(); ++i) {
        if (refine_group_[i]) groups_[i]->Refine(batch, blocks);
      }
    }
  }

  MatrixMeasurement Finish() {
    MatrixMeasurement out;
    out.compute_dtype = task_.dtype;
    if (counts_) {
      FinishCounts(out.stats);
    } else {
      if (finite_) moments_.Fill(out.stats);
    }
    if (!task_.options.stats) out.stats = MatrixStats();
    out.stats.nonfinite_count = nonfinite_;
    if (nonfinite_ == 0 && task_.options.stats) FillOutliers(out.stats);
    if (nonfinite_ == 0) out.square_sums = square_sums_.sums();
    const auto refusal = weights_.Refusal(task_.dtype);
    if (!task_.importance.empty() && !refusal && std::isfinite(weights_.energy)) {
      out.energy = weights_.energy;
    }
    for (const auto& scheme : schemes_) out.quant.push_back(ErrorOf(scheme, refusal));
    return out;
  }

 private:
  void WantGroups() {
    for (const int64_t size : task_.options.group_sizes) {
      const bool divides = size > 0 && task_.matrix.cols() % static_cast<uint64_t>(size) == 0;
      groups_.emplace_back();
      if (divides) {
        groups_.back().emplace(static_cast<uint64_t>(size), task_.elements,
                               task_.options.group_outlier_percentile, task_.options.eps);
      }
    }
  }

  /// The tile in T. `sums`: of the tile as it is stored, unless values are counted.
  std::span<const float> InT(std::span<const float> x, const TileSums& sums) {
    if (schemes_.empty() && task_.importance.empty()) return x;
    if (task_.exact_in_t) {
      if (!counts_) weights_.AddTile(sums, sums.nonfinite);
      return x;
    }
    tile_in_t_.assign(x.begin(), x.end());
    RoundToCompute(tile_in_t_.data(), x.size(), task_.dtype);
    weights_.AddTile(SumTile(tile_in_t_.data(), x.size()), sums.nonfinite);
    return tile_in_t_;
  }

  void AddBatch(uint64_t begin, std::span<const float> x, std::span<const float> in_t) {
    BlockSums* blocks = FindBlocks(x);
    for (auto& group : groups_) {
      if (group) group->Add(x, blocks);
    }
    if (weights_.nonfinite_in_t != 0) return;
    const double* importance = nullptr;
    if (!task_.importance.empty()) {
      importance = &task_.importance[begin % task_.matrix.cols()];
      weights_.energy += SumWeightedSquares(in_t.data(), importance, in_t.size());
    }
    if (blocks != nullptr && !task_.exact_in_t) {  // rounding keeps the order
      RoundToCompute(blocks->lo, blocks->blocks, task_.dtype);
      RoundToCompute(blocks->hi, blocks->blocks, task_.dtype);
    }
    ranges_.Find(in_t, blocks);
    for (auto& scheme : schemes_) {
      if (scheme) scheme->AddGroups(ranges_.BatchOf(in_t, importance, scheme->group_size()));
    }
  }

  /// Null when blocks would cross rows.
  BlockSums* FindBlocks(std::span<const float> x) {
    if (!task_.in_blocks) return nullptr;
    blocks_.blocks = x.size() / BlockSums::kBlock;
    SummarizeGroups(x.data(), blocks_.blocks, BlockSums::kBlock, blocks_.lo, blocks_.hi,
                    blocks_.sum_abs);
    return &blocks_;
  }

  std::span<const float> Sampled(uint64_t begin, std::span<const float> x) {
    return picker_ ? picker_->Pick(begin, x) : x;
  }

  void FinishCounts(MatrixStats& stats) {
    const auto values = counts_->Values();
    const CountedSums sums = SumsOf(values);
    nonfinite_ = sums.nonfinite;
    if (task_.exact_in_t) {
      weights_ = {sums.sum_sq, sums.max_abs, nonfinite_, nonfinite_, weights_.energy};
    }
    weights_.storage_nonfinite = nonfinite_;
    if (nonfinite_ != 0) return;
    stats.mean = sums.sum / sums.count;
    stats.std = std::sqrt(sums.sum_sq_deviation / sums.count);
    stats.mean_abs = sums.sum_abs / sums.count;
    stats.rms = std::sqrt(sums.sum_sq / sums.count);
    stats.max_abs = sums.max_abs;
    if (!percentiles_) stats.percentiles = PercentilesOf(values, task_.options.percentiles_abs);
  }

  void FillOutliers(MatrixStats& stats) const {
    const double eps = task_.options.eps;
    if (percentiles_) stats.percentiles = percentiles_->Values();
    const double median = stats.percentiles[0] + eps;
    stats.outlier_max_over_mean = stats.max_abs / (stats.mean_abs + eps);
    stats.outlier_p99_over_median = stats.percentiles[1] / median;
    stats.outlier_p999_over_median = stats.percentiles[2] / median;
    for (const auto& group : groups_) {
      stats.groups.emplace_back();
      if (!group) continue;
      stats.groups.back().percentile = group->percentile();
      stats.groups.back().max = group->max();
    }
  }

  QuantError ErrorOf(const Result<QuantErrorSums>& scheme,
                     const std::optional<std::string>& refusal) const {
    if (scheme && !refusal) {
      return scheme->Finish(weights_, task_.options.eps, task_.options.rel_den_floor);
    }
    QuantError failed;
    failed.error = refusal;
    if (!refusal) failed.error = scheme.error().TypeName() + ": " + scheme.error().message;
    return failed;
  }

  const Task& task_;
  bool finite_ = true;
  uint64_t nonfinite_ = 0;
  std::optional<WeightCounts> counts_;  // of 16-bit types; else moments_ and percentiles_
  Moments moments_;
  SquareSummer square_sums_;
  std::optional<PercentileSelector> percentiles_;
  std::optional<SamplePicker> picker_;
  std::vector<std::optional<GroupOutliers>> groups_;
  bool refine_percentiles_ = false;
  std::vector<bool> refine_group_;

  WeightTotals weights_;
  std::vector<Result<QuantErrorSums>> schemes_;
  GroupRanges ranges_;
  BlockSums blocks_;
  std::vector<float> tile_in_t_;
};

// Reads tiles [first, last) and hands each on: visit(first element, elements).
template <class Visit>
Result<void> ForTiles(const Task& task, uint64_t first, uint64_t last, Visit visit) {
  std::vector<float> buffer(static_cast<size_t>(std::min(Tiling::kMaxElements, task.elements)));
  for (uint64_t t = first; t < last; ++t) {
    const Tile tile = task.tiling[t];
    if (auto read = task.matrix.Read(tile, buffer.data()); !read) return read;
    const auto count = static_cast<size_t>(tile.rows * tile.cols);
    visit(tile.row * task.matrix.cols() + tile.col, std::span<const float>(buffer.data(), count));
  }
  return {};
}

Result<std::unique_ptr<PartMeasurement>> MeasurePart(const Task& task, uint64_t first,
                                                     uint64_t last) {
  auto part = std::make_unique<PartMeasurement>(task);
  auto read = ForTiles(task, first, last, [&](auto begin, auto x) { part->Add(begin, x); });
  if (!read) return tl::make_unexpected(read.error());
  return part;
}

// Parts are cut by the shape alone, so what is summed does not depend on `threads`.
Result<std::unique_ptr<PartMeasurement>> MeasureParts(const Task& task, unsigned threads) {
  const uint64_t tiles = task.tiling.count(), per_part = task.tiling.tiles_per_part();
  const auto parts = static_cast<size_t>((tiles + per_part - 1) / per_part);
  const auto make = [&](size_t i) {
    return MeasurePart(task, i * per_part, std::min(tiles, (i + 1) * per_part));
  };
  Result<std::unique_ptr<PartMeasurement>> whole;
  const auto take = [&](size_t i, Result<std::unique_ptr<PartMeasurement>> part) {
    if (i == 0 || !part) {
      whole = std::move(part);
    } else {
      (*whole)->Merge(**part);
    }
    return whole.has_value();
  };
  if (threads > 1 && parts > 1) {
    RunOrdered(parts, threads, make, take);
  } else {
    for (size_t i = 0; i < parts && take(i, make(i)); ++i) {
    }
  }
  return whole;
}

Result<void> Refuse(std::string message) {
  return Fail(ErrorCode::kBadArgument, "measure", std::move(message));
}

// `weights`: one for each column, or none.
Result<void> CheckColumnWeights(std::span<const double> weights, uint64_t cols, const char* what) {
  if (!weights.empty() && weights.size() != cols) {
    return Refuse(fmt::format("{} of {} columns for {}", what, weights.size(), cols));
  }
  const auto bad =
      std::ranges::find_if(weights, [](double w) { return !std::isfinite(w) || w < 0; });
  if (bad == weights.end()) return {};
  return Refuse(fmt::format("{} of column {} is {}, not a finite number from 0 on", what,
                            bad - weights.begin(), *bad));
}

Result<void> CheckArguments(const MeasureInput& input, const MeasureOptions& options) {
  const MatrixSource& matrix = input.matrix;
  const auto& sample = input.sample;
  if (matrix.rows() == 0 || matrix.cols() == 0) return Refuse("the matrix is empty");
  if (matrix.rows() > UINT64_MAX / matrix.cols()) return Refuse("the matrix is too large");
  if (options.percentiles_abs.size() < 3) return Refuse("needs the percentiles 50, 99 and 99.9");
  auto checked = CheckColumnWeights(input.importance, matrix.cols(), "importance");
  if (!checked) return checked;
  const SquareSums& sums = input.square_sums;
  checked = CheckColumnWeights(sums.weights, matrix.cols(), "the weight of row sums");
  if (!checked) return checked;
  if (sums.of != SquareSums::Of::kRows && !sums.weights.empty()) {
    return Refuse("sums of columns take no weights");
  }
  const auto elements = matrix.rows() * matrix.cols();
  if (!sample) return {};
  if (sample->empty()) return Refuse("the sample is empty");
  if (!std::is_sorted(sample->begin(), sample->end()) || sample->front() < 0 ||
      static_cast<uint64_t>(sample->back()) >= elements) {
    return Refuse("sample indices must be sorted and lie inside the matrix");
  }
  return {};
}

}  // namespace

Result<MatrixMeasurement> MeasureMatrix(const MeasureInput& input, const MeasureOptions& options) {
  if (auto checked = CheckArguments(input, options); !checked) {
    return tl::make_unexpected(checked.error());
  }
  const Task task{input, options};
  auto whole = MeasureParts(task, input.threads);
  if (!whole) return tl::make_unexpected(whole.error());
  PartMeasurement& part = **whole;
  if (part.NeedsSecondRead()) {
    auto read =
        ForTiles(task, 0, task.tiling.count(), [&](auto begin, auto x) { part.Refine(begin, x); });
    if (!read) return tl::make_unexpected(read.error());
  }
  return part.Finish();
}

}  // namespace moe
