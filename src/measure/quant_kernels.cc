#include "measure/quant_kernels.h"

#include <algorithm>
#include <cmath>

#include "measure/float_codes.h"

#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "measure/quant_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace moe {
namespace HWY_NAMESPACE {  // compiled once for each SIMD target
namespace hn = hwy::HWY_NAMESPACE;

// At most 16 lanes: every group size is a multiple of that.
using F = hn::CappedTag<float, 16>;
using I = hn::Rebind<int32_t, F>;
using U = hn::Rebind<uint32_t, F>;
using V = hn::Vec<F>;

constexpr size_t kGroupsAtOnce = 64;  // fits of so many groups are made together

V Constant(float value) { return hn::Set(F(), value); }

V AddBits(V x, hn::Vec<U> bits) { return hn::BitCast(F(), hn::Add(hn::BitCast(U(), x), bits)); }

V MaskBits(V x, uint32_t mask) {
  return hn::BitCast(F(), hn::And(hn::BitCast(U(), x), hn::Set(U(), mask)));
}

// Rounds to nearest even at bit `kBits` of the pattern. No NaN.
template <int kBits>
V RoundMantissa(V x) {
  const auto odd = hn::And(hn::ShiftRight<kBits>(hn::BitCast(U(), x)), hn::Set(U(), 1));
  const auto half = hn::Set(U(), (1u << (kBits - 1)) - 1);
  return MaskBits(AddBits(x, hn::Add(half, odd)), ~((1u << kBits) - 1));
}

// Units of 1 / `grid`'s last place, nearest even; for 0 <= x far below `grid`.
V RoundToGrid(V x, float grid) { return hn::Sub(hn::Add(x, Constant(grid)), Constant(grid)); }

V RoundToHalfPrecision(V x) {
  const V magnitude = hn::Abs(x);
  const V normal = RoundMantissa<13>(magnitude);
  const V bounded = hn::IfThenElse(hn::Ge(normal, Constant(65536.0f)),
                                   hn::BitCast(F(), hn::Set(U(), kInfinityBits)), normal);
  const V tiny = RoundToGrid(magnitude, 0.5f);  // units of 2^-24
  const auto is_tiny = hn::Lt(magnitude, Constant(0x1p-14f));
  return hn::CopySignToAbs(hn::IfThenElse(is_tiny, tiny, bounded), x);
}

template <ComputeDType kType>
V RoundToType(V x) {
  if constexpr (kType == ComputeDType::kBF16) return RoundMantissa<16>(x);
  if constexpr (kType == ComputeDType::kF16) return RoundToHalfPrecision(x);
  return x;
}

// As RoundTiesEven() and RoundTiesAway().
template <bool kGpu>
V RoundCodeOf(V x) {
  const V magnitude = hn::Abs(x);
  V rounded = RoundToGrid(magnitude, 8388608.0f);
  if constexpr (kGpu) {
    const auto tie = hn::Eq(hn::Sub(magnitude, rounded), Constant(0.5f));
    rounded = hn::Add(rounded, hn::IfThenElseZero(tie, Constant(1.0f)));
  }
  const auto small = hn::Lt(magnitude, Constant(8388608.0f));
  return hn::IfThenElse(small, hn::CopySignToAbs(rounded, x), x);
}

bool AnyNonFinite(const float* values, size_t count) {
  uint32_t largest = 0;
  for (size_t i = 0; i < count; ++i) largest = std::max(largest, MagnitudeBits(values[i]));
  return largest >= kInfinityBits;
}

// The groups [first, first + groups) of `run`, for the portable version.
void RunPortable(const Quantizer& quantizer, GroupRun& run, size_t first, size_t groups) {
  const size_t at = first * quantizer.group_size;
  GroupRun part = run;
  part.x += at;
  part.groups = groups;
  part.scales += first;
  if (quantizer.has_bias) part.biases += first;
  part.w_hat += at;
  part.clipped = 0;
  quantizer.run(quantizer, part);
  run.clipped += part.clipped;
}

// ---- affine ----

struct AffineFits {
  HWY_ALIGN float lo[kGroupsAtOnce];
  HWY_ALIGN float hi[kGroupsAtOnce];
  HWY_ALIGN float scale[kGroupsAtOnce];
  HWY_ALIGN float bias[kGroupsAtOnce];
  HWY_ALIGN float stored_scale[kGroupsAtOnce];
  HWY_ALIGN float stored_bias[kGroupsAtOnce];
};

template <bool kGpu>
void FindRanges(const float* HWY_RESTRICT x, size_t groups, size_t size, AffineFits& fits) {
  for (size_t g = 0; g < groups; ++g, x += size) {
    V lo = hn::LoadU(F(), x);
    V hi = kGpu ? hn::Max(lo, hn::Zero(F())) : lo;
    for (size_t i = hn::Lanes(F()); i < size; i += hn::Lanes(F())) {
      const V v = hn::LoadU(F(), x + i);
      lo = hn::Min(lo, v);
      hi = hn::Max(hi, v);
    }
    fits.lo[g] = hn::GetLane(hn::MinOfLanes(F(), lo));
    fits.hi[g] = hn::GetLane(hn::MaxOfLanes(F(), hi));
  }
}

// FitAffine() of quantizer.cc, a vector of groups at a time.
template <ComputeDType kType, bool kGpu>
void FitGroups(size_t groups, unsigned bits, AffineFits& fits) {
  const V levels = Constant(static_cast<float>((1u << bits) - 1));
  for (size_t g = 0; g < groups; g += hn::Lanes(F())) {
    const V lo = hn::Load(F(), fits.lo + g), hi = hn::Load(F(), fits.hi + g);
    const V step = hn::Max(hn::Div(hn::Sub(hi, lo), levels), Constant(1e-7f));
    V scale = step, bias = lo;
    if (bits != 1) {
      const auto negative_side = hn::Gt(hn::Abs(lo), hn::Abs(hi));
      scale = hn::IfThenElse(negative_side, step, hn::Neg(step));
      const V edge = hn::IfThenElse(negative_side, lo, hi);
      const V zero_code = RoundCodeOf<kGpu>(hn::Div(edge, scale));
      const auto at_zero = hn::Eq(zero_code, hn::Zero(F()));
      scale = hn::IfThenElse(at_zero, scale, hn::Div(edge, zero_code));
      bias = hn::IfThenElse(at_zero, hn::Zero(F()), edge);
    }
    hn::Store(scale, F(), fits.scale + g);
    hn::Store(bias, F(), fits.bias + g);
    hn::Store(RoundToType<kType>(scale), F(), fits.stored_scale + g);
    hn::Store(RoundToType<kType>(bias), F(), fits.stored_bias + g);
  }
}

template <ComputeDType kType, bool kGpu>
uint64_t EncodeAffine(const float* HWY_RESTRICT x, size_t groups, size_t size, unsigned bits,
                      const AffineFits& fits, float* HWY_RESTRICT w_hat) {
  const V levels = Constant(static_cast<float>((1u << bits) - 1)), zero = hn::Zero(F());
  uint64_t clipped = 0;
  for (size_t g = 0; g < groups; ++g, x += size, w_hat += size) {
    const V scale = Constant(fits.scale[g]), bias = Constant(fits.bias[g]);
    const V stored_scale = Constant(fits.stored_scale[g]);
    const V stored_bias = Constant(fits.stored_bias[g]);
    for (size_t i = 0; i < size; i += hn::Lanes(F())) {
      const V level = RoundCodeOf<kGpu>(hn::Div(hn::Sub(hn::LoadU(F(), x + i), bias), scale));
      const V code = hn::Min(hn::Max(level, zero), levels);
      clipped += hn::CountTrue(F(), hn::Ne(code, level));
      const V product = RoundToType<kType>(hn::Mul(code, stored_scale));
      hn::StoreU(RoundToType<kType>(hn::Add(product, stored_bias)), F(), w_hat + i);
    }
  }
  return clipped;
}

template <ComputeDType kType, bool kGpu>
void RunAffineVector(const Quantizer& quantizer, GroupRun& run) {
  const size_t size = quantizer.group_size;
  AffineFits fits = {};
  for (size_t g = 0; g < run.groups; g += kGroupsAtOnce) {
    const size_t groups = std::min(kGroupsAtOnce, run.groups - g);
    FindRanges<kGpu>(run.x + g * size, groups, size, fits);
    FitGroups<kType, kGpu>(groups, quantizer.bits, fits);
    if (AnyNonFinite(fits.stored_scale, groups)) {  // the range overflows
      RunPortable(quantizer, run, g, groups);
      continue;
    }
    std::copy_n(fits.stored_scale, groups, run.scales + g);
    std::copy_n(fits.stored_bias, groups, run.biases + g);
    run.clipped += EncodeAffine<kType, kGpu>(run.x + g * size, groups, size, quantizer.bits, fits,
                                             run.w_hat + g * size);
  }
}

// ---- float modes ----

// The fp4 magnitude nearest to `m` >= 0; a tie goes to the smaller one, or to the even code.
template <bool kTiesEven>
V NearestFp4(V m) {
  const auto step = [m](float threshold, float height, bool ties_up) HWY_ATTR {
    const V t = Constant(threshold);
    return hn::IfThenElseZero(ties_up ? hn::Ge(m, t) : hn::Gt(m, t), Constant(height));
  };
  const V low = hn::Add(hn::Add(step(0.25f, 0.5f, false), step(0.75f, 0.5f, kTiesEven)),
                        hn::Add(step(1.25f, 0.5f, false), step(1.75f, 0.5f, kTiesEven)));
  const V high = hn::Add(step(2.5f, 1.0f, false), step(3.5f, 1.0f, kTiesEven));
  return hn::Add(hn::Add(low, high), step(5.0f, 2.0f, false));
}

struct Fp4TiesDownVector {
  static V Value(V y) {
    const V value = NearestFp4<false>(hn::Abs(y));
    const auto is_zero = hn::Eq(value, hn::Zero(F()));
    return hn::IfThenElse(is_zero, value, hn::CopySignToAbs(value, y));  // there is no -0
  }
};

struct Fp4TiesEvenVector {
  static V Value(V y) { return hn::CopySignToAbs(NearestFp4<true>(hn::Abs(y)), y); }
};

struct E4m3Vector {
  static V Value(V y) {
    const V m = hn::Abs(y);
    const V normal = hn::Min(RoundMantissa<20>(m), Constant(448.0f));
    const V tiny = RoundToGrid(m, 16384.0f);  // units of 2^-9
    const auto is_tiny = hn::Lt(m, Constant(0x1p-6f));
    return hn::CopySignToAbs(hn::IfThenElse(is_tiny, tiny, normal), y);
  }
};

float LargestMagnitude(const float* HWY_RESTRICT x, size_t size) {
  V largest = hn::Abs(hn::LoadU(F(), x));
  for (size_t i = hn::Lanes(F()); i < size; i += hn::Lanes(F())) {
    largest = hn::Max(largest, hn::Abs(hn::LoadU(F(), x + i)));
  }
  return hn::GetLane(hn::MaxOfLanes(F(), largest));
}

/// kDivide: y = R_T(x / factor). Else y = x * factor, unrounded.
template <ComputeDType kType, class Element, bool kDivide>
uint64_t EncodeFloat(const float* HWY_RESTRICT x, size_t size, const FloatFit& fit, float limit,
                     float* HWY_RESTRICT w_hat) {
  const V factor = Constant(fit.factor), scale = Constant(fit.scale), bound = Constant(limit);
  uint64_t clipped = 0;
  for (size_t i = 0; i < size; i += hn::Lanes(F())) {
    const V v = hn::LoadU(F(), x + i);
    clipped += hn::CountTrue(F(), hn::Gt(hn::Abs(v), bound));
    V y = v;
    if constexpr (kDivide) {
      y = RoundToType<kType>(hn::Div(v, factor));
    } else {
      y = hn::Mul(v, factor);
    }
    hn::StoreU(RoundToType<kType>(hn::Mul(Element::Value(y), scale)), F(), w_hat + i);
  }
  return clipped;
}

template <ComputeDType kType, class Element>
void RunGpuVector(const Quantizer& quantizer, GroupRun& run) {
  const size_t size = quantizer.group_size;
  const bool legacy = IsLegacy(quantizer.profile);
  for (size_t g = 0; g < run.groups; ++g) {
    const float* x = run.x + g * size;
    const FloatFit fit = quantizer.fit(LargestMagnitude(x, size), legacy);
    run.scales[g] = fit.byte;
    run.clipped += EncodeFloat<kType, Element, false>(x, size, fit, quantizer.largest * fit.scale,
                                                      run.w_hat + g * size);
  }
}

// Dividing by a power of two is multiplying with its inverse, and rounding the quotient to T
// changes only quotients far below the smallest code.
template <ComputeDType kType, class Element>
void RunCpuMxVector(const Quantizer& quantizer, GroupRun& run) {
  const size_t size = quantizer.group_size;
  const bool legacy = IsLegacy(quantizer.profile);
  for (size_t g = 0; g < run.groups; ++g) {
    const float* x = run.x + g * size;
    FloatFit fit = quantizer.fit(LargestMagnitude(x, size), legacy);
    if (fit.factor < 0x1p-126f) {  // subnormal: the scale byte may wrap
      RunPortable(quantizer, run, g, 1);
      continue;
    }
    fit.factor = 1.0f / fit.factor;
    run.scales[g] = fit.byte;
    run.clipped += EncodeFloat<kType, Element, false>(
        x, size, fit, quantizer.largest * kE8m0Values[fit.byte], run.w_hat + g * size);
  }
}

template <ComputeDType kType>
void RunCpuNvVector(const Quantizer& quantizer, GroupRun& run) {
  constexpr float kDistancesExact = 65536.0f;  // as Fp4FirstNearest()
  const size_t size = quantizer.group_size;
  for (size_t g = 0; g < run.groups; ++g) {
    const float* x = run.x + g * size;
    const float largest = LargestMagnitude(x, size);
    FloatFit fit = quantizer.fit(largest, false);
    if (largest > kDistancesExact) {
      RunPortable(quantizer, run, g, 1);
      continue;
    }
    // x / 0 gives code 0 whatever x is; so does x / 1 in groups that small.
    if (fit.scale == 0.0f) fit.factor = 1.0f;
    run.scales[g] = fit.byte;
    run.clipped += EncodeFloat<kType, Fp4TiesDownVector, true>(
        x, size, fit, quantizer.largest * fit.scale, run.w_hat + g * size);
  }
}

template <ComputeDType kType>
void RunInType(const Quantizer& quantizer, GroupRun& run) {
  const bool gpu = IsGpu(quantizer.profile);
  const bool mx = quantizer.scale_values == &kE8m0Values;
  switch (quantizer.element) {
    case ElementKind::kAffine:
      return gpu ? RunAffineVector<kType, true>(quantizer, run)
                 : RunAffineVector<kType, false>(quantizer, run);
    case ElementKind::kFp4:
      if (gpu) return RunGpuVector<kType, Fp4TiesEvenVector>(quantizer, run);
      return mx ? RunCpuMxVector<kType, Fp4TiesDownVector>(quantizer, run)
                : RunCpuNvVector<kType>(quantizer, run);
    case ElementKind::kE4m3:
      return gpu ? RunGpuVector<kType, E4m3Vector>(quantizer, run)
                 : RunCpuMxVector<kType, E4m3Vector>(quantizer, run);
  }
}

void QuantizeGroupsImpl(const Quantizer& quantizer, GroupRun& run) {
  switch (quantizer.dtype) {
    case ComputeDType::kF32:
      return RunInType<ComputeDType::kF32>(quantizer, run);
    case ComputeDType::kF16:
      return RunInType<ComputeDType::kF16>(quantizer, run);
    case ComputeDType::kBF16:
      return RunInType<ComputeDType::kBF16>(quantizer, run);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace moe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE  // compiled once: the public face
namespace moe {

HWY_EXPORT(QuantizeGroupsImpl);
void QuantizeGroups(const Quantizer& quantizer, GroupRun& run) {
  HWY_DYNAMIC_DISPATCH(QuantizeGroupsImpl)(quantizer, run);
}

}  // namespace moe
#endif
