#include <algorithm>
#include <array>
#include <utility>

#include "base/quant_modes.h"
#include "moescope/quantize.h"

namespace moe {
namespace {

constexpr std::pair<QuantProfile, std::string_view> kProfiles[] = {
    {QuantProfile::kMlxCpu, "mlx-cpu"},
    {QuantProfile::kMlxGpu, "mlx-gpu"},
    {QuantProfile::kMlxCpuLegacy, "mlx-cpu-legacy"},
    {QuantProfile::kMlxGpuLegacy, "mlx-gpu-legacy"},
};

constexpr int64_t kAffineBits[] = {1, 2, 3, 4, 5, 6, 8};
constexpr int64_t kAffineGroups[] = {32, 64, 128};
constexpr int64_t k4[] = {4}, k8[] = {8}, k16[] = {16}, k32[] = {32};
constexpr QuantMode kModes[] = {
    {"affine", kAffineBits, kAffineGroups, 4, 32},
    {"mxfp4", k4, k32, 4, 32},
    {"mxfp8", k8, k32, 8, 32},
    {"nvfp4", k4, k16, 4, 16},
};

}  // namespace

std::span<const QuantMode> QuantModes() { return kModes; }

const QuantMode* FindQuantMode(std::string_view name) {
  const auto* mode = std::ranges::find(kModes, name, &QuantMode::name);
  return mode == std::end(kModes) ? nullptr : mode;
}

std::string_view ProfileName(QuantProfile profile) {
  return kProfiles[static_cast<size_t>(profile)].second;
}

std::optional<QuantProfile> ParseProfile(std::string_view name) {
  for (const auto& [profile, text] : kProfiles) {
    if (text == name) return profile;
  }
  return std::nullopt;
}

std::string_view ComputeDTypeName(ComputeDType dtype) {
  constexpr std::array<std::string_view, 3> kNames = {"fp32", "fp16", "bf16"};
  return kNames[static_cast<size_t>(dtype)];
}

}  // namespace moe
