#include "measure/quant_modes.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "measure/float_codes.h"
#include "measure/quantizer.h"

namespace moe {
namespace {

constexpr float kAffineMinScale = 1e-7f;

// ---- affine (mlx-quantization.md sections 3 and 6) ----

struct Range {
  float lo, hi;
};

// NaN elements lose every comparison, so they are ignored.
Range RangeOf(const float* x, size_t size) {
  Range range{std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()};
  for (size_t i = 0; i < size; ++i) {
    if (x[i] > range.hi) range.hi = x[i];
    if (x[i] < range.lo) range.lo = x[i];
  }
  return range;
}

template <bool kGpu>
float RoundCode(float value) {
  return kGpu ? RoundTiesAway(value) : RoundTiesEven(value);
}

template <bool kGpu>
AffineFit FitAffine(float lo, float hi, unsigned bits) {
  // The GPU kernels start the maximum at 0: all-negative groups get the range [lo, 0].
  if (kGpu && !(hi > 0.0f)) hi = 0.0f;
  if (bits == 1) return {std::max(hi - lo, kAffineMinScale), lo};
  const float levels = static_cast<float>((1u << bits) - 1);
  const float step = std::max((hi - lo) / levels, kAffineMinScale);
  const bool negative_side = std::fabs(lo) > std::fabs(hi);
  const float scale = negative_side ? step : -step;
  const float edge = negative_side ? lo : hi;
  const float zero_code = RoundCode<kGpu>(edge / scale);
  if (zero_code == 0.0f) return {scale, 0.0f};
  // Inf / Inf, as x86-64 makes it; ARM's would be positive.
  if (std::isnan(zero_code)) return {-std::numeric_limits<float>::quiet_NaN(), edge};
  return {edge / zero_code, edge};
}

template <ComputeDType kType, bool kGpu>
void RunAffine(const Quantizer& quantizer, GroupRun& run) {
  const float levels = static_cast<float>((1u << quantizer.bits) - 1);
  const size_t size = quantizer.group_size;
  for (size_t g = 0; g < run.groups; ++g) {
    const float* x = run.x + g * size;
    const auto [lo, hi] = RangeOf(x, size);
    const AffineFit fit = FitAffine<kGpu>(lo, hi, quantizer.bits);
    const float scale = run.scales[g] = RoundTo<kType>(fit.scale);
    const float bias = run.biases[g] = RoundTo<kType>(fit.bias);
    for (size_t i = 0; i < size; ++i) {
      const float level = RoundCode<kGpu>((x[i] - fit.bias) / fit.scale);
      run.clipped += level < 0.0f || level > levels;
      const float code = level > 0.0f ? std::min(level, levels) : 0.0f;  // NaN gives 0
      run.w_hat[g * size + i] = RoundTo<kType>(RoundTo<kType>(code * scale) + bias);
      if (run.codes != nullptr) run.codes[g * size + i] = static_cast<uint8_t>(code);
    }
  }
}

// ---- float modes (mlx-quantization.md sections 4 to 6) ----

struct Fp4 {
  static constexpr float kLargest = 6.0f;
  static uint8_t CpuCode(float y) { return Fp4FirstNearest(y); }
  static uint8_t GpuCode(float y) { return Fp4TiesEven(y); }
  static float Value(uint8_t code) { return kFp4Values[code]; }
};

struct Fp8 {
  static constexpr float kLargest = 448.0f;
  static uint8_t CpuCode(float y) { return E4m3FromFloat(y); }
  static uint8_t GpuCode(float y) { return E4m3FromFloat(y); }
  static float Value(uint8_t code) { return kE4m3Values[code]; }
};

uint64_t CountAbove(const float* x, size_t size, float limit) {
  uint64_t count = 0;
  for (size_t i = 0; i < size; ++i) count += std::fabs(x[i]) > limit;
  return count;
}

// Bits of the largest magnitude; a NaN counts as larger than Inf.
uint32_t LargestMagnitudeBits(const float* x, size_t size) {
  uint32_t largest = 0;
  for (size_t i = 0; i < size; ++i) largest = std::max(largest, MagnitudeBits(x[i]));
  return largest;
}

float LargestMagnitudeIgnoringNan(const float* x, size_t size) {
  float largest = 0;
  for (size_t i = 0; i < size; ++i) {
    if (std::fabs(x[i]) > largest) largest = std::fabs(x[i]);
  }
  return largest;
}

// Exponent of the power of two that scales a group whose R_T(largest / M) is `scale`.
template <ComputeDType kType>
int CpuMxExponent(float scale, bool legacy) {
  if (scale == 0.0f) return 0;
  if (!legacy) return CeilLog2(scale);
  const auto log2 = static_cast<float>(std::log2(static_cast<double>(scale)));
  return static_cast<int>(RoundTiesEven(RoundTo<kType>(log2)));
}

// A group with Inf or NaN: observed on x86-64, where every element was divided by zero.
template <ComputeDType kType, class Element>
uint8_t CodeOfNonFiniteGroup(float x) {
  if (Element::kLargest == Fp4::kLargest) return 0;
  bool negative = std::signbit(x);
  if (x == 0.0f) negative = kType != ComputeDType::kBF16;  // the NaN of 0/0 is negative there
  if (std::isnan(x) && kType == ComputeDType::kBF16) negative = false;
  return negative ? 0xfe : 0x7e;
}

template <ComputeDType kType, class Element>
FloatFit FitCpuMx(float largest, bool legacy) {
  const int exponent = CpuMxExponent<kType>(RoundTo<kType>(largest / Element::kLargest), legacy);
  // Modulo 256, as MLX converts: groups of subnormals wrap to huge scales.
  const auto byte = static_cast<uint8_t>(exponent + 127);
  return {byte, PowerOfTwo(exponent), RoundTo<kType>(kE8m0Values[byte])};
}

template <ComputeDType kType, class Element>
void RunCpuMx(const Quantizer& quantizer, GroupRun& run) {
  const size_t size = quantizer.group_size;
  for (size_t g = 0; g < run.groups; ++g) {
    const float* x = run.x + g * size;
    const uint32_t largest = LargestMagnitudeBits(x, size);
    const bool finite = largest < kInfinityBits;
    FloatFit fit = quantizer.encoder.fit(finite ? std::bit_cast<float>(largest) : 0.0f,
                                         IsLegacy(quantizer.profile));
    if (!finite) {
      fit.byte = kType == ComputeDType::kF32 ? 128 : 0;
      fit.scale = RoundTo<kType>(kE8m0Values[fit.byte]);
    }
    run.scales[g] = fit.byte;
    run.clipped += CountAbove(x, size, Element::kLargest * kE8m0Values[fit.byte]);
    for (size_t i = 0; i < size; ++i) {
      const uint8_t code = finite ? Element::CpuCode(RoundTo<kType>(x[i] / fit.factor))
                                  : CodeOfNonFiniteGroup<kType, Element>(x[i]);
      run.w_hat[g * size + i] = RoundTo<kType>(Element::Value(code) * fit.scale);
      if (run.codes != nullptr) run.codes[g * size + i] = code;
    }
  }
}

template <ComputeDType kType>
FloatFit FitCpuNv(float largest, bool /*legacy*/) {
  const uint8_t byte = E4m3FromFloat(RoundTo<kType>(largest / Fp4::kLargest));
  return {byte, kE4m3Values[byte], kE4m3Values[byte]};
}

template <ComputeDType kType>
void RunCpuNv(const Quantizer& quantizer, GroupRun& run) {
  const size_t size = quantizer.group_size;
  for (size_t g = 0; g < run.groups; ++g) {
    const float* x = run.x + g * size;
    const FloatFit fit = quantizer.encoder.fit(std::bit_cast<float>(LargestMagnitudeBits(x, size)),
                                               /*legacy=*/false);
    run.scales[g] = fit.byte;
    run.clipped += CountAbove(x, size, Fp4::kLargest * fit.scale);
    for (size_t i = 0; i < size; ++i) {
      const uint8_t code = Fp4::CpuCode(RoundTo<kType>(x[i] / fit.factor));
      run.w_hat[g * size + i] = RoundTo<kType>(kFp4Values[code] * fit.scale);
      if (run.codes != nullptr) run.codes[g * size + i] = code;
    }
  }
}

template <class Element>
FloatFit FitGpuMx(float largest, bool legacy) {
  const float wanted = largest / Element::kLargest;
  int exponent = -127;
  if (legacy && wanted != 0.0f) {
    const auto log2 = static_cast<float>(std::log2(static_cast<double>(wanted)));
    exponent = static_cast<int>(RoundTiesEven(log2));
  } else if (wanted != 0.0f) {
    exponent = CeilLog2(wanted);
  }
  auto byte = static_cast<uint8_t>(std::clamp(exponent, -127, 127) + 127);
  if (!std::isfinite(wanted)) byte = 255;
  return {byte, 1.0f / kE8m0Values[byte], kE8m0Values[byte]};
}

FloatFit FitGpuNv(float largest, bool /*legacy*/) {
  const uint8_t byte = E4m3FromFloat(largest / Fp4::kLargest);
  const float scale = kE4m3Values[byte];
  return {byte, scale == 0.0f ? 0.0f : 1.0f / scale, scale};
}

// The kernels compute in float32 and round to T once, at the end.
template <ComputeDType kType, class Element>
void RunGpuFloat(const Quantizer& quantizer, GroupRun& run) {
  const size_t size = quantizer.group_size;
  for (size_t g = 0; g < run.groups; ++g) {
    const float* x = run.x + g * size;
    const FloatFit fit =
        quantizer.encoder.fit(LargestMagnitudeIgnoringNan(x, size), IsLegacy(quantizer.profile));
    run.scales[g] = fit.byte;
    run.clipped += CountAbove(x, size, Element::kLargest * fit.scale);
    for (size_t i = 0; i < size; ++i) {
      const uint8_t code = Element::GpuCode(x[i] * fit.factor);
      run.w_hat[g * size + i] = RoundTo<kType>(fit.scale * Element::Value(code));
      if (run.codes != nullptr) run.codes[g * size + i] = code;
    }
  }
}

// ---- the encoders of a mode, for float32, float16 and bfloat16 ----

template <bool kGpu>
constexpr QuantEncoders kAffine = {
    {{RunAffine<ComputeDType::kF32, kGpu>, nullptr, FitAffine<kGpu>},
     {RunAffine<ComputeDType::kF16, kGpu>, nullptr, FitAffine<kGpu>},
     {RunAffine<ComputeDType::kBF16, kGpu>, nullptr, FitAffine<kGpu>}}};

template <class Element>
constexpr QuantEncoders kCpuMx = {
    {{RunCpuMx<ComputeDType::kF32, Element>, FitCpuMx<ComputeDType::kF32, Element>},
     {RunCpuMx<ComputeDType::kF16, Element>, FitCpuMx<ComputeDType::kF16, Element>},
     {RunCpuMx<ComputeDType::kBF16, Element>, FitCpuMx<ComputeDType::kBF16, Element>}}};

constexpr QuantEncoders kCpuNv = {{{RunCpuNv<ComputeDType::kF32>, FitCpuNv<ComputeDType::kF32>},
                                   {RunCpuNv<ComputeDType::kF16>, FitCpuNv<ComputeDType::kF16>},
                                   {RunCpuNv<ComputeDType::kBF16>, FitCpuNv<ComputeDType::kBF16>}}};

template <class Element, QuantEncoder::Fit kFit>
constexpr QuantEncoders kGpuFloat = {{{RunGpuFloat<ComputeDType::kF32, Element>, kFit},
                                      {RunGpuFloat<ComputeDType::kF16, Element>, kFit},
                                      {RunGpuFloat<ComputeDType::kBF16, Element>, kFit}}};

// ---- the modes, a row each (mlx-quantization.md section 1) ----

constexpr int64_t kAffineBits[] = {1, 2, 3, 4, 5, 6, 8};
constexpr int64_t kAffineGroups[] = {32, 64, 128};
constexpr int64_t k4[] = {4}, k8[] = {8}, k16[] = {16}, k32[] = {32};

constexpr QuantMode kModes[] = {
    {.name = "affine",
     .bits = kAffineBits,
     .group_sizes = kAffineGroups,
     .default_bits = 4,
     .default_group_size = 32,
     .has_bias = true,
     .kernel = ErrorKernel::kAffine,
     .cpu = &kAffine<false>,
     .gpu = &kAffine<true>},
    {.name = "mxfp4",
     .bits = k4,
     .group_sizes = k32,
     .default_bits = 4,
     .default_group_size = 32,
     .scale_bits = 8,
     .scale_values = &kE8m0Values,
     .largest = Fp4::kLargest,
     .kernel = ErrorKernel::kMxfp4,
     .cpu = &kCpuMx<Fp4>,
     .gpu = &kGpuFloat<Fp4, FitGpuMx<Fp4>>},
    {.name = "mxfp8",
     .bits = k8,
     .group_sizes = k32,
     .default_bits = 8,
     .default_group_size = 32,
     .scale_bits = 8,
     .scale_values = &kE8m0Values,
     .largest = Fp8::kLargest,
     .kernel = ErrorKernel::kMxfp8,
     .cpu = &kCpuMx<Fp8>,
     .gpu = &kGpuFloat<Fp8, FitGpuMx<Fp8>>},
    {.name = "nvfp4",
     .bits = k4,
     .group_sizes = k16,
     .default_bits = 4,
     .default_group_size = 16,
     .scale_bits = 8,
     .scale_values = &kE4m3Values,
     .largest = Fp4::kLargest,
     .cpu_elements = 32,
     .kernel = ErrorKernel::kNvfp4,
     .cpu = &kCpuNv,
     .gpu = &kGpuFloat<Fp4, FitGpuNv>},
};

}  // namespace

std::span<const QuantMode> QuantModes() { return kModes; }

const QuantMode* FindQuantMode(std::string_view name) {
  const auto* mode = std::ranges::find(kModes, name, &QuantMode::name);
  return mode == std::end(kModes) ? nullptr : mode;
}

unsigned GroupBits(const QuantMode& mode, unsigned float_bits) {
  const unsigned scale_bits = mode.scale_bits == 0 ? float_bits : mode.scale_bits;
  return mode.has_bias ? 2 * scale_bits : scale_bits;
}

double BitsPerWeight(const QuantMode& mode, int64_t bits, int64_t group_size, unsigned float_bits) {
  return static_cast<double>(bits) + GroupBits(mode, float_bits) / static_cast<double>(group_size);
}

}  // namespace moe
