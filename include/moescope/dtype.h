#pragma once

#include <cstdint>
#include <string_view>

namespace moe {

/// Element types of tensors on disk: those of safetensors, what npy adds, and kOpaque for a name
/// that this version does not know (its size comes from the container's offsets).
enum class DType : uint8_t {
  kBool,
  kF4,
  kF6E2M3,
  kF6E3M2,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
  kC128,
  kOpaque,
};

/// Bits of one element; 0 for kOpaque.
unsigned DTypeBits(DType dtype);

/// NumPy's (or ml_dtypes') name, the text of the tables' `dtype` column: "float32", "bfloat16",
/// "float8_e4m3fn". kOpaque has none: the container's own text is shown instead.
std::string_view DTypeName(DType dtype);

/// True for F64, F32, F16 and BF16: the types whose values are weights without further decoding.
bool IsPlainFloat(DType dtype);

}  // namespace moe
