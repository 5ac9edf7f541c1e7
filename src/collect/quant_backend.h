#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "mlx/mlx_backend.h"
#include "moescope/measure.h"
#include "moescope/stop_token.h"
#include "run/config.h"

namespace moe {

/// Who measures a matrix: its statistics, and its error under each scheme.
///
/// Threads: const members may be called from any thread at once.
class QuantBackend {
 public:
  virtual ~QuantBackend() = default;
  virtual std::string name() const = 0;     ///< text of the column `backend`
  virtual std::string profile() const = 0;  ///< text of the column `profile`

  /// As MeasureMatrix().
  virtual Result<MatrixMeasurement> Measure(const MeasureInput& input,
                                            const MeasureOptions& options) const = 0;
};

/// Our own kernels, which simulate `profile`.
class NativeBackend : public QuantBackend {
 public:
  explicit NativeBackend(QuantProfile profile) : profile_(profile) {}
  std::string name() const override { return "native"; }
  std::string profile() const override { return std::string(ProfileName(profile_)); }
  Result<MatrixMeasurement> Measure(const MeasureInput& input,
                                    const MeasureOptions& options) const override;

 private:
  QuantProfile profile_;
};

/// Statistics by our own kernels, the schemes by the real MLX, one after the other.
class RealMlxBackend : public QuantBackend {
 public:
  RealMlxBackend(MlxBackend mlx, const StopToken& stop) : mlx_(std::move(mlx)), stop_(stop) {}
  std::string name() const override { return "mlx"; }
  std::string profile() const override { return mlx_.profile(); }
  Result<MatrixMeasurement> Measure(const MeasureInput& input,
                                    const MeasureOptions& options) const override;

 private:
  MlxBackend mlx_;
  StopToken stop_;
  mutable std::mutex turn_;  // so that a stop is seen before each call
};

/// The backend that the config asks for, the environment's MOESCOPE_BACKEND first; where it asks
/// for any, the real MLX if it opens. kBadArgument: the environment names no backend; kNotFound or
/// kUnsupported: it asks for MLX, which can't be opened.
Result<std::unique_ptr<QuantBackend>> OpenBackend(const Config& config, const StopToken& stop);

}  // namespace moe
