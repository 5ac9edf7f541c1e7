// Speed of the numeric heart on one matrix in memory; bytes are those of the storage dtype.
#include <benchmark/benchmark.h>

#include "base/float_convert.h"
#include "measure/array_matrix.h"
#include "moescope/measure.h"

namespace {

constexpr uint64_t kRows = 768, kCols = 2048;  // an expert of Qwen3-30B-A3B

moe::ArrayMatrix TestMatrix(moe::DType dtype) {
  auto weights = moe::TestWeights(kRows * kCols);
  for (float& weight : weights) {
    if (dtype == moe::DType::kBF16) weight = moe::RoundToBFloat16(weight);
    if (dtype == moe::DType::kF16) weight = moe::RoundToHalf(weight);
  }
  return moe::ArrayMatrix(std::move(weights), kRows, kCols, dtype);
}

void Measure(benchmark::State& state, moe::DType dtype, const moe::MeasureOptions& options) {
  const moe::ArrayMatrix matrix = TestMatrix(dtype);
  for (auto _ : state) benchmark::DoNotOptimize(moe::MeasureMatrix(matrix, options));
  state.SetBytesProcessed(
      static_cast<int64_t>(state.iterations() * kRows * kCols * moe::DTypeBits(dtype) / 8));
}

const moe::QuantScheme kAffine4 = {"affine_q4_g32", "affine", 4, 32};
const moe::QuantScheme kAffine8 = {"affine_q8_g32", "affine", 8, 32};
const moe::QuantScheme kMxfp4 = {"mxfp4", "mxfp4", 4, 32};
const moe::QuantScheme kMxfp8 = {"mxfp8", "mxfp8", 8, 32};
const moe::QuantScheme kNvfp4 = {"nvfp4", "nvfp4", 4, 16};

void Register(const char* name, std::vector<int64_t> group_sizes,
              std::vector<moe::QuantScheme> schemes) {
  moe::MeasureOptions options;
  options.group_sizes = std::move(group_sizes);
  options.schemes = std::move(schemes);
  for (const auto dtype : {moe::DType::kBF16, moe::DType::kF16, moe::DType::kF32}) {
    const std::string full = std::string(name) + "/" + std::string(moe::DTypeName(dtype));
    benchmark::RegisterBenchmark(full.c_str(), [dtype, options](benchmark::State& state) {
      Measure(state, dtype, options);
    })->Unit(benchmark::kMillisecond);
  }
}

const bool kRegistered = [] {
  Register("template", {32, 64}, {kAffine4, kMxfp4, kAffine8});
  Register("stats", {}, {});
  Register("stats_and_groups", {32, 64}, {});
  Register("stats_and_affine4", {}, {kAffine4});
  Register("stats_and_affine8", {}, {kAffine8});
  Register("stats_and_mxfp4", {}, {kMxfp4});
  Register("stats_and_mxfp8", {}, {kMxfp8});
  Register("stats_and_nvfp4", {}, {kNvfp4});
  return true;
}();

}  // namespace
