// Packed small floats, checkpoints.md sections 4 and 6.2: NVFP4 (compressed-tensors divides by its
// global scale, ModelOpt multiplies), MXFP4, MXFP6 (e2m3), and the FP4 experts of DeepSeek-V4.
// Two e2m1 codes a byte, low nibble first; four e2m3 codes in three bytes.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/small_floats.h"
#include "checkpoint/names.h"
#include "codec/codecs.h"
#include "codec/scaled_codes.h"

namespace moe {
namespace {

struct Kind {
  const char* storage;
  unsigned bits;
  uint64_t group;
  bool e4m3_scales;
  std::string_view format;  ///< of compressed-tensors
};
constexpr Kind kNvfp4 = {"nvfp4", 4, 16, true, "nvfp4-pack-quantized"};
constexpr Kind kMxfp4 = {"mxfp4", 4, 32, false, "mxfp4-pack-quantized"};
constexpr Kind kMxfp6 = {"mxfp6_e2m3", 6, 32, false, "mxfp6-pack-quantized"};

/// e2m3 (checkpoints.md 11): bias 1, sign in bit 5.
std::array<float, 256> Fp6Elements() {
  std::array<float, 256> elements{};
  for (unsigned code = 0; code < 64; ++code) {
    const unsigned exponent = (code >> 3) & 3u, mantissa = code & 7u;
    const float value = exponent == 0 ? static_cast<float>(mantissa) / 8.0f
                                      : std::ldexp(1.0f + static_cast<float>(mantissa) / 8.0f,
                                                   static_cast<int>(exponent) - 1);
    elements[code] = (code & 32u) ? -value : value;
  }
  return elements;
}

struct Found {
  Kind kind;
  std::string name;
  uint64_t cols = 0;  ///< of the decoded weight
  TensorRef scale;
  std::optional<GlobalScale> global;
};

Weight WeightOf(const TensorRef& payload, const Found& found) {
  const std::vector<uint64_t>& shape = payload.info().shape;
  const uint64_t rows = shape[shape.size() - 2];
  Weight weight{.name = found.name,
                .shape = WithLastAxes(shape, rows, found.cols),
                .storage = found.kind.storage,
                .parts = {payload, found.scale}};
  if (found.global) weight.parts.push_back(found.global->tensor);
  return ScaledWeight(std::move(weight),
                      {.bits = found.kind.bits,
                       .elements = found.kind.bits == 4 ? Fp4Elements() : Fp6Elements(),
                       .scales = {.codes = found.kind.e4m3_scales ? &kE4m3Values : &kE8m0Values,
                                  .rows = rows,
                                  .cols = found.scale.info().shape.back(),
                                  .block_cols = found.kind.group}},
                      {found.global ? ReadGlobalScale(payload, *found.global) : nullptr});
}

/// The weight if all statements agree, those of the `dialect` and those of the kind of float.
Result<std::optional<Weight>> CheckedWeight(const TensorRef& payload, const Found& found,
                                            const QuantWords& words,
                                            std::vector<Statement> dialect) {
  const std::vector<uint64_t>& shape = payload.info().shape;
  const uint64_t rows = shape[shape.size() - 2], groups = CeilDiv(found.cols, found.kind.group);
  dialect.insert(dialect.end(),
                 {Says("type", words.type, "float"), Says("bits", words.bits, found.kind.bits),
                  SaysZeroPoints(words, false), SaysGrid(words, rows, found.cols, {rows, groups})});
  auto agrees = CheckStatements(payload, found.scale, words, dialect);
  if (!agrees) return tl::make_unexpected(agrees.error());
  if (found.scale.info().shape != WithLastAxes(shape, rows, groups)) {
    return WrongCompanion(
        payload, fmt::format("scales [.., {}, {}] of {}", rows, groups, found.kind.storage),
        found.scale);
  }
  return WeightOf(payload, found);
}

/// The global scale of a weight: one number, or one a matrix. Of stacks of gate and up that are
/// multiplied also [.., 2], for the first half of the rows and the second.
Result<GlobalScale> GlobalOf(const TensorRef& payload, const std::optional<TensorRef>& tensor,
                             bool divides) {
  const std::span<const uint64_t> shape = payload.info().shape;
  const std::vector<uint64_t> outer(shape.begin(), shape.end() - 2);
  if (tensor && tensor->info().dtype == DType::kF32) {
    GlobalScale global{.tensor = *tensor, .name = "global scale", .divides = divides};
    std::vector<uint64_t> found = tensor->info().shape;
    const bool halves = payload.info().name.find("down_proj") == std::string::npos;
    if (!divides && halves && !outer.empty() && shape[outer.size()] % 2 == 0 &&
        found.size() == outer.size() + 1 && found.back() == 2 &&
        std::equal(outer.begin(), outer.end(), found.begin())) {
      global.parts = 2;
      return global;
    }
    while (found.size() > outer.size() && found.back() == 1) found.pop_back();
    if (found == outer || CheckedProduct(found) == 1) return global;
  }
  return WrongCompanion(payload, "one F32 global scale, or one a matrix", tensor);
}

std::optional<uint64_t> PackedCols(const TensorInfo& info, unsigned bits) {
  const auto wide = CheckedMul(info.shape.back(), 8);
  return wide && *wide % bits == 0 ? std::optional(*wide / bits) : std::nullopt;
}

// X.weight_packed U8.
Result<std::optional<Weight>> FindCompressed(const TensorRef& payload, std::string_view stem,
                                             const TensorIndex& tensors, const QuantWords& words) {
  const auto scale = tensors.Find(stem, ".weight_scale");
  if (!scale) return WrongCompanion(payload, "weight_scale", std::nullopt);
  Found found{kNvfp4, fmt::format("{}.weight", stem), 0, *scale, std::nullopt};
  const DType dtype = scale->info().dtype;
  if (dtype == DType::kF8E4M3) {
    auto global = GlobalOf(payload, tensors.Find(stem, ".weight_global_scale"), true);
    if (!global) return tl::make_unexpected(global.error());
    found.global = *global;
  } else if (IsByteScale(dtype)) {
    const uint64_t groups = scale->info().shape.empty() ? 0 : scale->info().shape.back();
    found.kind = payload.info().shape.back() == groups * 24 ? kMxfp6 : kMxfp4;
  } else {
    return WrongCompanion(payload, "weight_scale F8_E4M3 or U8", scale);
  }
  const auto cols = PackedCols(payload.info(), found.kind.bits);
  if (!cols) return WrongCompanion(payload, "whole codes in its columns", scale);
  found.cols = *cols;
  return CheckedWeight(
      payload, found, words,
      {SaysMethod(words, {"compressed-tensors"}), SaysFormat(words, {found.kind.format})});
}

/// The payload's columns as e2m1 codes; F4 counts them already.
std::optional<uint64_t> Fp4Cols(const TensorInfo& info) {
  if (info.dtype == DType::kF4) {
    return info.shape.back() % 2 == 0 ? std::optional(info.shape.back()) : std::nullopt;
  }
  return PackedCols(info, 4);
}

/// ModelOpt: X.weight_scale and X.weight_scale_2; of a stack X_weight_scale and X_weight_scale_2.
Result<std::optional<Weight>> FindModelOpt(const TensorRef& payload, const TensorIndex& tensors,
                                           const QuantWords& words) {
  const TensorInfo& info = payload.info();
  const std::string scale =
      info.name + (info.name.ends_with(".weight") ? "_scale" : "_weight_scale");
  const auto first = tensors.Find(scale), second = tensors.Find(scale, "_2");
  if (!second && !(first && first->info().dtype == DType::kF8E4M3)) return std::optional<Weight>{};
  const auto cols = Fp4Cols(info);
  if (!first || !cols || first->info().dtype != DType::kF8E4M3) {
    return WrongCompanion(payload, "weight_scale F8_E4M3", first);
  }
  auto global = GlobalOf(payload, second, false);
  if (!global) return tl::make_unexpected(global.error());
  return CheckedWeight(payload, {kNvfp4, info.name, *cols, *first, *global}, words,
                       {SaysMethod(words, {"modelopt"})});
}

/// DeepSeek-V4: a scale for 32 inputs beside two codes a byte.
Result<std::optional<Weight>> FindDeepseek(const TensorRef& payload, const TensorIndex& tensors,
                                           const QuantWords& words) {
  const TensorInfo& info = payload.info();
  const auto stem = StemOf(info.name, ".weight");
  if (!stem) return std::optional<Weight>{};
  auto scale = tensors.Find(*stem, ".scale");
  if (!scale) scale = tensors.Find(*stem, ".weight_scale_inv");
  if (!scale) return std::optional<Weight>{};
  const auto cols = Fp4Cols(info);
  if (!cols || !IsByteScale(scale->info().dtype)) {
    return WrongCompanion(payload, "a scale U8 or F8_E8M0 for 32 inputs", scale);
  }
  // config.json tells of them by expert_dtype alone: its blocks are those of the FP8 layers.
  QuantWords expert = words;
  expert.strategy.clear();
  return CheckedWeight(
      payload, {kMxfp4, info.name, *cols, *scale, std::nullopt}, expert,
      {SaysMethod(words, {"fp8"}), Says("expert_dtype", words.Text("expert_dtype"), "fp4")});
}

}  // namespace

Result<std::optional<Weight>> FindPackedFloats(const TensorRef& payload, const TensorIndex& tensors,
                                               const QuantWords& words) {
  const TensorInfo& info = payload.info();
  const bool bytes =
      info.dtype == DType::kU8 || info.dtype == DType::kI8 || info.dtype == DType::kF4;
  if (!bytes || info.shape.size() < 2) return std::optional<Weight>{};
  if (const auto stem = StemOf(info.name, ".weight_packed")) {
    return FindCompressed(payload, *stem, tensors, words);
  }
  if (info.dtype != DType::kI8) {
    auto weight = FindModelOpt(payload, tensors, words);
    if (!weight || *weight) return weight;
  }
  return FindDeepseek(payload, tensors, words);
}

}  // namespace moe
