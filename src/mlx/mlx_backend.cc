#include "mlx/mlx_backend.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

#include "base/platform.h"
#include "measure/quant_metrics.h"
#include "mlx/plugin_abi.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPluginFile = "moescope_mlx.so";
constexpr const char* kPathVariable = "MOESCOPE_MLX_PLUGIN";

/// Where the plugin is to be opened from.
Result<fs::path> PluginPath() {
  const char* chosen = std::getenv(kPathVariable);
  if (chosen != nullptr && *chosen != '\0') return fs::path(chosen);
  const fs::path beside = ProgramFile().parent_path();
  for (const fs::path& folder : {beside, beside.parent_path() / "lib" / "moescope"}) {
    std::error_code failed;
    if (fs::exists(folder / kPluginFile, failed)) return folder / kPluginFile;
  }
  return Fail(ErrorCode::kNotFound, kPluginFile, "the MLX plugin is not installed",
              fmt::format("build moescope where the mlx wheel is, or set {}", kPathVariable));
}

Result<const MoeMlxPlugin*> LoadPlugin(const fs::path& path) {
  const auto refuse = [&](std::string message) {
    return Fail(ErrorCode::kUnsupported, path.string(), std::move(message));
  };
  // Never closed again: MLX has threads of its own, which would run on in unmapped code.
  // A path without a slash would make the loader search the system's folders.
  void* library = dlopen(fs::absolute(path).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return refuse(fmt::format("the MLX plugin won't open: {}", dlerror()));
  void* symbol = dlsym(library, MOE_MLX_ENTRY_NAME);
  if (symbol == nullptr) return refuse("is not an MLX plugin of moescope");
  const MoeMlxPlugin* plugin = reinterpret_cast<MoeMlxEntry>(symbol)();
  if (plugin == nullptr || plugin->abi_version != MOE_MLX_ABI_VERSION) {
    return refuse("is an MLX plugin of another moescope version");
  }
  return plugin;
}

MoeMlxDType AbiDType(ComputeDType dtype) {
  switch (dtype) {
    case ComputeDType::kF16:
      return MOE_MLX_F16;
    case ComputeDType::kBF16:
      return MOE_MLX_BF16;
    case ComputeDType::kF32:
      break;
  }
  return MOE_MLX_F32;
}

/// "ValueError: text" as an Error that keeps the class.
tl::unexpected<Error> PythonError(const QuantScheme& scheme, const std::string& text) {
  const size_t colon = text.find(": ");
  if (colon == std::string::npos) {
    return Fail(ErrorCode::kBadArgument, scheme.name, text, {}, "RuntimeError");
  }
  return Fail(ErrorCode::kBadArgument, scheme.name, text.substr(colon + 2), {},
              text.substr(0, colon));
}

/// The other way round: the text of the `error` column.
QuantError ErrorRow(const Error& error) {
  QuantError row;
  row.error = error.TypeName() + ": " + error.message;
  return row;
}

template <class T>
std::vector<T> Copied(const T* values, uint64_t count) {
  return values == nullptr ? std::vector<T>() : std::vector<T>(values, values + count);
}

}  // namespace

MlxBackend::MlxBackend(const MoeMlxPlugin* plugin, std::string version, std::string device)
    : plugin_(plugin), version_(std::move(version)), device_(std::move(device)) {}

Result<MlxBackend> MlxBackend::Open(const std::string& device) {
  const auto path = PluginPath();
  if (!path) return tl::make_unexpected(path.error());
  const auto plugin = LoadPlugin(*path);
  if (!plugin) return tl::make_unexpected(plugin.error());
  return MlxBackend(*plugin, (*plugin)->version, (*plugin)->select_device(device.c_str()));
}

Result<QuantizedMatrix> MlxBackend::Quantize(std::span<const float> w, uint64_t rows, uint64_t cols,
                                             const QuantScheme& scheme, ComputeDType dtype) const {
  const MoeMlxRequest request{
      rows, cols, w.data(), AbiDType(dtype), scheme.mode.c_str(), scheme.bits, scheme.group_size};
  static std::mutex one_at_a_time;
  const std::lock_guard<std::mutex> lock(one_at_a_time);
  MoeMlxResult result{};
  plugin_->quantize(&request, &result);
  if (result.error != nullptr) {
    const std::string text = result.error;
    plugin_->release(&result);
    return PythonError(scheme, text);
  }
  QuantizedMatrix out;
  out.rows = result.rows;
  out.cols = cols;
  out.codes = Copied(result.codes, result.code_count);
  out.scales = Copied(result.scales, result.scale_count);
  out.biases = Copied(result.biases, result.bias_count);
  out.w_hat = Copied(result.w_hat, result.w_hat_count);
  plugin_->release(&result);
  return out;
}

Result<QuantError> MlxBackend::Measure(const MatrixSource& matrix, const QuantScheme& scheme,
                                       ComputeDType dtype, double eps,
                                       std::optional<double> rel_den_floor,
                                       std::span<const double> importance) const {
  const auto weights = ReadWeightsInT(matrix, dtype);
  if (!weights) return tl::make_unexpected(weights.error());
  if (weights->refusal) {
    QuantError row;
    row.error = weights->refusal;
    return row;
  }
  const auto quantized = Quantize(weights->x, matrix.rows(), matrix.cols(), scheme, dtype);
  if (!quantized) return ErrorRow(quantized.error());
  const auto error = ErrorOfQuantized(weights->x, matrix.rows(), matrix.cols(), *quantized, scheme,
                                      dtype, eps, rel_den_floor, importance);
  return error ? *error : ErrorRow(error.error());
}

}  // namespace moe
