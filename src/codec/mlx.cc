// MLX-quantized weights, formats.md section 3: X.weight U32 [.., out, in * bits / 32] as one
// LSB-first bit stream a row, X.scales and (affine) X.biases [.., out, in / group].
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/small_floats.h"
#include "codec/codecs.h"
#include "codec/scaled_codes.h"

namespace moe {
namespace {

struct Packing {
  uint64_t bits = 0, group = 0;
};

constexpr uint64_t kAffineBits[] = {2, 3, 4, 5, 6, 8};
constexpr uint64_t kAffineGroups[] = {32, 64, 128};

/// The pairs of bits and group whose product is `product`.
std::vector<Packing> AffinePackings(uint64_t product) {
  std::vector<Packing> fits;
  for (const uint64_t bits : kAffineBits) {
    for (const uint64_t group : kAffineGroups) {
      if (bits * group == product) fits.push_back({bits, group});
    }
  }
  return fits;
}

struct MlxParts {
  TensorRef scales;
  std::optional<TensorRef> biases, global_scale;
};

/// Bits and group of an affine weight: shapes give their product, the config tells pairs apart.
Result<Packing> AffinePacking(const TensorRef& payload, const MlxParts& parts, uint64_t product,
                              const QuantWords& words) {
  const auto fits = AffinePackings(product);
  const auto disagrees = [&](const Packing& packing) {
    return words.bits.value_or(packing.bits) != packing.bits ||
           words.group.value_or(packing.group) != packing.group;
  };
  std::vector<Packing> agreed = fits;
  std::erase_if(agreed, disagrees);
  if (agreed.size() == 1) return agreed.front();
  std::string readings;
  for (const Packing& packing : fits) {
    readings += fmt::format("{}{} x {}", readings.empty() ? "" : ", ", packing.bits, packing.group);
  }
  const std::string said =
      words.bits || words.group
          ? fmt::format("{} bits in groups of {} ({})",
                        words.bits ? fmt::to_string(*words.bits) : "any",
                        words.group ? fmt::to_string(*words.group) : "any", words.entry)
          : "bits and group_size of config.json";
  return WrongCompanion(payload,
                        fmt::format("{}, bits x group is {} by the shapes ({})", said, product,
                                    readings.empty() ? "no affine packing" : readings),
                        parts.scales);
}

struct FloatMode {
  uint64_t product;  // bits * group
  const char* name;
  Packing packing;
  bool fp4;
  bool e4m3_scales;
};
constexpr FloatMode kFloatModes[] = {
    {64, "nvfp4", {4, 16}, true, true},
    {128, "mxfp4", {4, 32}, true, false},
    {256, "mxfp8", {8, 32}, false, false},
};

/// Builds the open function: `codes` is complete but for its bytes.
auto Opener(const TensorRef& payload, ScaledCodes codes, const MlxParts& parts) {
  return [payload, codes = std::move(codes), has_biases = parts.biases.has_value(),
          stored_global = parts.global_scale](
             std::vector<TensorBytes> bytes) mutable -> Result<std::shared_ptr<const WeightArray>> {
    ScaledCodes opened = codes;
    opened.bytes = std::move(bytes[0]);
    opened.scales.bytes = std::move(bytes[1]);
    if (has_biases) opened.biases->bytes = std::move(bytes[2]);
    if (stored_global) {
      ScaleGrid global;  // one for each matrix, or one for all
      global.bytes = std::move(bytes[2]);
      global.matrices = global.bytes.data.size() / sizeof(float);
      for (uint64_t matrix = 0; matrix < global.matrices; ++matrix) {
        const float value = global.At(matrix, 0, 0);
        if (std::isfinite(value) && value >= 0) continue;
        return WrongCompanion(
            payload, fmt::format("a finite, positive global_scale, not {}", value), stored_global);
      }
      opened.factor = [global](uint64_t matrix, uint64_t) {
        return global.At(matrix, 0, 0) / (448.0f * 6.0f);
      };
    }
    return MakeScaledArray(std::move(opened));
  };
}

Result<std::optional<Weight>> Build(const TensorRef& payload, std::string_view stem,
                                    const MlxParts& parts, const QuantWords& said) {
  const TensorInfo& words = payload.info();
  const TensorInfo& scales = parts.scales.info();
  const size_t ndim = words.shape.size();
  const uint64_t groups = scales.shape.empty() ? 0 : scales.shape.back();
  const auto bits_of_row = ndim < 2 ? std::nullopt : CheckedMul(words.shape.back(), 32);
  if (!bits_of_row || groups == 0 || *bits_of_row % groups != 0 ||
      scales.shape != WithLastAxes(words.shape, words.shape[ndim - 2], groups)) {
    return WrongCompanion(payload, fmt::format("{}.scales of the same rows", stem), parts.scales);
  }
  Weight weight;
  ScaledCodes codes;
  Packing packing;
  if (parts.biases) {
    if (!IsScaleFloat(scales.dtype) || parts.biases->info().shape != scales.shape ||
        parts.biases->info().dtype != scales.dtype) {
      return WrongCompanion(payload, "float scales, and biases of their shape and dtype",
                            parts.biases);
    }
    const auto affine = AffinePacking(payload, parts, *bits_of_row / groups, said);
    if (!affine) return tl::make_unexpected(affine.error());
    packing = *affine;
    weight.storage = fmt::format("affine_q{}_g{}", packing.bits, packing.group);
    weight.float_dtype = scales.dtype;
    codes.elements = IntegerElements(0);
    codes.biases.emplace();
  } else {
    const auto mode =
        std::find_if(std::begin(kFloatModes), std::end(kFloatModes),
                     [&](const FloatMode& row) { return row.product == *bits_of_row / groups; });
    if (scales.dtype != DType::kU8 || mode == std::end(kFloatModes)) {
      return WrongCompanion(
          payload, fmt::format("{0}.biases, or {0}.scales U8 of a float mode", stem), parts.scales);
    }
    packing = mode->packing;
    weight.storage = mode->name;
    codes.elements = mode->fp4 ? Fp4Elements() : kE4m3Values;
    codes.scales.codes = mode->e4m3_scales ? &kE4m3Values : &kE8m0Values;
  }
  auto agrees = CheckStatements(
      payload, parts.scales, said,
      {Says("mode", said.mode, parts.biases ? "affine" : weight.storage),
       Says("bits", said.bits, packing.bits), Says("group_size", said.group, packing.group),
       Says("global_scale", said.global_scale, parts.global_scale.has_value())});
  if (!agrees) return tl::make_unexpected(agrees.error());
  const uint64_t rows = words.shape[ndim - 2], cols = groups * packing.group;
  const uint64_t matrices = MatricesOf(words.shape);
  codes.rows = rows;
  codes.cols = cols;
  codes.bits = static_cast<unsigned>(packing.bits);
  codes.row_bytes = words.shape.back() * 4;
  codes.scales.dtype = scales.dtype;
  codes.scales.matrices = matrices;
  codes.scales.rows = rows;
  codes.scales.cols = groups;
  codes.scales.block_cols = packing.group;
  if (codes.biases) codes.biases = codes.scales;

  weight.name = words.name;
  weight.shape = WithLastAxes(words.shape, rows, cols);
  weight.parts = {payload, parts.scales};
  if (parts.biases) weight.parts.push_back(*parts.biases);
  if (parts.global_scale) {
    const TensorInfo& global = parts.global_scale->info();
    const uint64_t count = CheckedProduct(global.shape).value_or(0);
    if (weight.storage != "nvfp4" || global.dtype != DType::kF32 ||
        (count != 1 && count != matrices)) {
      return WrongCompanion(payload, "for nvfp4 one float32 global_scale a matrix",
                            parts.global_scale);
    }
    weight.parts.push_back(*parts.global_scale);
  }
  weight.open = Opener(payload, std::move(codes), parts);
  return weight;
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
  MlxParts parts{*scales, tensors.Find(*stem, ".biases"), tensors.Find(*stem, ".global_scale")};
  if (!parts.biases) parts.biases = tensors.Find(*stem, ".qbiases");  // transformers' "metal"
  return Build(payload, *stem, parts, words);
}

}  // namespace moe
