#include "measure/quant_kernels.h"

#include <algorithm>
#include <cmath>

#include "measure/float_codes.h"
#include "measure/simd_targets.h"

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

HWY_INLINE V Constant(float value) { return hn::Set(F(), value); }

HWY_INLINE V AddBits(V x, hn::Vec<U> bits) {
  return hn::BitCast(F(), hn::Add(hn::BitCast(U(), x), bits));
}

HWY_INLINE V MaskBits(V x, uint32_t mask) {
  return hn::BitCast(F(), hn::And(hn::BitCast(U(), x), hn::Set(U(), mask)));
}

// Rounds to nearest even at bit `kBits` of the pattern. No NaN.
template <int kBits>
HWY_INLINE V RoundMantissa(V x) {
  const auto odd = hn::And(hn::ShiftRight<kBits>(hn::BitCast(U(), x)), hn::Set(U(), 1));
  const auto half = hn::Set(U(), (1u << (kBits - 1)) - 1);
  return MaskBits(AddBits(x, hn::Add(half, odd)), ~((1u << kBits) - 1));
}

// Nearest even multiple of the last place of `grid`, a power of two well above x >= 0.
HWY_INLINE V RoundToGrid(V x, V grid) { return hn::Sub(hn::Add(x, grid), grid); }

// 2^exponent of each x > 0.
HWY_INLINE V PowerBelow(V x) { return MaskBits(x, kInfinityBits); }

HWY_INLINE V RoundToHalfPrecision(V x) {
  const V magnitude = hn::Min(hn::Abs(x), Constant(65536.0f));  // all above becomes infinite
  const V power = PowerBelow(hn::Max(magnitude, Constant(0x1p-14f)));
  const V rounded = RoundToGrid(magnitude, hn::Mul(power, Constant(8192.0f)));
  const V infinity = hn::BitCast(F(), hn::Set(U(), kInfinityBits));
  const auto overflows = hn::Eq(rounded, Constant(65536.0f));
  return hn::CopySignToAbs(hn::IfThenElse(overflows, infinity, rounded), x);
}

template <ComputeDType kType>
HWY_INLINE V RoundToType(V x) {
  if constexpr (kType == ComputeDType::kBF16) return RoundMantissa<16>(x);
  if constexpr (kType == ComputeDType::kF16) return RoundToHalfPrecision(x);
  return x;
}

// As RoundTiesEven() and RoundTiesAway().
template <bool kGpu>
HWY_INLINE V RoundCodeOf(V x) {
  const V magnitude = hn::Abs(x);
  V rounded = RoundToGrid(magnitude, Constant(8388608.0f));
  if constexpr (kGpu) {
    const auto tie = hn::Eq(hn::Sub(magnitude, rounded), Constant(0.5f));
    rounded = hn::Add(rounded, hn::IfThenElseZero(tie, Constant(1.0f)));
  }
  const auto small = hn::Lt(magnitude, Constant(8388608.0f));
  return hn::IfThenElse(small, hn::CopySignToAbs(rounded, x), x);
}

// The same for -0.5 < x < 2^22, which holds for every element's level: it is below 2^(bits + 1).
template <bool kGpu>
HWY_INLINE V RoundLevel(V x) {
  const V rounded = RoundToGrid(x, Constant(12582912.0f));  // 1.5 * 2^23: small negatives too
  if constexpr (!kGpu) return rounded;
  const auto tie = hn::Eq(hn::Sub(x, rounded), Constant(0.5f));
  return hn::Add(rounded, hn::IfThenElseZero(tie, Constant(1.0f)));
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
      const V level = RoundLevel<kGpu>(hn::Div(hn::Sub(hn::LoadU(F(), x + i), bias), scale));
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

// The fp4 magnitude nearest to `magnitude`; a tie goes to the smaller one, or to the even code.
// Steps are 0.5 below 2, 1 below 4, 2 below 8: a quarter of the power of two, but at least 0.5.
template <bool kTiesEven>
HWY_INLINE V NearestFp4(V magnitude) {
  const V m = hn::Min(magnitude, Constant(6.0f));
  const V power = PowerBelow(hn::Max(m, Constant(1.0f)));
  const V rounded = RoundToGrid(m, hn::Mul(power, Constant(0x1p22f)));
  if constexpr (kTiesEven) return rounded;
  const V half_step = hn::Mul(power, Constant(0.25f));
  const auto went_up = hn::Eq(hn::Sub(rounded, m), half_step);
  return hn::Sub(rounded, hn::IfThenElseZero(went_up, hn::Add(half_step, half_step)));
}

struct Fp4TiesDownVector {
  static HWY_INLINE V Value(V y) {
    const V value = NearestFp4<false>(hn::Abs(y));
    const auto is_zero = hn::Eq(value, hn::Zero(F()));
    return hn::IfThenElse(is_zero, value, hn::CopySignToAbs(value, y));  // there is no -0
  }
};

struct Fp4TiesEvenVector {
  static HWY_INLINE V Value(V y) { return hn::CopySignToAbs(NearestFp4<true>(hn::Abs(y)), y); }
};

struct E4m3Vector {
  static HWY_INLINE V Value(V y) {
    const V m = hn::Abs(y);
    const V normal = hn::Min(RoundMantissa<20>(m), Constant(448.0f));
    const V tiny = RoundToGrid(m, Constant(16384.0f));  // units of 2^-9
    const auto is_tiny = hn::Lt(m, Constant(0x1p-6f));
    return hn::CopySignToAbs(hn::IfThenElse(is_tiny, tiny, normal), y);
  }
};

HWY_INLINE float LargestMagnitude(const float* HWY_RESTRICT x, size_t size) {
  V largest = hn::Abs(hn::LoadU(F(), x));
  for (size_t i = hn::Lanes(F()); i < size; i += hn::Lanes(F())) {
    largest = hn::Max(largest, hn::Abs(hn::LoadU(F(), x + i)));
  }
  return hn::GetLane(hn::MaxOfLanes(F(), largest));
}

/// kDivide: y = R_T(x / factor). Else y = x * factor, unrounded.
template <ComputeDType kType, class Element, bool kDivide>
HWY_INLINE uint64_t EncodeFloat(const float* HWY_RESTRICT x, size_t size, const FloatFit& fit,
                                float limit, float* HWY_RESTRICT w_hat) {
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

enum class FloatPath { kCpuMx, kCpuNv, kGpu };

struct KernelFit {
  FloatFit fit;
  bool portable;  // too odd a group for the vectors
};

template <FloatPath kPath>
KernelFit FitForKernel(const Quantizer& quantizer, bool legacy, float largest) {
  KernelFit made = {quantizer.fit(largest, legacy), false};
  FloatFit& fit = made.fit;
  if constexpr (kPath == FloatPath::kCpuMx) {
    // Dividing by a power of two is multiplying with its inverse, and rounding the quotient to T
    // changes only quotients far below the smallest code.
    made.portable = fit.factor < 0x1p-126f;  // subnormal: the scale byte may wrap
    fit.factor = 1.0f / fit.factor;
  }
  if constexpr (kPath == FloatPath::kCpuNv) {
    constexpr float kDistancesExact = 65536.0f;  // as Fp4FirstNearest()
    made.portable = largest > kDistancesExact;
    // x / 0 gives code 0 whatever x is; so does x / 1 in groups that small.
    if (fit.scale == 0.0f) fit.factor = 1.0f;
  }
  return made;
}

template <ComputeDType kType, class Element, FloatPath kPath>
void RunFloatVector(const Quantizer& quantizer, GroupRun& run) {
  const size_t size = quantizer.group_size;
  const bool legacy = IsLegacy(quantizer.profile);
  float largest[kGroupsAtOnce];
  KernelFit fits[kGroupsAtOnce];
  for (size_t first = 0; first < run.groups; first += kGroupsAtOnce) {
    const size_t groups = std::min(kGroupsAtOnce, run.groups - first);
    const float* x = run.x + first * size;
    for (size_t g = 0; g < groups; ++g) largest[g] = LargestMagnitude(x + g * size, size);
    for (size_t g = 0; g < groups; ++g) {
      fits[g] = FitForKernel<kPath>(quantizer, legacy, largest[g]);
    }
    for (size_t g = 0; g < groups; ++g, x += size) {
      if (fits[g].portable) {
        RunPortable(quantizer, run, first + g, 1);
        continue;
      }
      const FloatFit& fit = fits[g].fit;
      run.scales[first + g] = fit.byte;
      const float limit = quantizer.largest * (*quantizer.scale_values)[fit.byte];
      run.clipped += EncodeFloat < kType, Element,
          kPath == FloatPath::kCpuNv > (x, size, fit, limit, run.w_hat + (first + g) * size);
    }
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
      if (gpu) return RunFloatVector<kType, Fp4TiesEvenVector, FloatPath::kGpu>(quantizer, run);
      return mx ? RunFloatVector<kType, Fp4TiesDownVector, FloatPath::kCpuMx>(quantizer, run)
                : RunFloatVector<kType, Fp4TiesDownVector, FloatPath::kCpuNv>(quantizer, run);
    case ElementKind::kE4m3:
      return gpu ? RunFloatVector<kType, E4m3Vector, FloatPath::kGpu>(quantizer, run)
                 : RunFloatVector<kType, E4m3Vector, FloatPath::kCpuMx>(quantizer, run);
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
