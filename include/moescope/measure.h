#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "moescope/error.h"
#include "moescope/matrix.h"
#include "moescope/quantize.h"

namespace moe {

/// What is to be measured on every matrix.
struct MeasureOptions {
  double eps = 1e-12;
  /// Percentiles of |w|, each in [0, 100]: out.percentiles has one value for each, in order.
  /// The first three must be 50, 99 and 99.9, which MatrixStats counts on.
  std::vector<double> percentiles_abs = {50.0, 99.0, 99.9};
  double group_outlier_percentile = 95.0;
  std::vector<int64_t> group_sizes;  ///< of the outlier columns, e.g. {32, 64}
  std::vector<QuantScheme> schemes;
  QuantProfile profile = QuantProfile::kMlxCpu;
  std::optional<ComputeDType> compute_dtype;  ///< nullopt: the values' own (F64 counts as F32)
  std::optional<double> rel_den_floor;        ///< stats.quant_rel_den_floor
  bool stats = true;  ///< false: for more schemes; of MatrixStats nonfinite_count alone is set
};

/// Numbers of one matrix of N weights; sums are in double, std divides by N, and
/// MeasureOptions::eps is added to what ratios divide by. Unit: the weights' own, where it has one.
struct MatrixStats {
  uint64_t nonfinite_count = 0;  ///< NaN and Inf; if not 0 nothing else of this struct is set
  double mean = 0, std = 0, mean_abs = 0, rms = 0, max_abs = 0;
  std::vector<double> percentiles;  ///< of |w|, as MeasureOptions::percentiles_abs
  double outlier_max_over_mean = 0, outlier_p99_over_median = 0, outlier_p999_over_median = 0;
  struct GroupOutlier {
    std::optional<double> percentile, max;  ///< nullopt: the group size does not divide cols
  };
  std::vector<GroupOutlier> groups;  ///< as MeasureOptions::group_sizes
};

struct MatrixMeasurement {
  MatrixStats stats;
  std::vector<QuantError> quant;                    ///< one for each scheme, in order
  ComputeDType compute_dtype = ComputeDType::kF32;  ///< the T that was used
  /// sum_rc a_c x_rc^2, a = MeasureInput::importance, x the weights in T: what QuantError's
  /// act_rel_fro is relative to. nullopt: without importance, or where schemes are refused (weights
  /// that are not finite, or not in T), or beyond double.
  std::optional<double> energy;
  std::vector<double>
      square_sums;  ///< as MeasureInput::square_sums; empty if a weight isn't finite
};

/// Sums of squared weights that are wanted of a matrix, by row or by column.
struct SquareSums {
  enum class Of { kNothing, kRows, kColumns };
  Of of = Of::kNothing;
  /// Of rows: cols() many, >= 0, finite, with which the squares of a row are summed; empty: 1.
  /// Of columns: empty.
  std::span<const double> weights;
};

/// What is measured. Spans are the caller's.
struct MeasureInput {
  // NOLINTNEXTLINE(google-explicit-constructor): a matrix alone is the usual input
  MeasureInput(const MatrixSource& measured,
               std::optional<std::span<const int64_t>> positions = std::nullopt, unsigned with = 1)
      : matrix(measured), sample(positions), threads(with) {}

  const MatrixSource& matrix;
  /// Flat row-major indices, sorted ascending, of the elements that percentiles of |w| are taken
  /// from; nullopt: all.
  std::optional<std::span<const int64_t>> sample;
  unsigned
      threads;  ///< a large matrix is cut into parts of about 4 M elements, measured by so many
  /// By column of the matrix as it is read, cols() many, >= 0, finite: the mean square of what the
  /// column is multiplied with, as calibration has found it. Empty: not known, and no act_rel_fro.
  std::span<const double> importance;
  /// Of the weights as they are read, in double; rows() or cols() many.
  SquareSums square_sums;
};

/// Reads the matrix once, tile by tile (a second time only where exact percentiles need it), and
/// computes everything asked for.
///
/// Memory: a few MiB a thread (at most 8), whatever the matrix's size; each also holds the sums of
/// squares that are wanted.
/// Exactness: the result does not depend on threads, SIMD target or machine.
/// Fails only when reading fails, or with kBadArgument: an empty matrix, fewer than three
/// percentiles, a sample that is empty, unsorted or reaches outside the matrix, or importance or
/// weights of another number than the columns, negative or not finite.
Result<MatrixMeasurement> MeasureMatrix(const MeasureInput& input, const MeasureOptions& options);

/// Name of the SIMD target in use: "AVX2", "AVX3", "SSE4", "NEON", "SCALAR", ...
std::string SimdTargetName();

}  // namespace moe
