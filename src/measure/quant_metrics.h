#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "measure/kernels.h"
#include "measure/quantizer.h"
#include "moescope/matrix.h"
#include "moescope/quantize.h"

namespace moe {

/// How a [rows, cols] matrix is cut: consecutive ranges of its row-major elements, whole rows, or
/// pieces of one row that no quantization group crosses. A function of the shape alone, so sums
/// over tiles depend on nothing else.
class Tiling {
 public:
  Tiling(uint64_t rows, uint64_t cols);
  uint64_t count() const { return tiles_down_ * tiles_across_; }
  Tile operator[](uint64_t index) const;
  static constexpr uint64_t kMaxElements = uint64_t{1} << 15;

 private:
  uint64_t rows_, cols_, tile_rows_, tile_cols_, tiles_down_, tiles_across_;
};

/// Rounds `values` to `dtype`, in place.
void RoundToComputeDType(std::span<float> values, ComputeDType dtype);

/// The dtype of the simulation when the user names none (D2); kBF16 for quantized storage.
ComputeDType DefaultComputeDType(DType storage);

/// What every scheme shares: the weights in T.
class WeightTotals {
 public:
  /// `storage_nonfinite`: NaN and Inf among the same elements before they were rounded to T.
  void AddTile(const TileSums& in_t, uint64_t storage_nonfinite);

  double sum_sq() const { return sum_sq_; }
  double max_abs() const;
  /// Why these weights can't be quantized (D26), in Python's words; nullopt if they can.
  std::optional<std::string> Refusal(ComputeDType dtype) const;

 private:
  double sum_sq_ = 0;
  uint32_t max_bits_ = 0;
  uint64_t storage_nonfinite_ = 0, nonfinite_in_t_ = 0;
};

/// Collects the error of one scheme, tile by tile.
class QuantErrorSums {
 public:
  explicit QuantErrorSums(const Quantizer& quantizer) : quantizer_(quantizer) {}

  /// Elements with their reconstruction; then EndTile() folds what a tile has added.
  void AddElements(const float* x, const float* w_hat, size_t count);
  void AddGroups(const float* scales, const float* biases, size_t groups, uint64_t clipped);
  void EndTile();

  QuantError Finish(const WeightTotals& weights, double eps,
                    std::optional<double> rel_den_floor) const;

 private:
  struct Signed {  // of stored scales or biases
    double sum = 0, max = 0;
    void Add(double value, bool first);
  };

  Quantizer quantizer_;
  ErrorLanes lanes_;
  double sum_sq_ = 0, max_abs_ = 0;
  Signed scale_, scale_abs_, bias_;
  uint64_t groups_ = 0, clipped_ = 0;
};

/// The numbers of a matrix that something else has quantized (the real MLX).
///
/// `x`: the weights in T, [rows, cols], finite. clip_share comes from the stored scales and
/// biases. Fails when `quantized` is not the quantization of such a matrix:
/// "expected N quant rows but got M".
Result<QuantError> ErrorOfQuantized(std::span<const float> x, uint64_t rows, uint64_t cols,
                                    const QuantizedMatrix& quantized, const QuantScheme& scheme,
                                    ComputeDType dtype, double eps,
                                    std::optional<double> rel_den_floor);

/// A whole matrix in T, for the plugin path.
struct WeightsInT {
  std::vector<float> x;                ///< [rows, cols]
  std::optional<std::string> refusal;  ///< D26: the `error` of every scheme's row; else nullopt
};
Result<WeightsInT> ReadWeightsInT(const MatrixSource& matrix, ComputeDType dtype);

}  // namespace moe
