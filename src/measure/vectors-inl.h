// What the kernels share: vectors of floats with the doubles they are widened to, and rounding.
// Included once for each SIMD target, after <hwy/highway.h>.
#if defined(MOE_MEASURE_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOE_MEASURE_VECTORS_INL_H_
#undef MOE_MEASURE_VECTORS_INL_H_
#else
#define MOE_MEASURE_VECTORS_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "measure/float_codes.h"
#include "measure/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace moe {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most as many lanes as sums have: every group size is a multiple of that.
using F = hn::CappedTag<float, kSumLanes>;
using I = hn::Rebind<int32_t, F>;
using U = hn::Rebind<uint32_t, F>;
using D = hn::CappedTag<double, kSumLanes>;
using V = hn::Vec<F>;
using VI = hn::Vec<I>;
using W = hn::Vec<D>;
using Mask = hn::Mask<F>;

constexpr size_t kFloats = hn::MaxLanes(F());
constexpr size_t kDoubles = hn::MaxLanes(D());
constexpr size_t kHalves = kFloats / kDoubles;  // vectors of doubles that hold a vector of floats
constexpr size_t kParts = kSumLanes / kDoubles;

/// Half number `kHalf` of x, in double.
template <size_t kHalf, class Vector>
HWY_INLINE W Widen(Vector x) {
#if HWY_TARGET == HWY_SCALAR
  return hn::PromoteTo(D(), x);
#else
  if constexpr (kHalves == 1) {
    return hn::PromoteTo(D(), x);
  } else {
    using Half = hn::Half<F>;
    if constexpr (kHalf == 0) return hn::PromoteTo(D(), hn::LowerHalf(Half(), x));
    return hn::PromoteTo(D(), hn::UpperHalf(Half(), x));
  }
#endif
}

/// The largest lane; `x` holds no NaN.
template <class Tag>
HWY_INLINE hn::TFromD<Tag> MaxLane(Tag tag, hn::Vec<Tag> x) {
  HWY_ALIGN hn::TFromD<Tag> lanes[hn::MaxLanes(Tag())];
  hn::Store(x, tag, lanes);
  return *std::max_element(lanes, lanes + hn::MaxLanes(Tag()));
}

/// Vectors that are worked on side by side, step by step: the chain of operations of one hides in
/// those of the others.
template <size_t kCount>
struct Vectors {
  HWY_INLINE Vectors() {}  // g++ compiles an implicit one for no target in particular
  V at[kCount];
};

/// use(vector) for each of `x`.
template <size_t kCount, class Use>
HWY_INLINE Vectors<kCount> Each(const Vectors<kCount>& x, const Use& use) {
  Vectors<kCount> out;
#pragma GCC unroll 4
  for (size_t i = 0; i < kCount; ++i) out.at[i] = use(x.at[i]);
  return out;
}

/// Counts the lanes that masks have set.
class Counter {
 public:
#if HWY_TARGET <= HWY_AVX3  // masks are bits there, and counting bits leaves the vector units alone
  HWY_INLINE void Add(Mask mask) { count_ += hn::CountTrue(F(), mask); }
  uint64_t count() const { return count_; }

 private:
  uint64_t count_ = 0;
#else
  Counter() : negative_(hn::Zero(I())) {}
  HWY_INLINE void Add(Mask mask) {
    negative_ = hn::Add(negative_, hn::VecFromMask(I(), hn::RebindMask(I(), mask)));
  }
  uint64_t count() const {
    HWY_ALIGN int32_t lanes[kFloats];
    hn::Store(negative_, I(), lanes);
    uint64_t count = 0;
    for (const int32_t lane : lanes) count += static_cast<uint64_t>(-int64_t{lane});
    return count;
  }

 private:
  VI negative_;
#endif
};

HWY_INLINE V Constant(float value) { return hn::Set(F(), value); }

HWY_INLINE V Infinity() { return hn::BitCast(F(), hn::Set(U(), kInfinityBits)); }

HWY_INLINE VI MagnitudeOf(V x) { return hn::And(hn::BitCast(I(), x), hn::Set(I(), 0x7fffffff)); }

HWY_INLINE V AddBits(V x, hn::Vec<U> bits) {
  return hn::BitCast(F(), hn::Add(hn::BitCast(U(), x), bits));
}

HWY_INLINE V MaskBits(V x, uint32_t mask) {
  return hn::BitCast(F(), hn::And(hn::BitCast(U(), x), hn::Set(U(), mask)));
}

/// Rounds to nearest even at bit `kBits` of the pattern. No NaN.
template <int kBits>
HWY_INLINE V RoundMantissa(V x) {
  const auto odd = hn::And(hn::ShiftRight<kBits>(hn::BitCast(U(), x)), hn::Set(U(), 1));
  const auto half = hn::Set(U(), (1u << (kBits - 1)) - 1);
  return MaskBits(AddBits(x, hn::Add(half, odd)), ~((1u << kBits) - 1));
}

/// Nearest even multiple of the last place of `grid`: a power of two well above x >= 0, or 1.5
/// times one well above |x|.
HWY_INLINE V RoundToGrid(V x, V grid) { return hn::Sub(hn::Add(x, grid), grid); }

/// The same where that is `times` times a power of two: an exact product, so that it may be fused.
HWY_INLINE V RoundToGrid(V x, V power, float times) {
  const V factor = Constant(times);
  return hn::NegMulAdd(power, factor, hn::MulAdd(power, factor, x));
}

/// 2^exponent of |x|; 0 for subnormals.
HWY_INLINE V PowerBelow(V x) { return MaskBits(x, kInfinityBits); }

HWY_INLINE V RoundToHalfPrecision(V x) {
  const V magnitude = hn::Min(hn::Abs(x), Constant(65536.0f));  // all above becomes infinite
  const V power = PowerBelow(hn::Max(magnitude, Constant(0x1p-14f)));
  const V rounded = RoundToGrid(magnitude, power, 0x1p13f);
  const auto overflows = hn::Eq(rounded, Constant(65536.0f));
  return hn::CopySignToAbs(hn::IfThenElse(overflows, Infinity(), rounded), x);
}

/// R_T of the specification, for what is no NaN.
template <ComputeDType kType>
HWY_INLINE V RoundToType(V x) {
  if constexpr (kType == ComputeDType::kBF16) return RoundMantissa<16>(x);
  if constexpr (kType == ComputeDType::kF16) return RoundToHalfPrecision(x);
  return x;
}

/// The same for |x| below 2^100 where the result is finite; subnormals of bfloat16 stay as they
/// are.
template <ComputeDType kType>
HWY_INLINE V RoundInRange(V x) {
  if constexpr (kType == ComputeDType::kF32) return x;
  if constexpr (kType == ComputeDType::kBF16) return RoundToGrid(x, PowerBelow(x), 1.5f * 0x1p16f);
  return RoundToGrid(x, hn::Max(PowerBelow(x), Constant(0x1p-14f)), 1.5f * 0x1p13f);
}

/// As RoundTiesEven() and RoundTiesAway().
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

/// The same for -0.5 < x < 2^22, which holds for every element's level: it is below 2^(bits + 1).
template <bool kGpu>
HWY_INLINE V RoundLevel(V x) {
  const V rounded = RoundToGrid(x, Constant(12582912.0f));  // 1.5 * 2^23
  if constexpr (!kGpu) return rounded;
  const auto tie = hn::Eq(hn::Sub(x, rounded), Constant(0.5f));
  return hn::Add(rounded, hn::IfThenElseZero(tie, Constant(1.0f)));
}

}  // namespace HWY_NAMESPACE
}  // namespace moe
HWY_AFTER_NAMESPACE();

#endif  // MOE_MEASURE_VECTORS_INL_H_
