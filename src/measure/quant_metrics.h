#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "measure/error_kernels.h"
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
  static constexpr uint64_t kMaxElements = uint64_t{1} << 16;

  /// Tiles of a part: whole rows, about kPartElements of them.
  uint64_t tiles_per_part() const;
  static constexpr uint64_t kPartElements = uint64_t{1} << 22;

 private:
  uint64_t rows_, cols_, tile_rows_, tile_cols_, tiles_down_, tiles_across_;
};

/// Elements handed to the kernels at a time: a piece of a tile that stays in the first cache.
inline constexpr size_t kBatchElements = 4096;
static_assert(kBatchElements / Quantizer::kLeastGroupSize <= GroupBatch::kMostGroups);

/// The dtype of the simulation when the user names none (D2); kBF16 for quantized storage.
ComputeDType DefaultComputeDType(DType storage);

/// Elements of one group that affine's clamp, or the element format's range, would cut off (D24),
/// judged from the stored scale and bias.
uint64_t CountClipped(const Quantizer& quantizer, const float* x, float scale, float bias);

/// The importance of columns, repeated: item i is that of column i % cols, and there are enough of
/// them for any batch of a matrix, those of one that begins in column c from item c on. Empty if
/// `importance` is.
std::vector<double> ImportanceForBatches(std::span<const double> importance);

/// What every scheme shares: the weights in T.
struct WeightTotals {
  double sum_sq = 0, max_abs = 0;
  uint64_t storage_nonfinite = 0;  ///< before they were rounded to T
  uint64_t nonfinite_in_t = 0;
  double energy = 0;  ///< sum of squares, each times its importance; 0 without

  void AddTile(const TileSums& in_t, uint64_t nonfinite_before);
  void Merge(const WeightTotals& other);
  /// Why these weights can't be quantized (D26), in Python's words; nullopt if they can.
  std::optional<std::string> Refusal(ComputeDType dtype) const;
};

/// Collects the error of one scheme, batch by batch; EndTile() folds what a tile has added.
class QuantErrorSums {
 public:
  explicit QuantErrorSums(const Quantizer& quantizer) : quantizer_(quantizer) {}

  /// Simulates the scheme on `batch`.
  void AddGroups(const GroupBatch& batch);
  /// What something else has made of `groups` groups, at most GroupBatch::kMostGroups.
  /// `importance`: of the elements, or null.
  void AddQuantized(const float* x, const float* w_hat, const float* scales, const float* biases,
                    const double* importance, size_t groups);
  void EndTile();
  /// Takes over what `other` has collected of later tiles.
  void Merge(const QuantErrorSums& other);

  size_t group_size() const { return quantizer_.group_size; }
  QuantError Finish(const WeightTotals& weights, double eps,
                    std::optional<double> rel_den_floor) const;

 private:
  Quantizer quantizer_;
  ErrorSums sums_;
  double sum_sq_ = 0, weighted_sq_ = 0;
  uint64_t groups_ = 0;
};

/// The numbers of a matrix that something else has quantized (the real MLX).
///
/// `x`: the weights in T, [rows, cols], finite. `importance`: as MeasureInput's. clip_share comes
/// from the stored scales and biases. Fails when `quantized` is not the quantization of such a
/// matrix: "expected N quant rows but got M".
Result<QuantError> ErrorOfQuantized(std::span<const float> x, uint64_t rows, uint64_t cols,
                                    const QuantizedMatrix& quantized, const QuantScheme& scheme,
                                    ComputeDType dtype, double eps,
                                    std::optional<double> rel_den_floor,
                                    std::span<const double> importance = {});

/// A whole matrix in T, for the plugin path.
struct WeightsInT {
  std::vector<float> x;                ///< [rows, cols]
  std::optional<std::string> refusal;  ///< D26: the `error` of every scheme's row; else nullopt
};
Result<WeightsInT> ReadWeightsInT(const MatrixSource& matrix, ComputeDType dtype);

}  // namespace moe
