#include "base/widen.h"

#include <cstdint>
#include <cstring>

#include "base/float_convert.h"
#include "base/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "base/widen.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace moe {
namespace HWY_NAMESPACE {  // compiled once for each SIMD target
namespace hn = hwy::HWY_NAMESPACE;

using F = hn::ScalableTag<float>;
using U = hn::RebindToUnsigned<F>;
using U16 = hn::Rebind<uint16_t, F>;

uint16_t Element(const std::byte* in, size_t i) {
  uint16_t raw;
  std::memcpy(&raw, in + i * sizeof raw, sizeof raw);
  return raw;
}

HWY_INLINE hn::Vec<U16> Load16(const std::byte* in) {
#if HWY_TARGET == HWY_SCALAR
  return hn::Set(U16(), Element(in, 0));
#else
  return hn::LoadU(U16(), reinterpret_cast<const uint16_t*>(in));
#endif
}

void WidenBFloat16Impl(const std::byte* in, size_t count, float* HWY_RESTRICT out) {
  size_t i = 0;
  for (; i + hn::Lanes(F()) <= count; i += hn::Lanes(F())) {
    const auto wide = hn::ShiftLeft<16>(hn::PromoteTo(U(), Load16(in + 2 * i)));
    hn::StoreU(hn::BitCast(F(), wide), F(), out + i);
  }
  for (; i < count; ++i) out[i] = BFloat16ToFloat(Element(in, i));
}

// HalfToFloat() of float_convert.h, in integers too: bits do not depend on the CPU.
void WidenHalfImpl(const std::byte* in, size_t count, float* HWY_RESTRICT out) {
  using I = hn::RebindToSigned<F>;
  size_t i = 0;
  for (; i + hn::Lanes(F()) <= count; i += hn::Lanes(F())) {
    const auto bits = hn::PromoteTo(U(), Load16(in + 2 * i));
    const auto magnitude = hn::And(bits, hn::Set(U(), 0x7fff));
    const auto sign = hn::ShiftLeft<16>(hn::Xor(bits, magnitude));
    const auto signed_magnitude = hn::BitCast(I(), magnitude);
    const auto special = hn::Gt(signed_magnitude, hn::Set(I(), 0x7bff));  // Inf and NaN
    const auto rebias = hn::IfThenElse(special, hn::Set(I(), 224 << 23), hn::Set(I(), 112 << 23));
    const auto normal = hn::Add(hn::ShiftLeft<13>(signed_magnitude), rebias);
    const auto small = hn::Mul(hn::ConvertTo(F(), signed_magnitude), hn::Set(F(), 0x1p-24f));
    const auto is_small = hn::Lt(signed_magnitude, hn::Set(I(), 0x400));
    const auto value = hn::IfThenElse(is_small, hn::BitCast(I(), small), normal);
    hn::StoreU(hn::BitCast(F(), hn::Or(hn::BitCast(U(), value), sign)), F(), out + i);
  }
  for (; i < count; ++i) out[i] = HalfToFloat(Element(in, i));
}

}  // namespace HWY_NAMESPACE
}  // namespace moe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE  // compiled once: the public face
namespace moe {

HWY_EXPORT(WidenBFloat16Impl);
void WidenBFloat16(const std::byte* in, size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(WidenBFloat16Impl)(in, count, out);
}

HWY_EXPORT(WidenHalfImpl);
void WidenHalf(const std::byte* in, size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(WidenHalfImpl)(in, count, out);
}

}  // namespace moe
#endif
