#include "measure/encode.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/little_endian.h"
#include "base/simd_targets.h"
#include "measure/float_codes.h"
#include "measure/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "measure/encode.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "measure/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace moe {
namespace HWY_NAMESPACE {  // compiled once for each SIMD target

// Each Make...Codes writes the codes of one group, a byte each; `quantizer.encoder` says how.

HWY_INLINE void StoreCodes(VI codes, uint8_t* out) {
  const hn::Rebind<uint8_t, F> bytes;
  hn::StoreU(hn::DemoteTo(bytes, codes), bytes, out);
}

template <bool kGpu>
HWY_INLINE void MakeAffineCodes(const Quantizer& quantizer, const AffineFit& fit, const float* x,
                                uint8_t* codes) {
  const V scale = Constant(fit.scale), bias = Constant(fit.bias), zero = hn::Zero(F());
  const V last = Constant(static_cast<float>((1u << quantizer.bits) - 1));
  for (size_t i = 0; i < quantizer.group_size; i += kFloats) {
    const V level = RoundLevel<kGpu>(hn::Div(hn::Sub(hn::LoadU(F(), x + i), bias), scale));
    StoreCodes(hn::ConvertTo(I(), hn::Min(hn::Max(level, zero), last)), codes + i);
  }
}

// 1 where the mask is set.
HWY_INLINE VI OneIf(Mask mask) { return hn::Neg(hn::VecFromMask(I(), hn::RebindMask(I(), mask))); }

// Fp4FirstNearest() of what is at most 65536, and Fp4TiesEven() of what is no NaN.
template <bool kGpu>
HWY_INLINE VI Fp4Codes(V y) {
  constexpr float kMiddles[] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f};
  const V magnitude = hn::Abs(y);
  VI code = hn::Zero(I());
  for (size_t k = 0; k < std::size(kMiddles); ++k) {
    const V middle = Constant(kMiddles[k]);
    code = hn::Add(
        code, OneIf(kGpu && k % 2 == 1 ? hn::Ge(magnitude, middle) : hn::Gt(magnitude, middle)));
  }
  const VI sign = hn::And(hn::BroadcastSignBit(hn::BitCast(I(), y)), hn::Set(I(), 8));
  const VI signed_code = hn::Or(code, sign);
  if constexpr (kGpu) return signed_code;
  return hn::IfThenElseZero(hn::Gt(code, hn::Zero(I())), signed_code);
}

// E4m3FromFloat() of what is no NaN.
HWY_INLINE VI E4m3Codes(V y) {
  const VI bits = hn::BitCast(I(), y), magnitude = MagnitudeOf(y);
  const V shifted = hn::Add(hn::Abs(y), Constant(16384.0f));  // units of 2^-9
  const VI tiny = hn::Sub(hn::BitCast(I(), shifted), hn::BitCast(I(), Constant(16384.0f)));
  const VI odd = hn::And(hn::ShiftRight<20>(magnitude), hn::Set(I(), 1));
  const VI rounder = hn::Add(odd, hn::Set(I(), 0x7ffff - (120 << 23)));
  const VI normal = hn::ShiftRight<20>(hn::Add(magnitude, rounder));
  const VI large = hn::IfThenElse(hn::Lt(magnitude, hn::BitCast(I(), Constant(448.0f))), normal,
                                  hn::Set(I(), 0x7e));
  const auto is_tiny = hn::Lt(magnitude, hn::BitCast(I(), Constant(0x1p-6f)));
  const VI sign = hn::And(hn::BroadcastSignBit(bits), hn::Set(I(), 0x80));
  return hn::Or(hn::IfThenElse(is_tiny, tiny, large), sign);
}

template <ComputeDType kType, bool kGpu, bool kFp8>
HWY_INLINE void MakeFloatCodes(const Quantizer& quantizer, const FloatFit& fit, const float* x,
                               uint8_t* codes) {
  // On the CPU x / 0 has code 0 whatever x is; so has x / 1 in groups that small.
  const V factor = Constant(!kGpu && fit.factor == 0.0f ? 1.0f : fit.factor);
  for (size_t i = 0; i < quantizer.group_size; i += kFloats) {
    const V v = hn::LoadU(F(), x + i);
    const V y = kGpu ? hn::Mul(v, factor) : RoundToType<kType>(hn::Div(v, factor));
    StoreCodes(kFp8 ? E4m3Codes(y) : Fp4Codes<kGpu>(y), codes + i);
  }
}

bool HasNonFinite(const float* HWY_RESTRICT x, size_t count) {
  VI largest = hn::Zero(I());
  for (size_t i = 0; i < count; i += kFloats) {
    largest = hn::Max(largest, MagnitudeOf(hn::LoadU(F(), x + i)));
  }
  return static_cast<uint32_t>(MaxLane(I(), largest)) >= kInfinityBits;
}

// ---- search ----

// Shares of the smallest and the largest weight that make a range to try.
constexpr float kShares[][2] = {{1, 1},       {0.95f, 0.95f}, {0.9f, 0.9f}, {0.85f, 0.85f},
                                {0.8f, 0.8f}, {0.75f, 0.75f}, {0.7f, 0.7f}, {0.65f, 0.65f},
                                {0.6f, 0.6f}, {1, 0.9f},      {1, 0.8f},    {1, 0.7f},
                                {0.9f, 1},    {0.8f, 1},      {0.7f, 1}};

// Squared distance of a group to what MLX decodes of its codes.
template <ComputeDType kType>
HWY_INLINE double AffineError(const Quantizer& quantizer, const AffineFit& fit, const float* x) {
  const V scale = Constant(fit.scale), bias = Constant(fit.bias), zero = hn::Zero(F());
  const V stored_scale = Constant(RoundTo<kType>(fit.scale)),
          stored_bias = Constant(RoundTo<kType>(fit.bias));
  const V last = Constant(static_cast<float>((1u << quantizer.bits) - 1));
  W sums[kParts];
  for (W& sum : sums) sum = hn::Zero(D());
  for (size_t i = 0; i < quantizer.group_size; i += kFloats) {
    const V v = hn::LoadU(F(), x + i);
    const V level = RoundLevel<false>(hn::Div(hn::Sub(v, bias), scale));
    const V code = hn::Min(hn::Max(level, zero), last);
    const V scaled = RoundInRange<kType>(hn::Mul(code, stored_scale));
    const V d = hn::Sub(v, RoundInRange<kType>(hn::Add(scaled, stored_bias)));
    W& first = sums[i % kSumLanes / kDoubles];
    first = hn::MulAdd(Widen<0>(d), Widen<0>(d), first);  // an exact square
    if constexpr (kHalves == 2) {
      W& second = sums[i % kSumLanes / kDoubles + 1];
      second = hn::MulAdd(Widen<1>(d), Widen<1>(d), second);
    }
  }
  double lanes[kSumLanes];
  for (size_t p = 0; p < kParts; ++p) hn::StoreU(sums[p], D(), lanes + p * kDoubles);
  return FoldSum(lanes);
}

template <ComputeDType kType>
AffineFit SearchAffine(const Quantizer& quantizer, const float* x, float lo, float hi) {
  const float last = static_cast<float>((1u << quantizer.bits) - 1);
  AffineFit best = quantizer.encoder.fit_range(lo, hi, quantizer.bits);
  double least = AffineError<kType>(quantizer, best, x);
  const auto try_fit = [&](const AffineFit& fit) {
    const AffineFit stored = {RoundTo<kType>(fit.scale), RoundTo<kType>(fit.bias)};
    if (stored.scale == 0.0f || !std::isfinite(stored.scale)) return;
    const double error = AffineError<kType>(quantizer, stored, x);
    if (error < least) {
      least = error;
      best = stored;
    }
  };
  for (const auto& [of_lo, of_hi] : kShares) {
    const float low = lo * of_lo, high = hi * of_hi;
    if (!(low < high)) continue;
    try_fit(quantizer.encoder.fit_range(low, high, quantizer.bits));
    try_fit({(high - low) / last, low});
  }
  return best;
}

// The error of codes under a float mode's scale; their products are exact in every T.
double FloatError(const Quantizer& quantizer, const uint8_t* codes, float scale, const float* x) {
  const float* values = quantizer.bits == 8 ? kE4m3Values.data() : kFp4Values.data();
  double lanes[kSumLanes] = {};
  for (size_t i = 0; i < quantizer.group_size; ++i) {
    const double d = x[i] - values[codes[i]] * scale;
    lanes[i % kSumLanes] += d * d;
  }
  return FoldSum(lanes);
}

// The scales next to MLX's: of mx modes the next smaller one, of nvfp4 two to either side.
template <ComputeDType kType, bool kFp8>
FloatFit SearchFloat(const Quantizer& quantizer, const FloatFit& usual, const float* x,
                     uint8_t* codes) {
  const bool of_powers = quantizer.mode->kernel != ErrorKernel::kNvfp4;
  const auto& scales = *quantizer.mode->scale_values;
  MakeFloatCodes<kType, false, kFp8>(quantizer, usual, x, codes);
  FloatFit best = usual;
  double least = FloatError(quantizer, codes, usual.scale, x);
  const int first = std::max(1, usual.byte - (of_powers ? 1 : 2));
  const int last = of_powers ? usual.byte - 1 : std::min(126, usual.byte + 2);
  for (int byte = first; byte <= last; ++byte) {
    const float scale = scales[static_cast<size_t>(byte)];
    const FloatFit fit = {static_cast<uint8_t>(byte), scale, RoundTo<kType>(scale)};
    if (fit.scale == 0.0f) continue;
    MakeFloatCodes<kType, false, kFp8>(quantizer, fit, x, codes);
    const double error = FloatError(quantizer, codes, fit.scale, x);
    if (error < least) {
      least = error;
      best = fit;
    }
  }
  return best;
}

// ---- groups ----

// From this magnitude on a range overflows float32 (affine), or MLX's distances to the codes are
// not exact (nvfp4); the portable encoder does such groups.
template <ErrorKernel kKernel>
constexpr float kLargestInVectors = kKernel == ErrorKernel::kAffine  ? 0x1p100f
                                    : kKernel == ErrorKernel::kNvfp4 ? 65536.0f
                                                                     : 0x1p127f;

class Groups {
 public:
  Groups(const Quantizer& quantizer, const EncodedGroups& out)
      : quantizer_(quantizer), bytes_(GroupBytesOf(quantizer)), out_(out) {}

  /// Group `g`, whose smallest and largest are known.
  template <ErrorKernel kKernel, ComputeDType kType, bool kGpu, bool kSearch>
  HWY_INLINE void Encode(const float* x, size_t g, float lo, float hi) {
    const float largest = std::max(std::fabs(lo), std::fabs(hi));
    // The bias of one bit is the smallest weight, and only the weights tell the sign of its zero.
    const bool signed_zero = kKernel == ErrorKernel::kAffine && quantizer_.bits == 1 && lo == 0.0f;
    if (largest > kLargestInVectors<kKernel> || signed_zero) return EncodePortably(x, g);
    uint8_t codes[Quantizer::kMostGroupSize];
    if constexpr (kKernel == ErrorKernel::kAffine) {
      AffineFit fit;
      if constexpr (kSearch) {
        fit = SearchAffine<kType>(quantizer_, x, lo, hi);
      } else {
        fit = quantizer_.encoder.fit_range(lo, hi, quantizer_.bits);
      }
      MakeAffineCodes<kGpu>(quantizer_, fit, x, codes);
      Store(g, codes, fit.scale, fit.bias);
    } else {
      constexpr bool kFp8 = kKernel == ErrorKernel::kMxfp8;
      FloatFit fit = quantizer_.encoder.fit(largest, IsLegacy(quantizer_.profile));
      if constexpr (kSearch) fit = SearchFloat<kType, kFp8>(quantizer_, fit, x, codes);
      MakeFloatCodes<kType, kGpu, kFp8>(quantizer_, fit, x, codes);
      Store(g, codes, fit.byte, 0);
    }
  }

  void EncodePortably(const float* x, size_t g) {
    uint8_t codes[Quantizer::kMostGroupSize];
    float w_hat[Quantizer::kMostGroupSize], scale = 0, bias = 0;
    GroupRun run{x, 1, &scale, &bias, w_hat, codes, 0};
    quantizer_.encoder.run(quantizer_, run);
    Store(g, codes, scale, bias);
  }

 private:
  HWY_INLINE void Store(size_t g, const uint8_t* codes, float scale, float bias) {
    PackCodes(codes, quantizer_.group_size, quantizer_.bits, out_.codes + g * bytes_.codes);
    std::byte* scales = out_.scales + g * bytes_.scale;
    if (quantizer_.mode->scale_values != nullptr) {
      *scales = static_cast<std::byte>(static_cast<uint8_t>(scale));
    } else {
      StoreFloat(quantizer_.dtype, scale, scales);
    }
    if (bytes_.bias != 0) StoreFloat(quantizer_.dtype, bias, out_.biases + g * bytes_.bias);
  }

  const Quantizer& quantizer_;
  const GroupBytes bytes_;
  const EncodedGroups& out_;
};

template <ErrorKernel kKernel, ComputeDType kType, bool kGpu, bool kSearch>
void EncodeAll(const Quantizer& quantizer, const float* x, size_t count, const EncodedGroups& out) {
  constexpr size_t kBatch = 256;
  const size_t size = quantizer.group_size;
  std::array<float, kBatch> lo, hi;
  Groups groups(quantizer, out);
  for (size_t g = 0; g < count; g += kBatch) {
    const size_t batch = std::min(kBatch, count - g);
    const bool portable =
        kKernel == ErrorKernel::kPortable || HasNonFinite(x + g * size, batch * size);
    if (!portable) SummarizeGroups(x + g * size, batch, size, lo.data(), hi.data(), nullptr);
    for (size_t i = 0; i < batch; ++i) {
      const float* group = x + (g + i) * size;
      if (portable) {
        groups.EncodePortably(group, g + i);
      } else if constexpr (kKernel != ErrorKernel::kPortable) {
        groups.Encode<kKernel, kType, kGpu, kSearch>(group, g + i, lo[i], hi[i]);
      }
    }
  }
}

using EncodeFunction = void (*)(const Quantizer&, const float*, size_t, const EncodedGroups&);

template <ComputeDType kType, bool kGpu, bool kSearch>
EncodeFunction FunctionFor(ErrorKernel kernel) {
  constexpr ComputeDType kOfAffine = kSearch ? kType : ComputeDType::kF32;  // codes don't know T
  switch (kernel) {
    case ErrorKernel::kAffine:
      return EncodeAll<ErrorKernel::kAffine, kOfAffine, kGpu, kSearch>;
    case ErrorKernel::kMxfp4:
      return EncodeAll<ErrorKernel::kMxfp4, kType, kGpu, kSearch>;
    case ErrorKernel::kMxfp8:
      return EncodeAll<ErrorKernel::kMxfp8, kType, kGpu, kSearch>;
    case ErrorKernel::kNvfp4:
      return EncodeAll<ErrorKernel::kNvfp4, kType, kGpu, kSearch>;
    case ErrorKernel::kPortable:
      break;
  }
  return EncodeAll<ErrorKernel::kPortable, ComputeDType::kF32, false, false>;
}

template <bool kSearch>
EncodeFunction FunctionOf(const Quantizer& quantizer) {
  const ErrorKernel kernel = quantizer.mode->kernel;
  // The GPU's codes are made in float32, whatever T is.
  if (IsGpu(quantizer.profile)) return FunctionFor<ComputeDType::kF32, true, false>(kernel);
  switch (quantizer.dtype) {
    case ComputeDType::kF16:
      return FunctionFor<ComputeDType::kF16, false, kSearch>(kernel);
    case ComputeDType::kBF16:
      return FunctionFor<ComputeDType::kBF16, false, kSearch>(kernel);
    case ComputeDType::kF32:
      break;
  }
  return FunctionFor<ComputeDType::kF32, false, kSearch>(kernel);
}

void EncodeGroupsImpl(const Quantizer& quantizer, const float* x, size_t groups,
                      const EncodedGroups& out) {
  FunctionOf<false>(quantizer)(quantizer, x, groups, out);
}

void SearchGroupsImpl(const Quantizer& quantizer, const float* x, size_t groups,
                      const EncodedGroups& out) {
  FunctionOf<true>(quantizer)(quantizer, x, groups, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace moe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE  // compiled once: the public face
namespace moe {
namespace {

// Eight codes, a byte each, as 8 * bits bits: neighbours are joined, then pairs, then fours.
uint64_t PackEight(uint64_t codes, unsigned bits) {
  constexpr uint64_t kBytes = 0x00ff00ff00ff00ff, kPairs = 0x0000ffff0000ffff, kFours = 0xffffffff;
  codes = (codes & kBytes) | ((codes >> 8) & kBytes) << bits;
  codes = (codes & kPairs) | ((codes >> 16) & kPairs) << 2 * bits;
  return (codes & kFours) | (codes >> 32) << 4 * bits;
}

// Code `i` of packed ones that a byte follows.
uint8_t CodeAt(const std::byte* packed, size_t i, unsigned bits) {
  const size_t at = i * bits;
  const auto low = std::to_integer<unsigned>(packed[at / 8]),
             high = std::to_integer<unsigned>(packed[at / 8 + 1]);
  return static_cast<uint8_t>((low | high << 8) >> at % 8 & ((1u << bits) - 1));
}

float LoadFloat(ComputeDType dtype, std::span<const std::byte> bytes, size_t i) {
  switch (dtype) {
    case ComputeDType::kF32:
      return std::bit_cast<float>(LoadLittleEndian<uint32_t>(bytes, 4 * i));
    case ComputeDType::kF16:
      return HalfToFloat(LoadLittleEndian<uint16_t>(bytes, 2 * i));
    case ComputeDType::kBF16:
      break;
  }
  return BFloat16ToFloat(LoadLittleEndian<uint16_t>(bytes, 2 * i));
}

}  // namespace

GroupBytes GroupBytesOf(const Quantizer& quantizer) {
  const size_t scale =
      quantizer.mode->scale_bits == 0 ? BytesOf(quantizer.dtype) : quantizer.mode->scale_bits / 8;
  return {quantizer.group_size * quantizer.bits / 8, scale, quantizer.mode->has_bias ? scale : 0};
}

void PackCodes(const uint8_t* codes, size_t count, unsigned bits, std::byte* out) {
  for (size_t i = 0; i < count; i += 8, out += bits) {
    const auto* eight = reinterpret_cast<const std::byte*>(codes + i);
    const uint64_t packed = PackEight(LoadLittleEndian<uint64_t>({eight, 8}), bits);
    std::byte bytes[8];
    StoreLittleEndian(packed, bytes);
    std::memcpy(out, bytes, bits);
  }
}

void StoreFloat(ComputeDType dtype, float value, std::byte* out) {
  switch (dtype) {
    case ComputeDType::kF32:
      return StoreLittleEndian(FloatBits(value), out);
    case ComputeDType::kF16: {
      const auto nan = static_cast<uint16_t>(std::signbit(value) ? 0xfd00 : 0x7d00);
      return StoreLittleEndian(std::isnan(value) ? nan : FloatToHalf(value), out);
    }
    case ComputeDType::kBF16:
      return StoreLittleEndian(std::isnan(value) ? uint16_t{0x7fc0} : FloatToBFloat16(value), out);
  }
}

HWY_EXPORT(EncodeGroupsImpl);
void EncodeGroups(const Quantizer& quantizer, const float* x, size_t groups,
                  const EncodedGroups& out) {
  HWY_DYNAMIC_DISPATCH(EncodeGroupsImpl)(quantizer, x, groups, out);
}

HWY_EXPORT(SearchGroupsImpl);
void SearchGroups(const Quantizer& quantizer, const float* x, size_t groups,
                  const EncodedGroups& out) {
  HWY_DYNAMIC_DISPATCH(SearchGroupsImpl)(quantizer, x, groups, out);
}

void RunSearch(const Quantizer& quantizer, GroupRun& run) {
  const GroupBytes bytes = GroupBytesOf(quantizer);
  std::vector<std::byte> codes(run.groups * bytes.codes + 1), scales(run.groups * bytes.scale),
      biases(run.groups * bytes.bias);
  SearchGroups(quantizer, run.x, run.groups, {codes.data(), scales.data(), biases.data()});
  const size_t size = quantizer.group_size;
  const auto* table = quantizer.mode->scale_values;
  const float* values = quantizer.bits == 8 ? kE4m3Values.data() : kFp4Values.data();
  for (size_t g = 0; g < run.groups; ++g) {
    float scale = run.scales[g] = table == nullptr ? LoadFloat(quantizer.dtype, scales, g)
                                                   : std::to_integer<uint8_t>(scales[g]);
    if (table != nullptr) {
      scale = (*table)[std::to_integer<uint8_t>(scales[g])];
      RoundToCompute(&scale, 1, quantizer.dtype);
    }
    float* w_hat = run.w_hat + g * size;
    for (size_t i = 0; i < size; ++i) {
      const uint8_t code = CodeAt(codes.data(), g * size + i, quantizer.bits);
      if (run.codes != nullptr) run.codes[g * size + i] = code;
      w_hat[i] = (table == nullptr ? static_cast<float>(code) : values[code]) * scale;
    }
    RoundToCompute(w_hat, size, quantizer.dtype);
    if (bytes.bias == 0) continue;
    const float bias = run.biases[g] = LoadFloat(quantizer.dtype, biases, g);
    for (size_t i = 0; i < size; ++i) w_hat[i] += bias;
    RoundToCompute(w_hat, size, quantizer.dtype);
  }
}

}  // namespace moe
#endif
