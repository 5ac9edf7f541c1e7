// MLX-quantized weights, checkpoints.md section 3: X.weight U32 [.., out, in * bits / 32] as one
// LSB-first bit stream a row, X.scales and (affine) X.biases [.., out, in / group].
#include <fmt/format.h>

#include <array>

#include "base/checked.h"
#include "base/small_floats.h"
#include "codec/codecs.h"
#include "codec/scaled_codes.h"

namespace moe {
namespace {

struct MlxTensors {
  std::string_view stem;
  TensorRef payload, scales;
  std::optional<TensorRef> biases, global_scale;
};

/// What the shapes tell: rows of groups of so many bits.
struct MlxGrid {
  uint64_t rows = 0, groups = 0, group_bits = 0;
};

Result<MlxGrid> GridOf(const MlxTensors& tensors) {
  const std::vector<uint64_t>& words = tensors.payload.info().shape;
  const std::vector<uint64_t>& scales = tensors.scales.info().shape;
  const uint64_t groups = scales.empty() ? 0 : scales.back();
  const auto row_bits = words.size() < 2 ? std::nullopt : CheckedMul(words.back(), 32);
  if (row_bits && groups > 0 && *row_bits % groups == 0) {
    const uint64_t rows = words[words.size() - 2];
    if (scales == WithLastAxes(words, rows, groups))
      return MlxGrid{rows, groups, *row_bits / groups};
  }
  return WrongCompanion(tensors.payload, fmt::format("{}.scales of the same rows", tensors.stem),
                        tensors.scales);
}

struct Packing {
  uint64_t bits = 0, group = 0;
};

/// The affine packings whose bits x group is `group_bits`.
std::vector<Packing> AffinePackings(uint64_t group_bits) {
  std::vector<Packing> fits;
  for (const uint64_t bits : {2, 3, 4, 5, 6, 8}) {
    for (const uint64_t group : {32, 64, 128}) {
      if (bits * group == group_bits) fits.push_back({bits, group});
    }
  }
  return fits;
}

/// Shapes give bits x group alone, the config tells pairs apart.
Result<Packing> AffinePacking(const MlxTensors& tensors, uint64_t group_bits,
                              const QuantWords& words) {
  const auto fits = AffinePackings(group_bits);
  std::vector<Packing> agreed = fits;
  std::erase_if(agreed, [&](const Packing& packing) {
    return words.bits.value_or(packing.bits) != packing.bits ||
           words.group.value_or(packing.group) != packing.group;
  });
  if (agreed.size() == 1) return agreed.front();
  std::string readings;
  for (const Packing& packing : fits) {
    readings += fmt::format("{}{} x {}", readings.empty() ? "" : ", ", packing.bits, packing.group);
  }
  const auto text = [](const auto& said) { return said ? fmt::to_string(*said) : "any"; };
  const std::string said = words.bits || words.group
                               ? fmt::format("{} bits in groups of {} ({})", text(words.bits),
                                             text(words.group), words.entry)
                               : "bits and group_size of config.json";
  return WrongCompanion(tensors.payload,
                        fmt::format("{}, bits x group is {} by the shapes ({})", said, group_bits,
                                    readings.empty() ? "no affine packing" : readings),
                        tensors.scales);
}

/// How codes and scales are meant.
struct MlxMode {
  std::string_view name;
  std::string storage;
  Packing packing;
  std::array<float, 256> elements;
  const std::array<float, 256>* scales = nullptr;  ///< null: floats
};

Result<MlxMode> AffineMode(const MlxTensors& tensors, uint64_t group_bits,
                           const QuantWords& words) {
  const TensorInfo& scales = tensors.scales.info();
  const TensorInfo& biases = tensors.biases->info();
  if (!IsScaleFloat(scales.dtype) || biases.shape != scales.shape || biases.dtype != scales.dtype) {
    return WrongCompanion(tensors.payload, "float scales, and biases of their shape and dtype",
                          tensors.biases);
  }
  const auto packing = AffinePacking(tensors, group_bits, words);
  if (!packing) return tl::make_unexpected(packing.error());
  return MlxMode{"affine", fmt::format("affine_q{}_g{}", packing->bits, packing->group), *packing,
                 IntegerElements(0)};
}

Result<MlxMode> FloatMode(const MlxTensors& tensors, uint64_t group_bits) {
  if (tensors.scales.info().dtype == DType::kU8) {
    switch (group_bits) {
      case 64:
        return MlxMode{"nvfp4", "nvfp4", {4, 16}, Fp4Elements(), &kE4m3Values};
      case 128:
        return MlxMode{"mxfp4", "mxfp4", {4, 32}, Fp4Elements(), &kE8m0Values};
      case 256:
        return MlxMode{"mxfp8", "mxfp8", {8, 32}, kE4m3Values, &kE8m0Values};
    }
  }
  return WrongCompanion(tensors.payload,
                        fmt::format("{0}.biases, or {0}.scales U8 of a float mode", tensors.stem),
                        tensors.scales);
}

Result<void> CheckGlobalScale(const MlxTensors& tensors, const MlxMode& mode) {
  if (!tensors.global_scale) return {};
  const TensorInfo& global = tensors.global_scale->info();
  const uint64_t count = CheckedProduct(global.shape).value_or(0);
  if (mode.name == "nvfp4" && global.dtype == DType::kF32 &&
      (count == 1 || count == MatricesOf(tensors.payload.info().shape))) {
    return {};
  }
  return WrongCompanion(tensors.payload, "for nvfp4 one float32 global_scale a matrix",
                        tensors.global_scale);
}

Companions CompanionsOf(const MlxTensors& tensors, const ScaleGrid& scales) {
  if (tensors.biases) {
    const auto read = [](std::span<TensorBytes> companions, ScaledCodes& codes) -> Result<void> {
      codes.biases = codes.scales;
      codes.biases->bytes = std::move(companions[0]);
      return {};
    };
    return {read, {LayoutOf(scales, tensors.biases->info().dtype)}};
  }
  if (!tensors.global_scale) return {};
  return {ReadGlobalScale(
      tensors.payload,
      {.tensor = *tensors.global_scale, .name = "global_scale", .unit = 448.0f * 6.0f})};
}

Weight WeightOf(const MlxTensors& tensors, const MlxGrid& grid, const MlxMode& mode) {
  const TensorInfo& words = tensors.payload.info();
  const auto [bits, group] = mode.packing;
  Weight weight{.name = words.name,
                .shape = WithLastAxes(words.shape, grid.rows, grid.groups * group),
                .storage = mode.storage,
                .parts = {tensors.payload, tensors.scales}};
  if (tensors.biases) weight.parts.push_back(*tensors.biases);
  if (tensors.global_scale) weight.parts.push_back(*tensors.global_scale);
  const ScaleGrid scales{
      .codes = mode.scales, .rows = grid.rows, .cols = grid.groups, .block_cols = group};
  return ScaledWeight(
      std::move(weight),
      {.bits = static_cast<unsigned>(bits), .elements = mode.elements, .scales = scales},
      CompanionsOf(tensors, scales));
}

Result<std::optional<Weight>> FindWeightOf(const MlxTensors& tensors, const QuantWords& words) {
  const auto grid = GridOf(tensors);
  if (!grid) return tl::make_unexpected(grid.error());
  const auto mode = tensors.biases ? AffineMode(tensors, grid->group_bits, words)
                                   : FloatMode(tensors, grid->group_bits);
  if (!mode) return tl::make_unexpected(mode.error());
  auto fits = CheckStatements(
      tensors.payload, tensors.scales, words,
      {Says("mode", words.mode, mode->name), Says("bits", words.bits, mode->packing.bits),
       Says("group_size", words.group, mode->packing.group),
       Says("global_scale", words.global_scale, tensors.global_scale.has_value())});
  if (fits) fits = CheckGlobalScale(tensors, *mode);
  if (!fits) return tl::make_unexpected(fits.error());
  return WeightOf(tensors, *grid, *mode);
}

}  // namespace

Result<std::optional<Weight>> FindMlxWeight(const TensorRef& payload, const TensorIndex& tensors,
                                            const QuantWords& words) {
  const auto stem = StemOf(payload.info().name, ".weight");
  if (!stem || payload.info().dtype != DType::kU32) return std::optional<Weight>{};
  const auto scales = tensors.Find(*stem, ".scales");
  if (!scales) return WrongCompanion(payload, fmt::format("{}.scales", *stem), std::nullopt);
  auto agrees = CheckStatements(
      payload, scales, words,
      {Says("quantized", words.quantized, true), SaysMethod(words, {"mlx", "mxfp4"})});
  if (!agrees) return tl::make_unexpected(agrees.error());
  auto biases = tensors.Find(*stem, ".biases");
  if (!biases) biases = tensors.Find(*stem, ".qbiases");  // transformers' "metal"
  return FindWeightOf({*stem, payload, *scales, biases, tensors.Find(*stem, ".global_scale")},
                      words);
}

}  // namespace moe
