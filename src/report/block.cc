#include "report/block.h"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "report/base64.h"

namespace moe {
namespace {

using Codes = std::vector<std::optional<int64_t>>;

std::string Deflate(std::string_view bytes) {
  uLongf size = compressBound(static_cast<uLong>(bytes.size()));
  std::string deflated(size, '\0');
  compress2(reinterpret_cast<Bytef*>(deflated.data()), &size,
            reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uLong>(bytes.size()),
            Z_DEFAULT_COMPRESSION);  // can't fail: there is room for the worst case
  deflated.resize(size);
  return deflated;
}

Block Pack(std::string_view kind, const Codes& codes) {
  int64_t low = std::numeric_limits<int64_t>::max(), high = std::numeric_limits<int64_t>::min();
  for (const auto& code : codes) {
    if (!code) continue;
    low = std::min(low, *code);
    high = std::max(high, *code);
  }
  Block block{kind, low <= high ? low : 0, 1, ""};
  const uint64_t largest = low <= high ? static_cast<uint64_t>(high - low) + 1 : 0;
  while (block.planes < sizeof(uint64_t) && largest >> (8 * block.planes) != 0) ++block.planes;
  std::string bytes(block.planes * codes.size(), '\0');
  for (size_t i = 0; i < codes.size(); ++i) {
    uint64_t rest = codes[i] ? static_cast<uint64_t>(*codes[i] - block.base) + 1 : 0;
    for (size_t at = i; rest != 0; at += codes.size(), rest >>= 8) {
      bytes[at] = static_cast<char>(rest & 0xff);
    }
  }
  block.base64 = Base64(Deflate(bytes));
  return block;
}

/// 10^exponent * value, also where the power alone would leave the range of double.
double Scaled(double value, int exponent) {
  constexpr int kSafe = 300;
  if (exponent <= kSafe) return value * std::pow(10.0, exponent);
  return value * std::pow(10.0, kSafe) * std::pow(10.0, exponent - kSafe);
}

std::optional<int64_t> FiveDigits(double value) {
  constexpr int64_t kLeast = 10000, kPerExponent = 90000, kExponentBase = 400;
  if (!std::isfinite(value)) return std::nullopt;
  if (value == 0) return 0;
  const double magnitude = std::fabs(value);
  int exponent = static_cast<int>(std::floor(std::log10(magnitude))) - 4;
  int64_t digits = std::llround(Scaled(magnitude, -exponent));
  if (digits < kLeast)
    digits = std::llround(Scaled(magnitude, -(--exponent)));  // log10 was rounded up
  if (digits >= kLeast + kPerExponent) {
    digits = kLeast;
    ++exponent;
  }
  const int64_t code = (exponent + kExponentBase) * kPerExponent + (digits - kLeast) + 1;
  return value < 0 ? -code : code;
}

}  // namespace

Block PackInts(std::span<const uint32_t> values) {
  return Pack("int", Codes(values.begin(), values.end()));
}

Block PackNumbers(std::span<const double> values) {
  Codes codes;
  codes.reserve(values.size());
  for (const double value : values) codes.push_back(FiveDigits(value));
  return Pack("number", codes);
}

Block PackText(std::string_view json) { return {"text", 0, 0, Base64(Deflate(json))}; }

}  // namespace moe
