#include "measure/kernels.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "measure/float_codes.h"
#include "measure/simd_targets.h"
#include "moescope/measure.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "measure/kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace moe {
namespace HWY_NAMESPACE {  // compiled once for each SIMD target
namespace hn = hwy::HWY_NAMESPACE;

// Eight doubles, as many vectors as that takes, and the floats they are widened from.
using Doubles = hn::CappedTag<double, kSumLanes>;
using Floats = hn::Rebind<float, Doubles>;
using Ints = hn::Rebind<int32_t, Doubles>;
constexpr size_t kWidth = hn::MaxLanes(Doubles());
constexpr size_t kParts = kSumLanes / kWidth;

struct Lanes {
  hn::Vec<Doubles> part[kParts];

  Lanes() {
    for (auto& p : part) p = hn::Zero(Doubles());
  }
  void LoadFrom(const double* lanes) {
    for (size_t p = 0; p < kParts; ++p) part[p] = hn::LoadU(Doubles(), lanes + p * kWidth);
  }
  void StoreTo(double* lanes) const {
    for (size_t p = 0; p < kParts; ++p) hn::StoreU(part[p], Doubles(), lanes + p * kWidth);
  }
};

HWY_INLINE hn::Vec<Ints> AbsBits(hn::Vec<Floats> x) {
  return hn::And(hn::BitCast(Ints(), x), hn::Set(Ints(), 0x7fffffff));
}

HWY_INLINE uint32_t LargestOf(hn::Vec<Ints> bits) {
  HWY_ALIGN int32_t lanes[kWidth];
  hn::Store(bits, Ints(), lanes);
  return static_cast<uint32_t>(*std::max_element(lanes, lanes + kWidth));
}

uint64_t CountNonFinite(const float* x, size_t count) {
  uint64_t nonfinite = 0;
  for (size_t i = 0; i < count; ++i) nonfinite += MagnitudeBits(x[i]) >= kInfinityBits;
  return nonfinite;
}

TileSums SumTileImpl(const float* HWY_RESTRICT x, size_t count) {
  Lanes sum, sum_abs, sum_sq;
  auto max_bits = hn::Zero(Ints());
  const size_t whole = count - count % kSumLanes;
  for (size_t i = 0; i < whole; i += kSumLanes) {
    for (size_t p = 0; p < kParts; ++p) {
      const auto narrow = hn::LoadU(Floats(), x + i + p * kWidth);
      max_bits = hn::Max(max_bits, AbsBits(narrow));
      const auto wide = hn::PromoteTo(Doubles(), narrow);
      sum.part[p] = hn::Add(sum.part[p], wide);
      sum_abs.part[p] = hn::Add(sum_abs.part[p], hn::Abs(wide));
      sum_sq.part[p] = hn::Add(sum_sq.part[p], hn::Mul(wide, wide));
    }
  }
  double s[kSumLanes], a[kSumLanes], q[kSumLanes];
  sum.StoreTo(s);
  sum_abs.StoreTo(a);
  sum_sq.StoreTo(q);
  TileSums out;
  out.max_bits = LargestOf(max_bits);
  for (size_t i = whole; i < count; ++i) {
    const double wide = x[i];
    s[i - whole] += wide;
    a[i - whole] += std::fabs(wide);
    q[i - whole] += wide * wide;
    out.max_bits = std::max(out.max_bits, MagnitudeBits(x[i]));
  }
  out.sum = FoldSum(s);
  out.sum_abs = FoldSum(a);
  out.sum_sq = FoldSum(q);
  if (out.max_bits >= kInfinityBits) out.nonfinite = CountNonFinite(x, count);
  return out;
}

double SumSquaredDeviationImpl(const float* HWY_RESTRICT x, size_t count, double mean) {
  Lanes sum;
  const auto center = hn::Set(Doubles(), mean);
  const size_t whole = count - count % kSumLanes;
  for (size_t i = 0; i < whole; i += kSumLanes) {
    for (size_t p = 0; p < kParts; ++p) {
      const auto wide = hn::PromoteTo(Doubles(), hn::LoadU(Floats(), x + i + p * kWidth));
      const auto off = hn::Sub(wide, center);
      sum.part[p] = hn::Add(sum.part[p], hn::Mul(off, off));
    }
  }
  double lanes[kSumLanes];
  sum.StoreTo(lanes);
  for (size_t i = whole; i < count; ++i) lanes[i - whole] += (x[i] - mean) * (x[i] - mean);
  return FoldSum(lanes);
}

void SumGroupsImpl(const float* HWY_RESTRICT x, size_t groups, size_t group_size,
                   double* HWY_RESTRICT sum_abs, float* HWY_RESTRICT max_abs) {
  for (size_t g = 0; g < groups; ++g) {
    Lanes sum;
    auto max_bits = hn::Zero(Ints());
    for (size_t i = 0; i < group_size; i += kSumLanes) {
      for (size_t p = 0; p < kParts; ++p) {
        const auto magnitude = hn::Abs(hn::LoadU(Floats(), x + i + p * kWidth));
        max_bits = hn::Max(max_bits, hn::BitCast(Ints(), magnitude));
        sum.part[p] = hn::Add(sum.part[p], hn::PromoteTo(Doubles(), magnitude));
      }
    }
    double lanes[kSumLanes];
    sum.StoreTo(lanes);
    sum_abs[g] = FoldSum(lanes);
    max_abs[g] = std::bit_cast<float>(LargestOf(max_bits));
    x += group_size;
  }
}

void AddErrorsImpl(const float* HWY_RESTRICT x, const float* HWY_RESTRICT w_hat, size_t count,
                   ErrorLanes& lanes) {
  Lanes sum_sq, max_abs;
  sum_sq.LoadFrom(lanes.sum_sq);
  max_abs.LoadFrom(lanes.max_abs);
  auto max_bits = hn::Zero(Ints());
  const auto zero = hn::Zero(Floats());
  for (size_t i = 0; i < count; i += kSumLanes) {
    for (size_t p = 0; p < kParts; ++p) {
      const auto a = hn::LoadU(Floats(), x + i + p * kWidth);
      const auto b = hn::LoadU(Floats(), w_hat + i + p * kWidth);
      const auto d = hn::Sub(hn::PromoteTo(Doubles(), a), hn::PromoteTo(Doubles(), b));
      sum_sq.part[p] = hn::Add(sum_sq.part[p], hn::Mul(d, d));
      max_abs.part[p] = hn::Max(max_abs.part[p], hn::Abs(d));
      max_bits = hn::Max(max_bits, AbsBits(b));
      lanes.zeroed += hn::CountTrue(Floats(), hn::And(hn::Eq(b, zero), hn::Ne(a, zero)));
    }
  }
  sum_sq.StoreTo(lanes.sum_sq);
  max_abs.StoreTo(lanes.max_abs);
  lanes.max_bits = std::max(lanes.max_bits, LargestOf(max_bits));
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

HWY_EXPORT(SumSquaredDeviationImpl);
double SumSquaredDeviation(const float* x, size_t count, double mean) {
  return HWY_DYNAMIC_DISPATCH(SumSquaredDeviationImpl)(x, count, mean);
}

HWY_EXPORT(SumGroupsImpl);
void SumGroups(const float* x, size_t groups, size_t group_size, double* sum_abs, float* max_abs) {
  HWY_DYNAMIC_DISPATCH(SumGroupsImpl)(x, groups, group_size, sum_abs, max_abs);
}

HWY_EXPORT(AddErrorsImpl);
void AddErrors(const float* x, const float* w_hat, size_t count, ErrorLanes& lanes) {
  HWY_DYNAMIC_DISPATCH(AddErrorsImpl)(x, w_hat, count, lanes);
}

HWY_EXPORT(TargetNameImpl);
std::string SimdTargetName() { return HWY_DYNAMIC_DISPATCH(TargetNameImpl)(); }

}  // namespace moe
#endif
