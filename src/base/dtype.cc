#include "moescope/dtype.h"

#include <array>

namespace moe {
namespace {

struct DTypeRow {
  unsigned bits;
  std::string_view name;
};

// In the order of the enum.
constexpr std::array<DTypeRow, 24> kDTypes = {{
    {8, "bool"},
    {4, "float4_e2m1fn"},
    {6, "float6_e2m3fn"},
    {6, "float6_e3m2fn"},
    {8, "uint8"},
    {8, "int8"},
    {8, "float8_e5m2"},
    {8, "float8_e4m3fn"},
    {8, "float8_e8m0fnu"},
    {8, "float8_e4m3fnuz"},
    {8, "float8_e5m2fnuz"},
    {16, "int16"},
    {16, "uint16"},
    {16, "float16"},
    {16, "bfloat16"},
    {32, "int32"},
    {32, "uint32"},
    {32, "float32"},
    {64, "complex64"},
    {64, "float64"},
    {64, "int64"},
    {64, "uint64"},
    {128, "complex128"},
    {0, ""},
}};
static_assert(kDTypes.size() == static_cast<size_t>(DType::kOpaque) + 1);

}  // namespace

unsigned DTypeBits(DType dtype) { return kDTypes[static_cast<size_t>(dtype)].bits; }

std::string_view DTypeName(DType dtype) { return kDTypes[static_cast<size_t>(dtype)].name; }

bool IsPlainFloat(DType dtype) {
  return dtype == DType::kF64 || dtype == DType::kF32 || dtype == DType::kF16 ||
         dtype == DType::kBF16;
}

}  // namespace moe
