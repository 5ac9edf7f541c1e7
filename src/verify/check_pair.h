#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "pairs/compare_matrix.h"
#include "pairs/pair_work.h"
#include "verify/expectation.h"
#include "verify/sketch.h"
#include "verify/stored_codes.h"

namespace moe {

struct VerifyOptions {
  PairWorkOptions work;
  double tolerance = 1;  ///< what allowed errors are multiplied with
};

/// Storage scheme -> the encoder that a checkpoint of MLX's form was made with.
using Encodings = std::map<std::string, Encoding>;

/// What was found of a weight and its original.
struct PairCheck {
  Method method = Method::kCopy;
  PairNumbers numbers;             ///< a: the original, in the dtype that was encoded or copied
  std::optional<double> expected;  ///< relative error of what the encoder would make
  double allowed = 0;              ///< largest relative error that is no fault
  std::optional<CodeDifferences> codes;  ///< of kRederived
  bool plus_one = false;              ///< a copy of the original + 1, as runtimes keep some norms
  std::optional<float> global_scale;  ///< of compressed-tensors' and ModelOpt's NVFP4
  Sketch a = {}, b = {};

  std::optional<double> error() const { return numbers.rel_distance(); }
  bool attested() const { return codes && codes->none(); }
  bool is_copy() const {
    return (numbers.identical() && numbers.nonfinite_b == numbers.nonfinite_a) || plus_one;
  }
  /// Nothing is wrong by itself.
  bool within() const;
};

/// `tolerance`: what allowed errors are multiplied with. Reads both, tile by tile.
Result<PairCheck> CheckPair(const WeightPair& pair, const OpenPair& opened,
                            const Encodings& encodings, double tolerance);

/// Which of MLX's encoders, and of the dtypes that weights may have had, makes most of the bytes
/// that are stored: asked of the first tiles of a few weights of each scheme.
Result<Encodings> FindEncodings(const std::vector<WeightPair>& pairs);

}  // namespace moe
