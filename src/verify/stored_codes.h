#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "measure/encode.h"
#include "moescope/quantize.h"
#include "moescope/weight.h"
#include "pairs/weight_key.h"

namespace moe {

/// An encoder of MLX, and the dtype in which it gets weights.
struct Encoding {
  QuantScheme scheme;
  QuantProfile profile = QuantProfile::kMlxCpu;
  ComputeDType dtype = ComputeDType::kBF16;
  std::string Text() const;  ///< "affine 4 bits, groups of 64, bf16, mlx-cpu"
};

/// The scheme of a weight that lies as MLX's files have it: X.weight of packed words, X.scales,
/// and of affine X.biases. nullopt: of any other, and with a global scale.
std::optional<QuantScheme> MlxSchemeOf(const Weight& weight);

/// The dtype of affine's scales and biases; nullopt: they are bytes.
std::optional<ComputeDType> ScaleDTypeOf(const Weight& weight);

/// How what is stored differs from what an encoder makes.
struct CodeDifferences {
  uint64_t codes = 0, scales = 0, biases = 0;
  uint64_t negated_biases = 0;  ///< of those, so many are the encoder's with the other sign
  uint64_t all_biases = 0;
  uint64_t clipped = 0;  ///< weights beyond what the stored scales and biases reach
  std::optional<std::pair<uint64_t, uint64_t>> first;  ///< row and column of the first code
  bool none() const { return codes == 0 && scales == 0 && biases == 0; }
};

/// The bytes that an MLX weight has for a matrix, beside those that its encoder makes.
class StoredCodes {
 public:
  /// nullopt: the matrix does not lie in whole groups of rows, or the encoder does not take it.
  static Result<std::optional<StoredCodes>> Of(const WeightItem& item, const Encoding& encoding);

  /// Encodes the elements of a tile (in T) and adds how the stored bytes differ; whether they do.
  bool Compare(const Tile& tile, std::span<const float> x, CodeDifferences& differences) const;
  /// Sum of the squared errors that the encoder makes of them.
  double ErrorOf(std::span<const float> x) const;

 private:
  StoredCodes(const Quantizer& quantizer, const MatrixView& view, std::vector<TensorBytes> parts)
      : quantizer_(quantizer),
        bytes_(GroupBytesOf(quantizer)),
        view_(view),
        parts_(std::move(parts)) {}

  /// Of the groups of a row, which begin with group number `first` of the weight.
  uint64_t Clipped(std::span<const float> row, uint64_t first) const;

  Quantizer quantizer_;
  GroupBytes bytes_;
  MatrixView view_;
  std::vector<TensorBytes> parts_;
};

/// Sum of the squared errors that `quantizer` makes of whole groups of weights in T.
double SimulatedError(const Quantizer& quantizer, std::span<const float> x);

}  // namespace moe
