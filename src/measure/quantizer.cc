#include "measure/quantizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

namespace moe {
namespace {

// ---- MLX's checks, in its order ----

bool Takes(std::span<const int64_t> values, int64_t value) {
  return std::ranges::find(values, value) != values.end();
}

std::string AllButLast(std::span<const int64_t> values) {
  return fmt::format("{}", fmt::join(values.first(values.size() - 1), ", "));
}

std::optional<std::string> CheckGroupSize(const QuantScheme& scheme, const QuantMode& mode) {
  if (Takes(mode.group_sizes, scheme.group_size)) return std::nullopt;
  if (mode.group_sizes.size() == 1) {
    return fmt::format("[quantize] {} quantization requires group size {} but got {}.", mode.name,
                       mode.default_group_size, scheme.group_size);
  }
  return fmt::format(
      "[quantize] The requested group size {} is not supported. "
      "The supported group sizes are {}, and {}.",
      scheme.group_size, AllButLast(mode.group_sizes), mode.group_sizes.back());
}

std::optional<std::string> CheckBits(const QuantScheme& scheme, const QuantMode& mode) {
  if (Takes(mode.bits, scheme.bits)) return std::nullopt;
  if (mode.bits.size() == 1) {
    return fmt::format("[quantize] {} quantization requires bits to be {} but got {}.", mode.name,
                       mode.default_bits, scheme.bits);
  }
  return fmt::format(
      "[quantize] The requested number of bits {} is not supported. "
      "The supported bits are {} and {}.",
      scheme.bits, AllButLast(mode.bits), mode.bits.back());
}

std::optional<std::string> CheckScheme(const QuantScheme& scheme, const QuantMode& mode,
                                       QuantProfile profile, uint64_t rows, uint64_t cols) {
  // Group size 0 crashes MLX here; it falls through to the check that names the sizes.
  const auto group = scheme.group_size < 0 ? uint64_t{0} - static_cast<uint64_t>(scheme.group_size)
                                           : static_cast<uint64_t>(scheme.group_size);
  if (group != 0 && cols % group != 0) {
    return fmt::format(
        "[quantize] The last dimension of the matrix needs to be divisible by the quantization "
        "group size {}. However the provided  matrix has shape ({},{})",
        scheme.group_size, rows, cols);
  }
  if (auto error = CheckGroupSize(scheme, mode)) return error;
  if (auto error = CheckBits(scheme, mode)) return error;
  // MLX's CPU graph reshapes the input of nvfp4 to rows of 32.
  if (!IsGpu(profile) && rows * cols % mode.cpu_elements != 0) {
    return fmt::format("[reshape] Cannot reshape array of size {} into shape ({},4,8).",
                       rows * cols, rows * cols / mode.cpu_elements);
  }
  return std::nullopt;
}

// What the loops behind a quantizer have room for, whatever its mode's row says.
bool FitsLoops(const QuantScheme& scheme) {
  const auto group = static_cast<size_t>(scheme.group_size);
  return scheme.bits <= int64_t{Quantizer::kMostBits} && group >= Quantizer::kLeastGroupSize &&
         group <= Quantizer::kMostGroupSize && group % Quantizer::kLeastGroupSize == 0;
}

Result<Quantizer> Refuse(const QuantScheme& scheme, std::string why) {
  return Fail(ErrorCode::kBadArgument, "scheme '" + scheme.name + "'", std::move(why), {},
              "ValueError");
}

}  // namespace

bool IsGpu(QuantProfile profile) {
  return profile == QuantProfile::kMlxGpu || profile == QuantProfile::kMlxGpuLegacy;
}

bool IsLegacy(QuantProfile profile) {
  return profile == QuantProfile::kMlxCpuLegacy || profile == QuantProfile::kMlxGpuLegacy;
}

size_t BytesOf(ComputeDType dtype) { return dtype == ComputeDType::kF32 ? 4 : 2; }

double Quantizer::DecodedScale(float stored) const {
  if (mode->scale_values == nullptr) return stored;
  const float value = (*mode->scale_values)[static_cast<uint8_t>(stored)];
  return std::isinf(value) ? 0x1p128 : value;
}

double Quantizer::BitsPerWeight() const {
  const auto float_bits = static_cast<unsigned>(8 * BytesOf(dtype));
  return moe::BitsPerWeight(*mode, bits, static_cast<int64_t>(group_size), float_bits);
}

Result<Quantizer> MakeQuantizer(const QuantMode& mode, const QuantScheme& scheme,
                                QuantProfile profile, ComputeDType dtype, uint64_t rows,
                                uint64_t cols) {
  if (scheme.search()) profile = QuantProfile::kMlxCpu;
  if (auto error = CheckScheme(scheme, mode, profile, rows, cols)) {
    return Refuse(scheme, std::move(*error));
  }
  if (!FitsLoops(scheme)) {
    return Refuse(scheme, fmt::format("{} bits in groups of {} are more than moescope simulates",
                                      scheme.bits, scheme.group_size));
  }
  const QuantEncoders& encoders = IsGpu(profile) ? *mode.gpu : *mode.cpu;
  Quantizer quantizer;
  quantizer.mode = &mode;
  quantizer.encoder = encoders[static_cast<size_t>(dtype)];
  quantizer.dtype = dtype;
  quantizer.profile = profile;
  quantizer.bits = static_cast<unsigned>(scheme.bits);
  quantizer.group_size = static_cast<size_t>(scheme.group_size);
  quantizer.search = scheme.search();
  return quantizer;
}

Result<Quantizer> MakeQuantizer(const QuantScheme& scheme, QuantProfile profile, ComputeDType dtype,
                                uint64_t rows, uint64_t cols) {
  const QuantMode* mode = FindQuantMode(scheme.mode);
  if (mode == nullptr) {
    return Refuse(scheme, fmt::format("[quantize] Invalid quantization mode '{}'.", scheme.mode));
  }
  return MakeQuantizer(*mode, scheme, profile, dtype, rows, cols);
}

}  // namespace moe
