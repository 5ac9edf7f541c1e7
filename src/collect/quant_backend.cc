#include "collect/quant_backend.h"

#include <cstdlib>
#include <utility>
#include <vector>

namespace moe {
namespace {

Result<BackendChoice> ChoiceOf(const Config& config) {
  const char* forced = std::getenv("MOESCOPE_BACKEND");
  if (forced == nullptr || *forced == '\0') return config.mlx.backend;
  if (const auto backend = ParseBackend(forced)) return *backend;
  return Fail(ErrorCode::kBadArgument, "MOESCOPE_BACKEND",
              std::string("'") + forced + "' is not a backend", "native, mlx or auto");
}

}  // namespace

Result<MatrixMeasurement> NativeBackend::Measure(const MeasureInput& input,
                                                 const MeasureOptions& options) const {
  return MeasureMatrix(input, options);
}

Result<MatrixMeasurement> RealMlxBackend::Measure(const MeasureInput& input,
                                                  const MeasureOptions& options) const {
  MeasureOptions ours = options;  // MLX has no search
  std::erase_if(ours.schemes, [](const QuantScheme& scheme) { return !scheme.search(); });
  auto measured = MeasureMatrix(input, ours);
  if (!measured) return measured;
  std::vector<QuantError> searched = std::exchange(measured->quant, {});
  auto next = searched.begin();
  for (const QuantScheme& scheme : options.schemes) {
    if (scheme.search()) {
      measured->quant.push_back(std::move(*next++));
      continue;
    }
    const std::lock_guard turn(turn_);
    if (auto done = stop_.Check(); !done) return tl::make_unexpected(done.error());
    auto error = mlx_.Measure(input.matrix, scheme, measured->compute_dtype, options.eps,
                              options.rel_den_floor, input.importance);
    if (!error) return tl::make_unexpected(error.error());
    measured->quant.push_back(std::move(*error));
  }
  return measured;
}

Result<std::unique_ptr<QuantBackend>> OpenBackend(const Config& config, const StopToken& stop) {
  const auto choice = ChoiceOf(config);
  if (!choice) return tl::make_unexpected(choice.error());
  if (*choice != BackendChoice::kNative) {
    auto opened = MlxBackend::Open(config.mlx.device);
    if (opened) return std::make_unique<RealMlxBackend>(std::move(*opened), stop);
    if (*choice == BackendChoice::kMlx) return tl::make_unexpected(opened.error());
  }
  return std::make_unique<NativeBackend>(config.measure.profile);
}

}  // namespace moe
