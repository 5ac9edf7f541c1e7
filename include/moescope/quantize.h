#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/error.h"
#include "moescope/matrix.h"

namespace moe {

/// One quantization to simulate, as a config's `quant_schemes` entry says it.
struct QuantScheme {
  std::string name;  ///< free, unique: "affine_q4_g32"; what ends with "+search" is searched
  std::string mode;  ///< "affine", "mxfp4", "mxfp8", "nvfp4"; others fail like mx.quantize
  int64_t bits = 4;
  int64_t group_size = 32;

  static constexpr std::string_view kSearchEnding = "+search";
  /// Scales and biases are those of `moescope quantize --encoder search`, by the profile kMlxCpu.
  bool search() const { return name.ends_with(kSearchEnding); }
};

/// Which MLX encoder is simulated: that of its CPU or GPU kernels, or of MLX up to 0.32.1.
enum class QuantProfile { kMlxCpu, kMlxGpu, kMlxCpuLegacy, kMlxGpuLegacy };
std::string_view ProfileName(QuantProfile profile);  ///< "mlx-cpu", ...
std::optional<QuantProfile> ParseProfile(std::string_view name);

/// The dtype T in which weights enter, scales are stored and reconstruction is rounded.
enum class ComputeDType { kF32, kF16, kBF16 };
std::string_view ComputeDTypeName(ComputeDType dtype);  ///< "fp32", "fp16", "bf16"

/// Quantization error of one matrix under one scheme. With x the weights in T and d = x - their
/// reconstruction: w_rel_fro = |d| / (|x| + eps), w_rel_max = max|d| / (max|x| + eps), sqnr_db =
/// 10 log10(|x|^2 / |d|^2), max_abs_err = max|d|; scale_* and bias_*: of the stored values,
/// decoded; zero_share: of the weights, those that become 0 without being it; clip_share: those
/// that lie outside of what the codes reach; act_rel_fro = sqrt(sum_rc a_c d_rc^2) /
/// sqrt(sum_rc a_c x_rc^2) with the columns' importance a, without eps (which would depend on a's
/// unit). What can't be computed is nullopt, and `error` says why, in MLX's words; act_rel_fro is
/// nullopt also without importance, or where its denominator is 0 or beyond double.
struct QuantError {
  std::optional<double> w_rel_fro, w_rel_max, scale_mean, scale_max, bias_mean, bias_max;
  std::optional<std::string> error;
  std::optional<double> scale_abs_mean, scale_abs_max, sqnr_db, bits_per_weight, max_abs_err,
      zero_share, clip_share, act_rel_fro;
};

/// A whole matrix quantized, as mx.quantize and mx.dequantize give it. For tests and small tools;
/// the pipeline never materialises it.
struct QuantizedMatrix {
  uint64_t rows = 0, cols = 0;
  std::vector<uint32_t> codes;  ///< packed words, [rows, cols * bits / 32]
  /// [rows, cols / group]: affine: rounded to T; else the raw byte's value 0..255
  std::vector<float> scales;
  std::vector<float> biases;  ///< affine: rounded to T; else empty
  std::vector<float> w_hat;   ///< reconstruction, rounded to T, [rows, cols]
};

/// Quantizes `w` ([rows, cols] float32 values that are already exact in `dtype`), to the bit as MLX
/// 0.32.4 does (but for what is searched). What mx.quantize refuses is refused with its words.
Result<QuantizedMatrix> QuantizeMatrix(std::span<const float> w, uint64_t rows, uint64_t cols,
                                       const QuantScheme& scheme, QuantProfile profile,
                                       ComputeDType dtype);

}  // namespace moe
