#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "moescope/quantize.h"
#include "moescope/weight.h"

namespace moe {

/// How it is judged whether a weight is what it should be, sharpest first.
enum class Method {
  kCopy,       ///< a float: the original's values, rounded to its dtype
  kRederived,  ///< MLX's codes and scales, made again
  kSimulated,  ///< no more error than MLX's encoder of the same element format makes
  kCeiling,    ///< no more error than so many bits ever need
};
std::string_view MethodName(Method method);

/// What is to be expected of a storage scheme that MLX's encoders don't make.
struct Expectation {
  Method method = Method::kCeiling;
  std::optional<QuantScheme> alike;  ///< of kSimulated
  double ceiling = 0;  ///< relative error, Frobenius, that rounding to so many bits stays below
};

/// Of a weight that is no plain float.
Expectation ExpectationOf(const Weight& weight);

/// A measured error may be so many times what an encoder is expected to make.
inline constexpr double kAllowedRatio = 1.05;
/// Beyond kAllowedRatio and up to here it is told and no fault: searches for scales with an
/// importance matrix, and GPTQ, often make the plain error larger.
inline constexpr double kWorseRatio = 1.5;
/// A copy in another float type may have been rounded once more: an ulp of bfloat16.
inline constexpr double kCopyError = 1.0 / 256;

}  // namespace moe
