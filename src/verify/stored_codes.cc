#include "verify/stored_codes.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

#include "base/float_convert.h"
#include "base/little_endian.h"
#include "measure/quant_metrics.h"

namespace moe {
namespace {

bool IsCalled(const TensorRef& part, std::string_view stem, std::string_view suffix) {
  return part.info().name == std::string(stem) + std::string(suffix);
}

/// Code number `i` of a stream of `bits` bits each.
unsigned CodeAt(const std::byte* stream, size_t i, unsigned bits) {
  const size_t bit = i * bits, byte = bit / 8;
  unsigned word = static_cast<unsigned>(stream[byte]);
  if (bit % 8 + bits > 8) word |= static_cast<unsigned>(stream[byte + 1]) << 8;
  return word >> (bit % 8) & ((1u << bits) - 1);
}

/// So many of `count` items of `size` bytes differ.
uint64_t Differing(const std::byte* a, const std::byte* b, size_t count, size_t size) {
  uint64_t differing = 0;
  for (size_t i = 0; i < count; ++i) {
    differing += std::memcmp(a + i * size, b + i * size, size) == 0 ? 0 : 1;
  }
  return differing;
}

/// So many of `count` floats of `size` bytes, little-endian, are those of the other with the other
/// sign.
uint64_t Negated(const std::byte* a, const std::byte* b, size_t count, size_t size) {
  uint64_t negated = 0;
  for (size_t i = 0; i < count; ++i, a += size, b += size) {
    const bool top = (a[size - 1] ^ b[size - 1]) == std::byte{0x80};
    negated += top && std::memcmp(a, b, size - 1) == 0 ? 1 : 0;
  }
  return negated;
}

/// A scale or bias as GroupRun has it: a number in T, or the value of a byte.
float StoredNumber(ComputeDType dtype, const std::byte* at, size_t size) {
  if (size == 1) return static_cast<float>(*at);
  const std::span bytes(at, size);
  if (dtype == ComputeDType::kF32) return std::bit_cast<float>(LoadLittleEndian<uint32_t>(bytes));
  const auto half = LoadLittleEndian<uint16_t>(bytes);
  return dtype == ComputeDType::kF16 ? HalfToFloat(half) : BFloat16ToFloat(half);
}

}  // namespace

std::string Encoding::Text() const {
  return fmt::format("{}, {} bits, groups of {}, {}, {}", scheme.mode, scheme.bits,
                     scheme.group_size, ComputeDTypeName(dtype), ProfileName(profile));
}

std::optional<QuantScheme> MlxSchemeOf(const Weight& weight) {
  if (weight.parts.size() < 2 || weight.parts[0].info().dtype != DType::kU32) return std::nullopt;
  std::string_view stem = weight.parts[0].info().name;
  if (!stem.ends_with(".weight")) return std::nullopt;
  stem.remove_suffix(std::string_view(".weight").size());
  if (!IsCalled(weight.parts[1], stem, ".scales")) return std::nullopt;
  const bool affine = weight.parts.size() == 3 && IsCalled(weight.parts[2], stem, ".biases");
  if (!affine && (weight.parts.size() != 2 || FindQuantMode(weight.storage) == nullptr)) {
    return std::nullopt;
  }
  const uint64_t words = weight.parts[0].info().shape.back(), cols = weight.shape.back(),
                 groups = weight.parts[1].info().shape.back();
  if (cols == 0 || groups == 0) return std::nullopt;
  return QuantScheme{"", affine ? "affine" : weight.storage,
                     static_cast<int64_t>(32 * words / cols), static_cast<int64_t>(cols / groups)};
}

std::optional<ComputeDType> ScaleDTypeOf(const Weight& weight) {
  switch (weight.parts[1].info().dtype) {
    case DType::kF16:
      return ComputeDType::kF16;
    case DType::kBF16:
      return ComputeDType::kBF16;
    case DType::kF32:
      return ComputeDType::kF32;
    default:
      return std::nullopt;
  }
}

Result<std::optional<StoredCodes>> StoredCodes::Of(const WeightItem& item,
                                                   const Encoding& encoding) {
  const auto none = std::optional<StoredCodes>();
  const auto quantizer = MakeQuantizer(encoding.scheme, encoding.profile, encoding.dtype,
                                       item.view.rows, item.view.cols);
  if (!quantizer) return none;
  const uint64_t group = quantizer->group_size;
  if (item.view.col_stride != 1 || item.view.offset % group != 0 ||
      (item.view.rows > 1 && item.view.row_stride % group != 0)) {
    return none;
  }
  const GroupBytes bytes = GroupBytesOf(*quantizer);
  auto parts = ReadParts(item.weight());
  if (!parts) return tl::make_unexpected(parts.error());
  uint64_t groups = 1;
  for (const uint64_t size : item.weight().shape) groups *= size;
  groups /= group;
  const bool fits = (*parts)[0].data.size() == groups * bytes.codes &&
                    (*parts)[1].data.size() == groups * bytes.scale &&
                    (bytes.bias == 0 || (*parts)[2].data.size() == groups * bytes.bias);
  if (!fits) return none;
  return StoredCodes(*quantizer, item.view, std::move(*parts));
}

bool StoredCodes::Compare(const Tile& tile, std::span<const float> x,
                          CodeDifferences& differences) const {
  const size_t group = quantizer_.group_size, groups = x.size() / group;
  const size_t per_row = static_cast<size_t>(tile.cols) / group;
  std::vector<std::byte> codes(groups * bytes_.codes), scales(groups * bytes_.scale),
      biases(groups * bytes_.bias);
  EncodeGroups(quantizer_, x.data(), groups,
               {codes.data(), scales.data(), bytes_.bias == 0 ? nullptr : biases.data()});
  const CodeDifferences before = differences;
  for (uint64_t r = 0; r < tile.rows; ++r) {
    const uint64_t first = (view_.offset + (tile.row + r) * view_.row_stride + tile.col) / group;
    const size_t at = static_cast<size_t>(r) * per_row;
    differences.clipped += Clipped(x.subspan(at * group, per_row * group), first);
    const std::byte* stored = parts_[0].data.data() + first * bytes_.codes;
    const std::byte* made = &codes[at * bytes_.codes];
    if (std::memcmp(stored, made, per_row * bytes_.codes) != 0) {
      for (size_t i = 0; i < tile.cols; ++i) {
        if (CodeAt(stored, i, quantizer_.bits) == CodeAt(made, i, quantizer_.bits)) continue;
        if (differences.codes++ == 0) differences.first = {tile.row + r, tile.col + i};
      }
    }
    differences.scales += Differing(parts_[1].data.data() + first * bytes_.scale,
                                    &scales[at * bytes_.scale], per_row, bytes_.scale);
    if (bytes_.bias == 0) continue;
    const std::byte *kept = parts_[2].data.data() + first * bytes_.bias,
                    *bias = &biases[at * bytes_.bias];
    differences.all_biases += per_row;
    differences.biases += Differing(kept, bias, per_row, bytes_.bias);
    differences.negated_biases += Negated(kept, bias, per_row, bytes_.bias);
  }
  return differences.codes != before.codes || differences.scales != before.scales ||
         differences.biases != before.biases;
}

uint64_t StoredCodes::Clipped(std::span<const float> row, uint64_t first) const {
  const size_t group = quantizer_.group_size;
  uint64_t clipped = 0;
  for (size_t g = 0; g < row.size() / group; ++g) {
    const std::byte* scale = parts_[1].data.data() + (first + g) * bytes_.scale;
    const float step = StoredNumber(quantizer_.dtype, scale, bytes_.scale);
    float origin = 0;
    if (bytes_.bias > 0) {
      const std::byte* bias = parts_[2].data.data() + (first + g) * bytes_.bias;
      origin = StoredNumber(quantizer_.dtype, bias, bytes_.bias);
    }
    clipped += CountClipped(quantizer_, &row[g * group], step, origin);
  }
  return clipped;
}

double StoredCodes::ErrorOf(std::span<const float> x) const {
  return SimulatedError(quantizer_, x);
}

double SimulatedError(const Quantizer& quantizer, std::span<const float> x) {
  const size_t groups = x.size() / quantizer.group_size;
  std::vector<float> scales(groups), biases(groups), w_hat(x.size());
  GroupRun run{x.data(), groups, scales.data(), biases.data(), w_hat.data(), nullptr, 0};
  quantizer.encoder.run(quantizer, run);
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double d = static_cast<double>(x[i]) - static_cast<double>(w_hat[i]);
    sum += d * d;
  }
  return sum;
}

}  // namespace moe
