#include <array>
#include <utility>

#include "moescope/quantize.h"

namespace moe {
namespace {

constexpr std::pair<QuantProfile, std::string_view> kProfiles[] = {
    {QuantProfile::kMlxCpu, "mlx-cpu"},
    {QuantProfile::kMlxGpu, "mlx-gpu"},
    {QuantProfile::kMlxCpuLegacy, "mlx-cpu-legacy"},
    {QuantProfile::kMlxGpuLegacy, "mlx-gpu-legacy"},
};

}  // namespace

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
