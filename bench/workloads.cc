#include "workloads.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>

#include "base/float_convert.h"
#include "base/widen.h"
#include "codec/plain.h"
#include "measure/array_matrix.h"
#include "measure/error_kernels.h"
#include "measure/float_codes.h"
#include "measure/group_outliers.h"
#include "measure/quant_metrics.h"
#include "measure/weight_counts.h"
#include "moescope/measure.h"

namespace moe {
namespace {

// Results go there, so that no work is found to be useless.
volatile double sink;

/// Weights of one dtype: as they are stored, and widened.
struct Weights {
  DType dtype;
  uint64_t rows, cols;
  std::vector<float> values;
  std::shared_ptr<std::vector<std::byte>> stored;
  uint64_t bytes() const { return stored->size(); }
};

Weights MakeWeights(DType dtype, uint64_t rows, uint64_t cols) {
  Weights weights{dtype, rows, cols, TestWeights(rows * cols), {}};
  weights.stored = std::make_shared<std::vector<std::byte>>(rows * cols * DTypeBits(dtype) / 8);
  std::byte* at = weights.stored->data();
  for (float& value : weights.values) {
    uint32_t raw = FloatBits(value);
    if (dtype == DType::kBF16) raw = FloatToBFloat16(value);
    if (dtype == DType::kF16) raw = FloatToHalf(value);
    const size_t size = DTypeBits(dtype) / 8;
    std::memcpy(at, &raw, size);  // little-endian, as in a file
    at += size;
    if (dtype == DType::kBF16) value = BFloat16ToFloat(static_cast<uint16_t>(raw));
    if (dtype == DType::kF16) value = HalfToFloat(static_cast<uint16_t>(raw));
  }
  return weights;
}

std::shared_ptr<MatrixSource> OpenStored(const Weights& weights, bool transposed) {
  TensorInfo tensor;
  tensor.name = "weights";
  tensor.dtype = weights.dtype;
  tensor.shape = {weights.rows, weights.cols};
  tensor.nbytes = weights.bytes();
  MatrixView view{weights.rows, weights.cols, 0, weights.cols, 1};
  if (transposed) view = {weights.rows, weights.cols, 0, 1, weights.rows};
  if (transposed) tensor.shape = {weights.cols, weights.rows};
  const auto array = OpenPlainFloats(tensor, {std::span(*weights.stored), weights.stored});
  return array.value()->Matrix(view).value();
}

std::function<void()> Measuring(const Weights& weights, const MeasureOptions& options,
                                bool transposed = false,
                                const std::vector<double>& importance = {}) {
  return [matrix = OpenStored(weights, transposed), options, importance] {
    MeasureInput input(*matrix);
    input.importance = importance;
    sink = MeasureMatrix(input, options).value().stats.mean;
  };
}

ComputeDType TypeOf(DType dtype) { return DefaultComputeDType(dtype); }

/// The error of one scheme alone, with the ranges of its groups; weighted if there is `importance`.
std::function<void()> Simulating(const std::shared_ptr<const Weights>& weights,
                                 const QuantScheme& scheme,
                                 std::span<const double> importance = {}) {
  const auto quantizer = MakeQuantizer(scheme, QuantProfile::kMlxCpu, TypeOf(weights->dtype),
                                       weights->rows, weights->cols)
                             .value();
  return [weights, quantizer, of_batches = ImportanceForBatches(importance)] {
    ErrorSums sums;
    float lo[GroupBatch::kMostGroups], hi[GroupBatch::kMostGroups];
    const std::span<const float> all(weights->values);
    for (size_t at = 0; at < all.size(); at += kBatchElements) {
      const auto batch = all.subspan(at, std::min(kBatchElements, all.size() - at));
      const size_t groups = batch.size() / quantizer.group_size;
      SummarizeGroups(batch.data(), groups, quantizer.group_size, lo, hi, nullptr);
      const double* of_batch = of_batches.empty() ? nullptr : &of_batches[at % weights->cols];
      AddGroupErrors(quantizer, {batch.data(), groups, lo, hi, of_batch}, sums);
    }
    sink = FoldSum(sums.sum_sq) + FoldSum(sums.weighted_sq);
  };
}

std::function<void()> Counting(const std::shared_ptr<const Weights>& weights) {
  return [weights] {
    WeightCounts counts(weights->dtype);
    counts.Add(weights->values);
    const auto values = counts.Values();
    sink = SumsOf(values).sum_sq_deviation + PercentilesOf(values, std::vector{50.0, 99.9})[0];
  };
}

std::function<void()> Widening(const std::shared_ptr<const Weights>& weights) {
  return [weights, tile = std::vector<float>(Tiling::kMaxElements)]() mutable {
    const size_t size = DTypeBits(weights->dtype) / 8;
    for (size_t at = 0; at < weights->values.size(); at += tile.size()) {
      const size_t count = std::min(tile.size(), weights->values.size() - at);
      const std::byte* in = weights->stored->data() + at * size;
      weights->dtype == DType::kF16 ? WidenHalf(in, count, tile.data())
                                    : WidenBFloat16(in, count, tile.data());
      sink = tile[0];
    }
  };
}

}  // namespace

std::vector<Workload> MakeWorkloads(uint64_t rows, uint64_t cols) {
  const QuantScheme schemes[] = {{"affine4", "affine", 4, 32},
                                 {"affine8", "affine", 8, 32},
                                 {"mxfp4", "mxfp4", 4, 32},
                                 {"mxfp8", "mxfp8", 8, 32},
                                 {"nvfp4", "nvfp4", 4, 16}};
  MeasureOptions statistics, groups, whole;
  groups.group_sizes = whole.group_sizes = {32, 64};
  whole.schemes = {schemes[0], schemes[2], schemes[1]};
  MeasureOptions alone;  // the cheapest scheme, as one that a run gets later
  alone.stats = false;
  alone.schemes = {schemes[2]};
  const auto importance = TestImportance(cols);

  std::vector<Workload> all;
  for (const auto& [dtype, name] :
       {std::pair(DType::kBF16, "/bf16"), {DType::kF16, "/f16"}, {DType::kF32, "/f32"}}) {
    const auto weights = std::make_shared<const Weights>(MakeWeights(dtype, rows, cols));
    const auto add = [&](const std::string& kernel, std::function<void()> run) {
      all.push_back({kernel + name, weights->bytes(), std::move(run)});
    };
    if (WeightCounts::Serves(dtype)) {
      add("widen", Widening(weights));
      add("counts", Counting(weights));
    }
    for (const QuantScheme& scheme : schemes) {
      add(scheme.name, Simulating(weights, scheme));
      add(scheme.name + kWeighted, Simulating(weights, scheme, importance));
    }
    add("statistics", Measuring(*weights, statistics));
    add("statistics_and_groups", Measuring(*weights, groups));
    for (const auto& [kernel, options] : {std::pair("template", &whole), {"mxfp4_alone", &alone}}) {
      add(kernel, Measuring(*weights, *options));
      add(std::string(kernel) + kWeighted, Measuring(*weights, *options, false, importance));
    }
    add("template_transposed", Measuring(*weights, whole, true));
  }
  return all;
}

}  // namespace moe
