#include "mlx/probe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <cstdint>

#include "measure/float_codes.h"
#include "measure/kernels.h"
#include "mlx/mlx_backend.h"

namespace moe {
namespace {

constexpr QuantProfile kProfiles[] = {QuantProfile::kMlxCpu, QuantProfile::kMlxGpu,
                                      QuantProfile::kMlxCpuLegacy, QuantProfile::kMlxGpuLegacy};
constexpr size_t kCols = 32;

// -1 to -2.
std::vector<float> Negative() {
  std::vector<float> row(kCols);
  for (size_t i = 0; i < kCols; ++i) row[i] = -1.0f - static_cast<float>(i) / (kCols - 1);
  return row;
}

// Halves of codes: 0, 1/2, 1, ..., 15.
std::vector<float> Halves() {
  std::vector<float> row(kCols, 15.0f);
  for (size_t i = 0; i + 1 < kCols; ++i) row[i] = static_cast<float>(i) / 2;
  return row;
}

// Between two codes of fp4 each, under the scale 1; the last one is nearer to -0.
std::vector<float> Fp4Ties() {
  std::vector<float> row(kCols, 0.0f);
  const float ties[] = {6, 0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5, -0.1f};
  std::copy(std::begin(ties), std::end(ties), row.begin());
  return row;
}

// A mean weight of a real matrix, deterministic.
std::vector<float> Waves(ComputeDType dtype) {
  std::vector<float> weights(64 * kCols);
  for (size_t i = 0; i < weights.size(); ++i) {
    weights[i] = static_cast<float>(0.02 * std::sin(1.7 * static_cast<double>(i * i % 1009)));
  }
  RoundToCompute(weights.data(), weights.size(), dtype);
  return weights;
}

bool Same(const QuantizedMatrix& a, const QuantizedMatrix& b) {
  return a.codes == b.codes && a.scales == b.scales && a.biases == b.biases && a.w_hat == b.w_hat;
}

std::string AgreeingProfiles(const MlxProbe& probe, const QuantizedMatrix& made) {
  std::vector<std::string_view> agree;
  for (const QuantProfile profile : kProfiles) {
    const auto ours = QuantizeMatrix(probe.weights, probe.weights.size() / kCols, kCols,
                                     probe.scheme, profile, probe.dtype);
    if (ours && Same(*ours, made)) agree.push_back(ProfileName(profile));
  }
  return agree.empty() ? "none" : fmt::format("{}", fmt::join(agree, "+"));
}

// How code * scale + bias is rounded to T, where that makes a difference. A few results may differ
// from both, where the product is rounded to float before it.
template <ComputeDType kType>
std::string RoundsOf(const MlxBackend& mlx) {
  const auto weights = Waves(kType);
  const auto made =
      mlx.Quantize(weights, weights.size() / kCols, kCols, {"", "affine", 8, 32}, kType);
  if (!made) return made.error().message;
  size_t differ = 0, once = 0, twice = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto code = static_cast<float>(made->codes[i / 4] >> 8 * (i % 4) & 0xff);
    const float scale = made->scales[i / kCols], bias = made->biases[i / kCols];
    const float in_one = RoundTo<kType>(std::fma(code, scale, bias));
    const float in_two = RoundTo<kType>(RoundTo<kType>(code * scale) + bias);
    if (in_one == in_two) continue;
    ++differ;
    once += made->w_hat[i] == in_one;
    twice += made->w_hat[i] == in_two;
  }
  return once * 100 > differ * 99 ? "once" : twice * 100 > differ * 99 ? "twice" : "neither";
}

}  // namespace

std::vector<MlxProbe> MlxProbes() {
  constexpr auto kF32 = ComputeDType::kF32;
  return {
      {"affine_negative",
       "where the range of a group without positive weights ends",
       {"", "affine", 4, 32},
       kF32,
       Negative()},
      {"affine_ties",
       "the code of a weight between two codes",
       {"", "affine", 4, 32},
       kF32,
       Halves()},
      {"mxfp4_ties",
       "the code of a weight between two codes",
       {"", "mxfp4", 4, 32},
       kF32,
       Fp4Ties()},
      {"mxfp8_zeros", "the scale of zeros", {"", "mxfp8", 8, 32}, kF32, std::vector<float>(kCols)},
      {"nvfp4_ties",
       "the code of a weight between two codes",
       {"", "nvfp4", 4, 16},
       kF32,
       Fp4Ties()},
  };
}

std::vector<ProbeAnswer> ProbeMlx(const MlxBackend& mlx) {
  std::vector<ProbeAnswer> answers;
  for (const MlxProbe& probe : MlxProbes()) {
    const auto made =
        mlx.Quantize(probe.weights, probe.weights.size() / kCols, kCols, probe.scheme, probe.dtype);
    answers.push_back({std::string(probe.name), std::string(probe.meaning),
                       made ? AgreeingProfiles(probe, *made) : made.error().message});
  }
  const std::string meaning = "how often code * scale + bias is rounded in affine";
  answers.push_back({"rounds_fp32", meaning, RoundsOf<ComputeDType::kF32>(mlx)});
  answers.push_back({"rounds_fp16", meaning, RoundsOf<ComputeDType::kF16>(mlx)});
  answers.push_back({"rounds_bf16", meaning, RoundsOf<ComputeDType::kBF16>(mlx)});
  return answers;
}

}  // namespace moe
