#include "verify/expectation.h"

#include <algorithm>
#include <cctype>

namespace moe {
namespace {

/// Storage whose elements and blocks are those of a mode of MLX: other encoders choose scales a
/// little better or worse (measured: 0.95 to 1.01 of MLX's error on normal and heavy-tailed
/// weights).
struct Alike {
  std::string_view storage, mode;
  int64_t bits, group;
};
constexpr Alike kAlike[] = {
    {"mxfp4", "mxfp4", 4, 32}, {"gguf_mxfp4", "mxfp4", 4, 32}, {"mxfp8", "mxfp8", 8, 32},
    {"nvfp4", "nvfp4", 4, 16}, {"gguf_nvfp4", "nvfp4", 4, 16},
};

/// About 1.2 times what the coarsest usual groups (128) make of heavy-tailed weights (Student's t
/// of 4 degrees of freedom). Equal-sized weights that have nothing to do with each other are 1.4
/// apart, zeros 1.0.
struct Ceiling {
  int bits;
  double error;
};
constexpr Ceiling kCeilings[] = {{1, 0.9},  {2, 0.65}, {3, 0.35}, {4, 0.18},
                                 {5, 0.09}, {6, 0.05}, {8, 0.03}};
/// Floats of 8 bits have three bits of mantissa, or two.
constexpr double kFp8 = 0.04, kE5m2 = 0.08;

/// Bits of a code: the first digit of the scheme's name ("gguf_q4_K", "int8_channel").
int BitsOf(std::string_view storage) {
  const auto digit =
      std::ranges::find_if(storage, [](unsigned char c) { return std::isdigit(c) != 0; });
  return digit == storage.end() ? 0 : *digit - '0';
}

double CeilingOf(std::string_view storage) {
  const bool is_float = storage.find("fp8") != std::string_view::npos;
  if (is_float) return storage.find("e5m2") != std::string_view::npos ? kE5m2 : kFp8;
  const auto row = std::ranges::find(kCeilings, BitsOf(storage), &Ceiling::bits);
  return row == std::end(kCeilings) ? kCeilings[0].error : row->error;
}

}  // namespace

std::string_view MethodName(Method method) {
  constexpr std::string_view kNames[] = {"copy", "re-derived", "simulated", "ceiling"};
  return kNames[static_cast<size_t>(method)];
}

Expectation ExpectationOf(const Weight& weight) {
  Expectation expectation{Method::kCeiling, std::nullopt, CeilingOf(weight.storage)};
  const auto alike = std::ranges::find(kAlike, weight.storage, &Alike::storage);
  if (alike == std::end(kAlike)) return expectation;
  expectation.method = Method::kSimulated;
  expectation.alike = QuantScheme{"", std::string(alike->mode), alike->bits, alike->group};
  return expectation;
}

}  // namespace moe
