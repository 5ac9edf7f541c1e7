#include "measure/kernels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "base/simd_targets.h"
#include "measure/float_codes.h"
#include "moescope/measure.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "measure/kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "measure/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace moe {
namespace HWY_NAMESPACE {  // compiled once for each SIMD target

struct Lanes {
  W part[kParts];

  Lanes() {
    for (auto& p : part) p = hn::Zero(D());
  }
  void StoreTo(double (&lanes)[kSumLanes]) const {
    for (size_t p = 0; p < kParts; ++p) hn::StoreU(part[p], D(), lanes + p * kDoubles);
  }
  double Fold() const {
    double lanes[kSumLanes];
    StoreTo(lanes);
    return FoldSum(lanes);
  }
};

// Calls use(part, widened) for the eight elements at x.
template <class Use>
HWY_INLINE void ForWide(const float* HWY_RESTRICT x, const Use& use) {
  for (size_t i = 0; i < kSumLanes; i += kFloats) {
    const V v = hn::LoadU(F(), x + i);
    use(i / kDoubles, Widen<0>(v));
    if constexpr (kHalves == 2) use(i / kDoubles + 1, Widen<1>(v));
  }
}

uint64_t CountNonFinite(const float* x, size_t count) {
  uint64_t nonfinite = 0;
  for (size_t i = 0; i < count; ++i) nonfinite += MagnitudeBits(x[i]) >= kInfinityBits;
  return nonfinite;
}

// The largest |x| as an integer; from kInfinityBits on some x is Inf or NaN.
uint32_t LargestMagnitudeBits(const float* HWY_RESTRICT x, size_t count) {
  VI largest = hn::Zero(I());
  const size_t whole = count - count % kSumLanes;
  for (size_t i = 0; i < whole; i += kFloats) {
    largest = hn::Max(largest, MagnitudeOf(hn::LoadU(F(), x + i)));
  }
  auto bits = static_cast<uint32_t>(MaxLane(I(), largest));
  for (size_t i = whole; i < count; ++i) bits = std::max(bits, MagnitudeBits(x[i]));
  return bits;
}

TileSums SumTileImpl(const float* HWY_RESTRICT x, size_t count) {
  Lanes sum, sum_abs, sum_sq;
  const size_t whole = count - count % kSumLanes;
  for (size_t i = 0; i < whole; i += kSumLanes) {
    ForWide(x + i, [&](size_t p, W wide) HWY_ATTR {
      sum.part[p] = hn::Add(sum.part[p], wide);
      sum_abs.part[p] = hn::Add(sum_abs.part[p], hn::Abs(wide));
      sum_sq.part[p] = hn::MulAdd(wide, wide, sum_sq.part[p]);  // exact squares
    });
  }
  double s[kSumLanes], a[kSumLanes], q[kSumLanes];
  sum.StoreTo(s);
  sum_abs.StoreTo(a);
  sum_sq.StoreTo(q);
  for (size_t i = whole; i < count; ++i) {
    const double wide = x[i];
    s[i - whole] += wide;
    a[i - whole] += std::fabs(wide);
    q[i - whole] += wide * wide;
  }
  TileSums out{FoldSum(s), FoldSum(a), FoldSum(q), LargestMagnitudeBits(x, count), 0};
  if (out.max_bits >= kInfinityBits) out.nonfinite = CountNonFinite(x, count);
  return out;
}

double SumWeightedSquaresImpl(const float* HWY_RESTRICT x, const double* HWY_RESTRICT weights,
                              size_t count) {
  Lanes sum;
  const size_t whole = count - count % kSumLanes;
  for (size_t i = 0; i < whole; i += kSumLanes) {
    ForWide(x + i, [&](size_t p, W wide) HWY_ATTR {
      const W weight = hn::LoadU(D(), weights + i + p * kDoubles);
      sum.part[p] = hn::Add(sum.part[p], hn::Mul(hn::Mul(wide, wide), weight));
    });
  }
  double lanes[kSumLanes];
  sum.StoreTo(lanes);
  for (size_t i = whole; i < count; ++i) lanes[i - whole] += double{x[i]} * x[i] * weights[i];
  return FoldSum(lanes);
}

void AddSquaresImpl(const float* HWY_RESTRICT x, size_t count, double* HWY_RESTRICT sums) {
  const size_t whole = count - count % kSumLanes;
  for (size_t i = 0; i < whole; i += kSumLanes) {
    ForWide(x + i, [&](size_t p, W wide) HWY_ATTR {
      double* at = sums + i + p * kDoubles;
      hn::StoreU(hn::MulAdd(wide, wide, hn::LoadU(D(), at)), D(), at);  // exact squares
    });
  }
  for (size_t i = whole; i < count; ++i) sums[i] += double{x[i]} * x[i];
}

double SumSquaredDeviationImpl(const float* HWY_RESTRICT x, size_t count, double mean) {
  Lanes sum;
  const W center = hn::Set(D(), mean);
  const size_t whole = count - count % kSumLanes;
  for (size_t i = 0; i < whole; i += kSumLanes) {
    ForWide(x + i, [&](size_t p, W wide) HWY_ATTR {
      const W off = hn::Sub(wide, center);
      sum.part[p] = hn::Add(sum.part[p], hn::Mul(off, off));
    });
  }
  double lanes[kSumLanes];
  sum.StoreTo(lanes);
  for (size_t i = whole; i < count; ++i) lanes[i - whole] += (x[i] - mean) * (x[i] - mean);
  return FoldSum(lanes);
}

// ---- groups ----

// One group's extremes, and its sum of magnitudes if kSums.
template <bool kSums>
struct Summary {
  V lo, hi;
  Lanes sum;

  HWY_INLINE Summary(const float* HWY_RESTRICT x, size_t size) : lo(hn::LoadU(F(), x)), hi(lo) {
    for (size_t i = 0; i < size; i += kSumLanes) {
      for (size_t j = 0; j < kSumLanes; j += kFloats) {
        const V v = hn::LoadU(F(), x + i + j);
        lo = hn::Min(lo, v);
        hi = hn::Max(hi, v);
        if constexpr (kSums) {
          const V magnitude = hn::Abs(v);
          W& low = sum.part[j / kDoubles];
          low = hn::Add(low, Widen<0>(magnitude));
          if constexpr (kHalves == 2) {
            W& high = sum.part[j / kDoubles + 1];
            high = hn::Add(high, Widen<1>(magnitude));
          }
        }
      }
    }
  }
};

#if HWY_TARGET != HWY_SCALAR
// The least (or largest) lane of each of four vectors, in order: choose(a, b) is of each lane.
template <class Choose>
HWY_INLINE void StoreOfLanes(V a, V b, V c, V d, const Choose& choose, float* HWY_RESTRICT out) {
  using F4 = hn::CappedTag<float, 4>;
  const auto halved = [&](auto v) HWY_ATTR {
    if constexpr (kFloats == 4) {
      return v;
    } else {
      return choose(hn::LowerHalf(F4(), v), hn::UpperHalf(F4(), v));
    }
  };
  const auto paired = [&](auto v, auto w) HWY_ATTR {
    return choose(hn::InterleaveLower(F4(), v, w), hn::InterleaveUpper(F4(), v, w));
  };
  const auto ac = paired(halved(a), halved(c)), bd = paired(halved(b), halved(d));
  hn::StoreU(paired(ac, bd), F4(), out);
}
#endif

template <bool kSums>
void SummarizeGroupsImpl(const float* HWY_RESTRICT x, size_t groups, size_t size,
                         float* HWY_RESTRICT lo, float* HWY_RESTRICT hi,
                         double* HWY_RESTRICT sum_abs) {
  size_t g = 0;
#if HWY_TARGET != HWY_SCALAR
  const auto min = [](auto v, auto w) HWY_ATTR { return hn::Min(v, w); };
  const auto max = [](auto v, auto w) HWY_ATTR { return hn::Max(v, w); };
  for (; g + 4 <= groups; g += 4, x += 4 * size) {
    const Summary<kSums> a(x, size), b(x + size, size), c(x + 2 * size, size),
        d(x + 3 * size, size);
    StoreOfLanes(a.lo, b.lo, c.lo, d.lo, min, lo + g);
    StoreOfLanes(a.hi, b.hi, c.hi, d.hi, max, hi + g);
    if constexpr (kSums) {
      sum_abs[g] = a.sum.Fold();
      sum_abs[g + 1] = b.sum.Fold();
      sum_abs[g + 2] = c.sum.Fold();
      sum_abs[g + 3] = d.sum.Fold();
    }
  }
#endif
  for (; g < groups; ++g, x += size) {
    const Summary<kSums> summary(x, size);
    lo[g] = hn::GetLane(hn::MinOfLanes(F(), summary.lo));
    hi[g] = hn::GetLane(hn::MaxOfLanes(F(), summary.hi));
    if constexpr (kSums) sum_abs[g] = summary.sum.Fold();
  }
}

void SummarizeAnyGroups(const float* x, size_t groups, size_t size, float* lo, float* hi,
                        double* sum_abs) {
  return sum_abs == nullptr ? SummarizeGroupsImpl<false>(x, groups, size, lo, hi, sum_abs)
                            : SummarizeGroupsImpl<true>(x, groups, size, lo, hi, sum_abs);
}

float GroupRatiosImpl(const double* HWY_RESTRICT sum_abs, const float* HWY_RESTRICT largest,
                      size_t groups, double size, double eps, float* HWY_RESTRICT ratios) {
  using Narrow = hn::Rebind<float, D>;
  const W count = hn::Set(D(), size), floor = hn::Set(D(), eps);
  auto most = hn::Zero(Narrow());
  const size_t whole = groups - groups % kDoubles;
  for (size_t g = 0; g < whole; g += kDoubles) {
    const W mean = hn::Div(hn::LoadU(D(), sum_abs + g), count);
    const W top = hn::PromoteTo(D(), hn::LoadU(Narrow(), largest + g));
    const auto ratio = hn::DemoteTo(Narrow(), hn::Div(top, hn::Add(mean, floor)));
    most = hn::Max(most, ratio);
    hn::StoreU(ratio, Narrow(), ratios + g);
  }
  float max = MaxLane(Narrow(), most);
  for (size_t g = whole; g < groups; ++g) {
    ratios[g] = static_cast<float>(largest[g] / (sum_abs[g] / size + eps));
    max = std::max(max, ratios[g]);
  }
  return max;
}

// ---- elements ----

void FindBinsImpl(const float* HWY_RESTRICT x, size_t count, const BinScale& scale,
                  uint32_t* HWY_RESTRICT bins) {
  const auto low = hn::Set(U(), scale.low), high = hn::Set(U(), scale.high);
  const auto magnitude_bits = hn::Set(U(), 0x7fffffff), negative = hn::Set(U(), scale.per_sign());
  const size_t whole = count - count % kSumLanes;
  for (size_t i = 0; i < whole; i += kFloats) {
    const auto bits = hn::BitCast(U(), hn::LoadU(F(), x + i));
    const auto top =
        hn::ShiftRightSame(hn::And(bits, magnitude_bits), static_cast<int>(scale.shift));
    const auto bin = hn::Sub(hn::Min(hn::Max(top, low), high), low);
    const auto sign = hn::BitCast(U(), hn::BroadcastSignBit(hn::BitCast(I(), bits)));
    hn::StoreU(hn::Add(bin, hn::And(sign, negative)), U(), bins + i);
  }
  for (size_t i = whole; i < count; ++i) {
    const uint32_t top = MagnitudeBits(x[i]) >> scale.shift;
    bins[i] = std::clamp(top, scale.low, scale.high) - scale.low +
              (std::signbit(x[i]) ? scale.per_sign() : 0);
  }
}

template <ComputeDType kType>
void RoundAll(float* x, size_t count) {
  const size_t whole = count - count % kSumLanes;
  for (size_t i = 0; i < whole; i += kFloats) {
    hn::StoreU(RoundToType<kType>(hn::LoadU(F(), x + i)), F(), x + i);
  }
  for (size_t i = whole; i < count; ++i) x[i] = RoundTo<kType>(x[i]);
}

void RoundToComputeImpl(float* x, size_t count, ComputeDType dtype) {
  if (dtype == ComputeDType::kF16) RoundAll<ComputeDType::kF16>(x, count);
  if (dtype == ComputeDType::kBF16) RoundAll<ComputeDType::kBF16>(x, count);
}

const char* TargetNameImpl() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace moe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE  // compiled once: the public face
namespace moe {

HWY_EXPORT(SumTileImpl);
TileSums SumTile(const float* x, size_t count) {
  return HWY_DYNAMIC_DISPATCH(SumTileImpl)(x, count);
}

HWY_EXPORT(SumWeightedSquaresImpl);
double SumWeightedSquares(const float* x, const double* weights, size_t count) {
  return HWY_DYNAMIC_DISPATCH(SumWeightedSquaresImpl)(x, weights, count);
}

HWY_EXPORT(AddSquaresImpl);
void AddSquares(const float* x, size_t count, double* sums) {
  HWY_DYNAMIC_DISPATCH(AddSquaresImpl)(x, count, sums);
}

HWY_EXPORT(SumSquaredDeviationImpl);
double SumSquaredDeviation(const float* x, size_t count, double mean) {
  return HWY_DYNAMIC_DISPATCH(SumSquaredDeviationImpl)(x, count, mean);
}

HWY_EXPORT(SummarizeAnyGroups);
void SummarizeGroups(const float* x, size_t groups, size_t size, float* lo, float* hi,
                     double* sum_abs) {
  HWY_DYNAMIC_DISPATCH(SummarizeAnyGroups)(x, groups, size, lo, hi, sum_abs);
}

HWY_EXPORT(GroupRatiosImpl);
float GroupRatios(const double* sum_abs, const float* largest, size_t groups, double size,
                  double eps, float* ratios) {
  return HWY_DYNAMIC_DISPATCH(GroupRatiosImpl)(sum_abs, largest, groups, size, eps, ratios);
}

HWY_EXPORT(FindBinsImpl);
void FindBins(const float* x, size_t count, const BinScale& scale, uint32_t* bins) {
  HWY_DYNAMIC_DISPATCH(FindBinsImpl)(x, count, scale, bins);
}

HWY_EXPORT(RoundToComputeImpl);
void RoundToCompute(float* x, size_t count, ComputeDType dtype) {
  HWY_DYNAMIC_DISPATCH(RoundToComputeImpl)(x, count, dtype);
}

HWY_EXPORT(TargetNameImpl);
std::string SimdTargetName() { return HWY_DYNAMIC_DISPATCH(TargetNameImpl)(); }

}  // namespace moe
#endif
