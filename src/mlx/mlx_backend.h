#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "moescope/error.h"
#include "moescope/matrix.h"
#include "moescope/quantize.h"

struct MoeMlxPlugin;

namespace moe {

/// The real MLX, behind the plugin moescope_mlx.so that is opened at run time (contract D6).
///
/// Threads:  const members may be called from any thread; calls into MLX take turns.
/// Lifetime: a plugin stays loaded until the process ends (MLX keeps threads of its own).
class MlxBackend {
 public:
  /// Opens the plugin: $MOESCOPE_MLX_PLUGIN if it is set, else moescope_mlx.so beside the running
  /// program, else in ../lib/moescope. `device`: "cpu" or "gpu"; anything else, or a device that is
  /// not there, means MLX's default. kNotFound when there is no plugin; kUnsupported when it won't
  /// open, with the loader's words, or is of another version.
  static Result<MlxBackend> Open(const std::string& device);

  const std::string& version() const { return version_; }  ///< of MLX: "0.32.4"
  const std::string& device() const { return device_; }    ///< really in use: "cpu" or "gpu"
  /// Text of the `profile` column (D7): "mlx-0.32.4-cpu".
  std::string profile() const { return "mlx-" + version_ + "-" + device_; }

  /// Quantizes `w` ([rows, cols], exact in `dtype`) with MLX. An error of MLX keeps its class
  /// (type_name) and text.
  Result<QuantizedMatrix> Quantize(std::span<const float> w, uint64_t rows, uint64_t cols,
                                   const QuantScheme& scheme, ComputeDType dtype) const;

  /// The numbers of `matrix` under `scheme` (D24, D26). What MLX refuses, or a result that is not
  /// the quantization of this matrix, stands in QuantError::error. Fails only when reading fails.
  /// Memory: the whole matrix several times (mxfp4 and nvfp4: about 50 bytes an element).
  Result<QuantError> Measure(const MatrixSource& matrix, const QuantScheme& scheme,
                             ComputeDType dtype, double eps, std::optional<double> rel_den_floor,
                             std::span<const double> importance = {}) const;

 private:
  MlxBackend(const MoeMlxPlugin* plugin, std::string version, std::string device);

  const MoeMlxPlugin* plugin_;
  std::string version_, device_;
};

}  // namespace moe
