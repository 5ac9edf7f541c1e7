#include "measure/error_kernels.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/simd_targets.h"
#include "measure/float_codes.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "measure/error_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "measure/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace moe {
namespace HWY_NAMESPACE {  // compiled once for each SIMD target

constexpr size_t kMostGroups = GroupBatch::kMostGroups;

// ---- errors ----

// How many elements of a group are encoded side by side: what four vectors hold, if groups do.
template <class Encode>
constexpr size_t kBlock = std::max(kSumLanes, std::min(Encode::kLeastGroup, 4 * kFloats));

// ErrorSums in registers. `kInFloat`: d = x - w_hat is taken in float32. `kWeighted`: squares are
// also summed times their importance.
template <bool kInFloat, bool kWeighted>
class Errors {
 public:
  /// `importance`: of the elements of x; null unless kWeighted.
  Errors(const ErrorSums& sums, const double* importance) : importance_(importance) {
    for (size_t p = 0; p < kParts; ++p) {
      sum_sq_[p] = hn::LoadU(D(), sums.sum_sq + p * kDoubles);
      if constexpr (kWeighted) weighted_sq_[p] = hn::LoadU(D(), sums.weighted_sq + p * kDoubles);
    }
  }

  /// The kBlock<Encode> elements from x + at; encode(vectors, at, clipped) gives their
  /// reconstruction.
  template <class Encode>
  HWY_INLINE void Add(const float* HWY_RESTRICT x, size_t at, const Encode& encode) {
    constexpr size_t kVectors = kBlock<Encode> / kFloats;
    Vectors<kVectors> v;
#pragma GCC unroll 4
    for (size_t i = 0; i < kVectors; ++i) v.at[i] = hn::LoadU(F(), x + at + i * kFloats);
    const Vectors<kVectors> w = encode(v, at, clipped_);
#pragma GCC unroll 4
    for (size_t i = 0; i < kVectors; ++i) {
      if constexpr (Encode::kMayOverflow) largest_ = hn::Max(largest_, MagnitudeOf(w.at[i]));
      Compare(v.at[i], w.at[i], at + i * kFloats, i * kFloats % kSumLanes / kDoubles);
    }
  }

  void StoreTo(ErrorSums& sums) const {
    for (size_t p = 0; p < kParts; ++p) {
      hn::StoreU(sum_sq_[p], D(), sums.sum_sq + p * kDoubles);
      if constexpr (kWeighted) hn::StoreU(weighted_sq_[p], D(), sums.weighted_sq + p * kDoubles);
    }
    const double largest_d = kInFloat ? double{MaxLane(F(), max_)} : MaxLane(D(), wide_max_);
    sums.max_abs = std::max(sums.max_abs, largest_d);
    sums.zeroed += zeroed_.count();
    sums.clipped += clipped_.count();
    sums.nonfinite |= static_cast<uint32_t>(MaxLane(I(), largest_)) >= kInfinityBits;
  }

 private:
  // `part`: of the sums, where the first half of the vectors belongs.
  HWY_INLINE void Compare(V x, V w, size_t at, size_t part) {
    const V zero = hn::Zero(F());
    zeroed_.Add(hn::And(hn::Eq(w, zero), hn::Ne(x, zero)));
    if constexpr (kInFloat) {
      const V d = hn::Sub(x, w);
      max_ = hn::Max(max_, hn::Abs(d));
      AddSquare(Widen<0>(d), at, part);
      if constexpr (kHalves == 2) AddSquare(Widen<1>(d), at + kDoubles, part + 1);
    } else {
      AddDoubles(hn::Sub(Widen<0>(x), Widen<0>(w)), at, part);
      if constexpr (kHalves == 2) {
        AddDoubles(hn::Sub(Widen<1>(x), Widen<1>(w)), at + kDoubles, part + 1);
      }
    }
  }

  HWY_INLINE void AddDoubles(W d, size_t at, size_t part) {
    wide_max_ = hn::Max(wide_max_, hn::Abs(d));
    AddSquare(d, at, part);
  }

  HWY_INLINE void AddSquare(W d, size_t at, size_t part) {
    if constexpr (kWeighted) {
      const W square = hn::Mul(d, d);
      sum_sq_[part] = hn::Add(sum_sq_[part], square);
      const W weighted = hn::Mul(square, hn::LoadU(D(), importance_ + at));
      weighted_sq_[part] = hn::Add(weighted_sq_[part], weighted);
    } else if constexpr (kInFloat) {  // an exact square: fused or not, the same bits
      sum_sq_[part] = hn::MulAdd(d, d, sum_sq_[part]);
    } else {
      sum_sq_[part] = hn::Add(sum_sq_[part], hn::Mul(d, d));
    }
  }

  const double* HWY_RESTRICT importance_;
  W sum_sq_[kParts], weighted_sq_[kParts], wide_max_ = hn::Zero(D());
  V max_ = hn::Zero(F());
  VI largest_ = hn::Zero(I());
  Counter zeroed_, clipped_;
};

// What has been reconstructed already.
struct Given {
  static constexpr bool kMayOverflow = true;
  static constexpr size_t kLeastGroup = kSumLanes;
  const float* w_hat;

  template <size_t kCount>
  HWY_INLINE Vectors<kCount> operator()(const Vectors<kCount>&, size_t at, Counter&) const {
    Vectors<kCount> w;
    for (size_t i = 0; i < kCount; ++i) w.at[i] = hn::LoadU(F(), w_hat + at + i * kFloats);
    return w;
  }
};

template <bool kInFloat, bool kWeighted>
void AddGiven(const float* HWY_RESTRICT x, const float* HWY_RESTRICT w_hat,
              const double* importance, size_t count, ErrorSums& sums) {
  Errors<kInFloat, kWeighted> errors(sums, importance);
  for (size_t i = 0; i < count; i += kSumLanes) errors.Add(x, i, Given{w_hat});
  errors.StoreTo(sums);
}

template <bool kWeighted>
void AddGivenInType(ComputeDType dtype, const float* x, const float* w_hat,
                    const double* importance, size_t count, ErrorSums& sums) {
  return dtype == ComputeDType::kF32 ? AddGiven<false, kWeighted>(x, w_hat, importance, count, sums)
                                     : AddGiven<true, kWeighted>(x, w_hat, importance, count, sums);
}

void AddErrorsImpl(ComputeDType dtype, const float* x, const float* w_hat, const double* importance,
                   size_t count, ErrorSums& sums) {
  return importance == nullptr ? AddGivenInType<false>(dtype, x, w_hat, nullptr, count, sums)
                               : AddGivenInType<true>(dtype, x, w_hat, importance, count, sums);
}

void AddStoredImpl(const double* HWY_RESTRICT values, size_t groups, StoredSums& sums) {
  const size_t whole = groups - groups % kSumLanes;
  for (size_t p = 0; p < kSumLanes; p += kDoubles) {
    W sum = hn::LoadU(D(), sums.sum + p), sum_abs = hn::LoadU(D(), sums.sum_abs + p);
    W max = hn::LoadU(D(), sums.max + p), max_abs = hn::LoadU(D(), sums.max_abs + p);
    for (size_t g = 0; g < whole; g += kSumLanes) {
      const W value = hn::LoadU(D(), values + g + p), magnitude = hn::Abs(value);
      sum = hn::Add(sum, value);
      sum_abs = hn::Add(sum_abs, magnitude);
      max = hn::Max(max, value);
      max_abs = hn::Max(max_abs, magnitude);
    }
    hn::StoreU(sum, D(), sums.sum + p);
    hn::StoreU(sum_abs, D(), sums.sum_abs + p);
    hn::StoreU(max, D(), sums.max + p);
    hn::StoreU(max_abs, D(), sums.max_abs + p);
  }
  for (size_t g = whole; g < groups; ++g) {
    const size_t lane = g - whole;
    sums.sum[lane] += values[g];
    sums.sum_abs[lane] += std::fabs(values[g]);
    sums.max[lane] = std::max(sums.max[lane], values[g]);
    sums.max_abs[lane] = std::max(sums.max_abs[lane], std::fabs(values[g]));
  }
}

// ---- how groups are fitted and encoded ----
//
// A scheme is a type with Fits (parameters of up to kMostGroups groups, made a vector of groups at
// a time) and itself the encoder of one group. Groups that vectors can't do as MLX does are
// `portable`: the mode's encoder does them.

using GroupFloats = std::array<float, kMostGroups>;
using GroupDoubles = std::array<double, kMostGroups>;
using GroupFlags = std::array<int32_t, kMostGroups>;

HWY_INLINE void StoreFlags(Mask portable, GroupFlags& flags, size_t g) {
  hn::StoreU(hn::VecFromMask(I(), hn::RebindMask(I(), portable)), I(), flags.data() + g);
}

HWY_INLINE void StoreWide(V values, GroupDoubles& out, size_t g) {
  hn::StoreU(Widen<0>(values), D(), out.data() + g);
  if constexpr (kHalves == 2) hn::StoreU(Widen<1>(values), D(), out.data() + g + kDoubles);
}

HWY_INLINE V LargestOf(const GroupBatch& batch, size_t g) {
  return hn::Max(hn::Abs(hn::LoadU(F(), batch.lo + g)), hn::Abs(hn::LoadU(F(), batch.hi + g)));
}

template <ComputeDType kType, bool kGpu>
struct Affine {
  static constexpr bool kMayOverflow = false;
  static constexpr size_t kLeastGroup = 32;
  static constexpr bool kInFloat = kType != ComputeDType::kF32;

  // FitAffine() of quant_modes.cc.
  struct Fits {
    GroupFloats scale, bias, stored_scale, stored_bias;
    GroupDoubles scales, biases;  // what is stored, in double
    GroupFlags portable;

    void Make(const Quantizer& quantizer, const GroupBatch& batch) {
      const V last_code = Constant(static_cast<float>((1u << quantizer.bits) - 1));
      for (size_t g = 0; g < batch.groups; g += kFloats) {
        const V lo = hn::LoadU(F(), batch.lo + g);
        V hi = hn::LoadU(F(), batch.hi + g);
        if constexpr (kGpu) hi = hn::Max(hi, hn::Zero(F()));
        const V step = hn::Max(hn::Div(hn::Sub(hi, lo), last_code), Constant(1e-7f));
        V s = step, b = lo;
        if (quantizer.bits != 1) {
          const auto negative_side = hn::Gt(hn::Abs(lo), hn::Abs(hi));
          s = hn::IfThenElse(negative_side, step, hn::Neg(step));
          const V edge = hn::IfThenElse(negative_side, lo, hi);
          const V zero_code = RoundCodeOf<kGpu>(hn::Div(edge, s));
          const auto at_zero = hn::Eq(zero_code, hn::Zero(F()));
          s = hn::IfThenElse(at_zero, s, hn::Div(edge, zero_code));
          b = hn::IfThenElse(at_zero, hn::Zero(F()), edge);
        }
        Keep(s, b, last_code, g);
      }
    }

    HWY_INLINE void Keep(V s, V b, V last_code, size_t g) {
      const V rounded_s = RoundToType<kType>(s), rounded_b = RoundToType<kType>(b);
      hn::StoreU(s, F(), scale.data() + g);
      hn::StoreU(b, F(), bias.data() + g);
      hn::StoreU(rounded_s, F(), stored_scale.data() + g);
      hn::StoreU(rounded_b, F(), stored_bias.data() + g);
      StoreWide(rounded_s, scales, g);
      StoreWide(hn::Add(rounded_b, hn::Zero(F())), biases, g);
      // Reconstruction is monotone in the code: if its ends are in range, all is. Scales of at
      // least 5e-8 leave nothing subnormal but a bias alone, which is in T.
      const V last = RoundToType<kType>(hn::Mul(last_code, rounded_s));
      const V end = RoundToType<kType>(hn::Add(last, rounded_b));
      const V ends = hn::Max(hn::Max(hn::Abs(last), hn::Abs(end)), hn::Abs(rounded_b));
      StoreFlags(hn::Not(hn::Lt(ends, Constant(0x1p100f))), portable, g);
    }
  };

  Affine(const Quantizer& quantizer, const Fits& fits, size_t g)
      : levels(Constant(static_cast<float>((1u << quantizer.bits) - 1))),
        scale(Constant(fits.scale[g])),
        bias(Constant(fits.bias[g])),
        stored_scale(Constant(fits.stored_scale[g])),
        stored_bias(Constant(fits.stored_bias[g])) {}

  // No level is below -0: the bias is the end from which levels count, or |x| < scale / 2.
  template <size_t kCount>
  HWY_INLINE Vectors<kCount> operator()(const Vectors<kCount>& x, size_t, Counter& clipped) const {
    const auto code = Each(x, [&](V v) HWY_ATTR {
      const V level = RoundLevel<kGpu>(hn::Div(hn::Sub(v, bias), scale));
      const V inside = hn::Min(level, levels);
      clipped.Add(hn::Ne(inside, level));
      return inside;
    });
    const auto scaled =
        Each(code, [&](V v) HWY_ATTR { return RoundInRange<kType>(hn::Mul(v, stored_scale)); });
    return Each(scaled, [&](V v) HWY_ATTR { return RoundInRange<kType>(hn::Add(v, stored_bias)); });
  }

  V levels, scale, bias, stored_scale, stored_bias;
};

// Where a float mode's codes lie, for weights over the scale.
struct Fp4Grid {
  static constexpr float kLargest = 6.0f;
  static constexpr float kSmallestNormal = 1.0f;     // below it steps are as just above it
  static constexpr float kRounder = 1.5f * 0x1p22f;  // steps are half the power of two
  static constexpr float kLeastInHalf = 0x1p-23f, kMostInHalf = 0x1p13f;  // scales that keep all
};
struct E4m3Grid {
  static constexpr float kLargest = 448.0f;
  static constexpr float kSmallestNormal = 0x1p-6f;
  static constexpr float kRounder = 1.5f * 0x1p20f;  // steps are an eighth of the power of two
  static constexpr float kLeastInHalf = 0x1p-24f, kMostInHalf = 0x1p7f;
};

// mxfp4 and mxfp8. Scales are powers of two, so a weight is rounded where it stands: to a multiple
// of a fraction of its own power of two, which adding and subtracting a large number does. What a
// tie becomes changes neither |d| nor whether w_hat is zero.
template <ComputeDType kType, class Grid, bool kGpu, bool kLegacy>
struct Mx {
  static constexpr bool kMayOverflow = false;
  static constexpr size_t kLeastGroup = 32;
  static constexpr bool kInFloat = true;  // exact: w_hat is 0 or within a factor of two of x
  // Only half's subnormals are coarser than codes, and only those of e4m3.
  static constexpr bool kRounds =
      kType == ComputeDType::kF16 && Grid::kLargest == E4m3Grid::kLargest;

  struct Fits {
    GroupFloats scale;
    GroupDoubles scales, biases;
    GroupFlags portable;

    void Make(const Quantizer& quantizer, const GroupBatch& batch) {
      for (size_t g = 0; g < batch.groups; g += kFloats) {
        const V largest = LargestOf(batch, g);
        const V made = kLegacy ? FitLegacy(quantizer, largest) : Fit(largest);
        // Codes times scale are exact and finite in T, and far from where e8m0 ends.
        const bool half = kType == ComputeDType::kF16;
        auto fine = hn::And(hn::Ge(made, Constant(half ? Grid::kLeastInHalf : 0x1p-100f)),
                            hn::Le(made, Constant(half ? Grid::kMostInHalf : 0x1p90f)));
        if constexpr (!kLegacy) {  // half's subnormals may have rounded the scale down
          fine = hn::And(fine, hn::Le(largest, hn::Mul(made, Constant(Grid::kLargest))));
        }
        StoreFlags(hn::Not(fine), portable, g);
        hn::StoreU(made, F(), scale.data() + g);
        StoreWide(made, scales, g);
      }
    }

    // The power of two at or above largest / M; of 0 as FitCpuMx() and FitGpuMx().
    static HWY_INLINE V Fit(V largest) {
      V wanted = hn::Div(largest, Constant(Grid::kLargest));
      if constexpr (!kGpu) wanted = RoundToType<kType>(wanted);
      const V up = MaskBits(AddBits(wanted, hn::Set(U(), 0x7fffff)), kInfinityBits);
      const auto none = hn::Eq(wanted, hn::Zero(F()));
      return hn::IfThenElse(none, Constant(kGpu ? 0x1p-127f : 1.0f), up);
    }

    static HWY_INLINE V FitLegacy(const Quantizer& quantizer, V largest) {
      HWY_ALIGN float values[kFloats];
      hn::Store(largest, F(), values);
      for (float& value : values) value = quantizer.encoder.fit(value, true).scale;
      return hn::Load(F(), values);
    }
  };

  Mx(const Quantizer&, const Fits& fits, size_t g)
      : least_power(Constant(fits.scale[g] * Grid::kSmallestNormal)),
        limit(Constant(fits.scale[g] * Grid::kLargest)) {}

  template <size_t kCount>
  HWY_INLINE Vectors<kCount> operator()(const Vectors<kCount>& x, size_t, Counter& clipped) const {
    return Each(x, [&](V v) HWY_ATTR {
      if constexpr (kLegacy) {  // else no weight is beyond the last code
        const V inside = hn::Max(hn::Min(v, limit), hn::Neg(limit));
        clipped.Add(hn::Ne(inside, v));
        v = inside;
      }
      const V w_hat = RoundToGrid(v, hn::Max(PowerBelow(v), least_power), Grid::kRounder);
      return kRounds ? RoundInRange<kType>(w_hat) : w_hat;
    });
  }

  V least_power, limit;
};

HWY_INLINE V NearestE4m3(V magnitude) {
  const V normal = hn::Min(RoundMantissa<20>(magnitude), Constant(E4m3Grid::kLargest));
  const V tiny = RoundToGrid(magnitude, Constant(16384.0f));  // units of 2^-9
  return hn::IfThenElse(hn::Lt(magnitude, Constant(0x1p-6f)), tiny, normal);
}

// The fp4 magnitude nearest to `magnitude`; a tie goes to the smaller one, or to the even code.
// Steps are 0.5 below 2, 1 below 4, 2 below 8: half the power of two, but at least 0.5.
template <bool kTiesEven>
HWY_INLINE V NearestFp4(V magnitude) {
  const V m = hn::Min(magnitude, Constant(Fp4Grid::kLargest));
  const V power = PowerBelow(hn::Max(m, Constant(1.0f)));
  const V rounded = RoundToGrid(m, power, 0x1p22f);
  if constexpr (kTiesEven) return rounded;
  const V half_step = hn::Mul(power, Constant(0.25f));
  const auto went_up = hn::Eq(hn::Sub(rounded, m), half_step);
  return hn::Sub(rounded, hn::IfThenElseZero(went_up, hn::Add(half_step, half_step)));
}

// nvfp4. The product of a code and an e4m3 scale is exact in every T.
template <ComputeDType kType, bool kGpu>
struct Nv {
  static constexpr bool kMayOverflow = false;
  static constexpr size_t kLeastGroup = 16;
  static constexpr bool kInFloat = kType != ComputeDType::kF32;

  struct Fits {
    GroupFloats scale, factor;  // weights are divided by the factor on the CPU, else multiplied
    GroupDoubles scales, biases;
    GroupFlags portable;

    void Make(const Quantizer&, const GroupBatch& batch) {
      const V one = Constant(1.0f), zero = hn::Zero(F());
      for (size_t g = 0; g < batch.groups; g += kFloats) {
        const V largest = LargestOf(batch, g);
        V wanted = hn::Div(largest, Constant(Fp4Grid::kLargest));
        if constexpr (!kGpu) wanted = RoundToType<kType>(wanted);
        const V made = NearestE4m3(wanted);
        // x / 0 gives code 0 whatever x is; so does x / 1 in groups that small.
        const auto none = hn::Eq(made, zero);
        const V divisor = hn::IfThenElse(none, one, made);
        hn::StoreU(made, F(), scale.data() + g);
        hn::StoreU(kGpu ? hn::IfThenElse(none, zero, hn::Div(one, divisor)) : divisor, F(),
                   factor.data() + g);
        StoreWide(made, scales, g);
        // Up to there MLX's distances to the codes are exact (Fp4FirstNearest).
        StoreFlags(hn::Gt(largest, Constant(65536.0f)), portable, g);
      }
    }
  };

  Nv(const Quantizer&, const Fits& fits, size_t g)
      : factor(Constant(fits.factor[g])),
        scale(Constant(fits.scale[g])),
        limit(Constant(fits.scale[g] * Fp4Grid::kLargest)) {}

  template <size_t kCount>
  HWY_INLINE Vectors<kCount> operator()(const Vectors<kCount>& x, size_t, Counter& clipped) const {
    return Each(x, [&](V v) HWY_ATTR {
      clipped.Add(hn::Gt(hn::Abs(v), limit));
      V y;
      if constexpr (kGpu) {
        y = hn::Mul(v, factor);
      } else {
        y = RoundInRange<kType>(hn::Div(v, factor));
      }
      return hn::CopySignToAbs(hn::Mul(NearestFp4<kGpu>(hn::Abs(y)), scale), v);
    });
  }

  V factor, scale, limit;
};

// Group `g` of `batch` by the portable quantizer.
void AddPortable(const Quantizer& quantizer, const GroupBatch& batch, size_t g, double& scale,
                 double& bias, ErrorSums& sums) {
  float w_hat[Quantizer::kMostGroupSize], stored_scale = 0, stored_bias = 0;
  const size_t at = g * quantizer.group_size;
  const float* x = batch.x + at;
  const double* importance = batch.importance == nullptr ? nullptr : batch.importance + at;
  GroupRun run{x, 1, &stored_scale, &stored_bias, w_hat, nullptr, 0};
  quantizer.encoder.run(quantizer, run);
  AddErrorsImpl(quantizer.dtype, x, w_hat, importance, quantizer.group_size, sums);
  sums.clipped += run.clipped;
  scale = quantizer.DecodedScale(stored_scale);
  bias = stored_bias;
}

void AddStoredOf(const Quantizer& quantizer, size_t groups, const GroupDoubles& scales,
                 const GroupDoubles& biases, ErrorSums& sums) {
  AddStoredImpl(scales.data(), groups, sums.scales);
  if (quantizer.mode->has_bias) AddStoredImpl(biases.data(), groups, sums.biases);
}

void AddPortableGroups(const Quantizer& quantizer, const GroupBatch& batch, ErrorSums& sums) {
  GroupDoubles scales, biases;
  for (size_t g = 0; g < batch.groups; ++g) {
    AddPortable(quantizer, batch, g, scales[g], biases[g], sums);
  }
  AddStoredOf(quantizer, batch.groups, scales, biases, sums);
}

// Groups from `g` to the next portable one, whose number is returned.
template <class Scheme, bool kWeighted>
HWY_NOINLINE size_t AddVectorGroups(const Quantizer& quantizer, const GroupBatch& batch,
                                    const typename Scheme::Fits& fits, size_t g, ErrorSums& sums) {
  const size_t size = quantizer.group_size;
  Errors<Scheme::kInFloat, kWeighted> errors(sums, batch.importance);
  for (; g < batch.groups && fits.portable[g] == 0; ++g) {
    const Scheme encode(quantizer, fits, g);
    const size_t end = (g + 1) * size;
    for (size_t i = g * size; i < end; i += kBlock<Scheme>) errors.Add(batch.x, i, encode);
  }
  errors.StoreTo(sums);
  return g;
}

template <class Scheme>
void AddGroups(const Quantizer& quantizer, const GroupBatch& batch, ErrorSums& sums) {
  if (quantizer.group_size % Scheme::kLeastGroup != 0) {
    return AddPortableGroups(quantizer, batch, sums);
  }
  typename Scheme::Fits fits;
  fits.Make(quantizer, batch);
  for (size_t g = 0; g < batch.groups; ++g) {
    g = batch.importance == nullptr
            ? AddVectorGroups<Scheme, false>(quantizer, batch, fits, g, sums)
            : AddVectorGroups<Scheme, true>(quantizer, batch, fits, g, sums);
    if (g < batch.groups) AddPortable(quantizer, batch, g, fits.scales[g], fits.biases[g], sums);
  }
  AddStoredOf(quantizer, batch.groups, fits.scales, fits.biases, sums);
}

template <ComputeDType kType, class Grid>
void AddMx(const Quantizer& quantizer, const GroupBatch& batch, ErrorSums& sums) {
  const bool legacy = IsLegacy(quantizer.profile);
  if (IsGpu(quantizer.profile)) {
    return legacy ? AddGroups<Mx<kType, Grid, true, true>>(quantizer, batch, sums)
                  : AddGroups<Mx<kType, Grid, true, false>>(quantizer, batch, sums);
  }
  return legacy ? AddGroups<Mx<kType, Grid, false, true>>(quantizer, batch, sums)
                : AddGroups<Mx<kType, Grid, false, false>>(quantizer, batch, sums);
}

template <ComputeDType kType>
void AddInType(const Quantizer& quantizer, const GroupBatch& batch, ErrorSums& sums) {
  const bool gpu = IsGpu(quantizer.profile);
  switch (quantizer.mode->kernel) {
    case ErrorKernel::kPortable:
      return AddPortableGroups(quantizer, batch, sums);
    case ErrorKernel::kAffine:
      return gpu ? AddGroups<Affine<kType, true>>(quantizer, batch, sums)
                 : AddGroups<Affine<kType, false>>(quantizer, batch, sums);
    case ErrorKernel::kMxfp4:
      return AddMx<kType, Fp4Grid>(quantizer, batch, sums);
    case ErrorKernel::kMxfp8:
      return AddMx<kType, E4m3Grid>(quantizer, batch, sums);
    case ErrorKernel::kNvfp4:
      return gpu ? AddGroups<Nv<kType, true>>(quantizer, batch, sums)
                 : AddGroups<Nv<kType, false>>(quantizer, batch, sums);
  }
}

void AddGroupErrorsImpl(const Quantizer& quantizer, const GroupBatch& batch, ErrorSums& sums) {
  switch (quantizer.dtype) {
    case ComputeDType::kF32:
      return AddInType<ComputeDType::kF32>(quantizer, batch, sums);
    case ComputeDType::kF16:
      return AddInType<ComputeDType::kF16>(quantizer, batch, sums);
    case ComputeDType::kBF16:
      return AddInType<ComputeDType::kBF16>(quantizer, batch, sums);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace moe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE  // compiled once: the public face
namespace moe {

HWY_EXPORT(AddGroupErrorsImpl);
void AddGroupErrors(const Quantizer& quantizer, const GroupBatch& batch, ErrorSums& sums) {
  HWY_DYNAMIC_DISPATCH(AddGroupErrorsImpl)(quantizer, batch, sums);
}

HWY_EXPORT(AddErrorsImpl);
void AddErrors(ComputeDType dtype, const float* x, const float* w_hat, const double* importance,
               size_t count, ErrorSums& sums) {
  HWY_DYNAMIC_DISPATCH(AddErrorsImpl)(dtype, x, w_hat, importance, count, sums);
}

HWY_EXPORT(AddStoredImpl);
void AddStored(const double* values, size_t groups, StoredSums& sums) {
  HWY_DYNAMIC_DISPATCH(AddStoredImpl)(values, groups, sums);
}

}  // namespace moe
#endif
