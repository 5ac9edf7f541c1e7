// moescope_mlx.so: quantizes with the real MLX. Sees the plugin's ABI and MLX, nothing else of
// ours.

#include <mlx/mlx.h>

#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "mlx/plugin_abi.h"

namespace mx = mlx::core;

namespace {

/// Keeps the arrays that a result points into.
struct Owner {
  std::vector<mx::array> arrays;
  std::string error;
};

mx::Device& ChosenDevice() {
  static mx::Device device = mx::default_device();
  return device;
}

mx::Dtype DTypeOf(MoeMlxDType dtype) {
  switch (dtype) {
    case MOE_MLX_F16:
      return mx::float16;
    case MOE_MLX_BF16:
      return mx::bfloat16;
    case MOE_MLX_F32:
      break;
  }
  return mx::float32;
}

/// Python's binding refuses integers that do not fit, before MLX sees them.
int AsInt(int64_t value) {
  if (value < std::numeric_limits<int>::min() || value > std::numeric_limits<int>::max()) {
    throw std::range_error("quantize(): incompatible function arguments");
  }
  return static_cast<int>(value);
}

mx::ShapeElem AsExtent(uint64_t value) {
  if (value > static_cast<uint64_t>(std::numeric_limits<mx::ShapeElem>::max())) {
    throw std::invalid_argument("the matrix is too large for MLX");
  }
  return static_cast<mx::ShapeElem>(value);
}

/// `array` as contiguous float32, evaluated and kept by `owner`.
const float* Floats(const mx::array& array, Owner& owner) {
  const mx::Device& device = ChosenDevice();
  mx::array floats = mx::contiguous(mx::astype(array, mx::float32, device), false, device);
  floats.eval();
  owner.arrays.push_back(floats);
  return floats.data<float>();
}

void Quantize(const MoeMlxRequest& request, Owner& owner, MoeMlxResult& result) {
  const mx::Device& device = ChosenDevice();
  const int bits = AsInt(request.bits);
  const int group_size = AsInt(request.group_size);
  const mx::Dtype dtype = DTypeOf(request.dtype);
  const mx::array weights = mx::astype(
      mx::array(request.weights, {AsExtent(request.rows), AsExtent(request.cols)}), dtype, device);
  const std::vector<mx::array> parts =
      mx::quantize(weights, group_size, bits, request.mode, std::nullopt, device);
  const std::optional<mx::array> biases =
      parts.size() > 2 ? std::optional<mx::array>(parts[2]) : std::nullopt;
  const mx::array w_hat = mx::dequantize(parts[0], parts[1], biases, group_size, bits, request.mode,
                                         std::nullopt, dtype, device);

  mx::array codes = mx::contiguous(parts[0], false, device);
  codes.eval();
  owner.arrays.push_back(codes);
  result.codes = codes.data<uint32_t>();
  result.code_count = codes.size();
  result.scales = Floats(parts[1], owner);
  result.scale_count = parts[1].size();
  if (biases) {
    result.biases = Floats(*biases, owner);
    result.bias_count = biases->size();
  }
  result.w_hat = Floats(w_hat, owner);
  result.w_hat_count = w_hat.size();
  result.rows = static_cast<uint64_t>(w_hat.shape(0));
}

/// The exception in flight as Python would show it.
std::string PythonText() {
  try {
    throw;
  } catch (const std::invalid_argument& error) {
    return std::string("ValueError: ") + error.what();
  } catch (const std::range_error& error) {
    return std::string("TypeError: ") + error.what();
  } catch (const std::bad_alloc&) {
    return "MemoryError: MLX is out of memory";
  } catch (const std::exception& error) {
    return std::string("RuntimeError: ") + error.what();
  } catch (...) {
    return "RuntimeError: an exception of unknown type";
  }
}

void QuantizeEntry(const MoeMlxRequest* request, MoeMlxResult* result) {
  Owner* owner = new Owner;
  *result = {};
  try {
    Quantize(*request, *owner, *result);
  } catch (...) {
    owner->error = PythonText();
    *result = {};
    result->error = owner->error.c_str();
  }
  result->owner = owner;
}

void Release(MoeMlxResult* result) {
  delete static_cast<Owner*>(result->owner);
  *result = {};
}

const char* SelectDevice(const char* name) {
  const bool gpu = std::strcmp(name, "gpu") == 0;
  if (gpu || std::strcmp(name, "cpu") == 0) {
    const mx::Device wanted(gpu ? mx::Device::gpu : mx::Device::cpu);
    if (mx::is_available(wanted)) ChosenDevice() = wanted;
  }
  return ChosenDevice() == mx::Device::gpu ? "gpu" : "cpu";
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const MoeMlxPlugin* moescope_mlx_plugin() {
  static const MoeMlxPlugin plugin{MOE_MLX_ABI_VERSION, mx::version(), SelectDevice, QuantizeEntry,
                                   Release};
  return &plugin;
}
