#include "experts/layout.h"

#include <fmt/format.h>

#include <limits>

namespace moe {
namespace {

tl::unexpected<std::string> Wrong(std::string text) { return tl::make_unexpected(std::move(text)); }

// Strides in elements; fails when the product of the dimensions does not fit 64 bits.
Checked<std::vector<uint64_t>> RowMajorStrides(std::span<const uint64_t> shape) {
  std::vector<uint64_t> strides(shape.size());
  uint64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    if (shape[i] != 0 && stride > std::numeric_limits<uint64_t>::max() / shape[i]) {
      return Wrong("its dimensions multiply to more than 2^64 elements");
    }
    stride *= shape[i];
  }
  return strides;
}

Checked<std::vector<uint64_t>> EqualSizes(uint64_t length, size_t parts, int axis) {
  if (length % parts != 0) {
    return Wrong(
        fmt::format("{} along axis {} is not divisible into {} equal parts", length, axis, parts));
  }
  return std::vector<uint64_t>(parts, length / parts);
}

// The sizes as the rule gives them, with the one that is -1 worked out.
Checked<std::vector<uint64_t>> GivenSizes(std::span<const int64_t> given, uint64_t length,
                                          int axis) {
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  std::vector<uint64_t> sizes;
  std::optional<size_t> rest;
  uint64_t sum = 0;
  for (const int64_t size : given) {
    if (size == -1 && rest) return Wrong("only one split size may be -1");
    if (size == -1) rest = sizes.size();
    if (size <= 0 && size != -1) {
      return Wrong(fmt::format("split sizes must be positive, got {}", size));
    }
    sizes.push_back(size == -1 ? 0 : static_cast<uint64_t>(size));
    sum = sizes.back() > kMost - sum ? kMost : sum + sizes.back();
  }
  const bool fits = rest ? sum < length : sum == length;
  if (!fits) {
    return Wrong(fmt::format("split sizes sum to {}, expected {}{} along axis {}", sum,
                             rest ? "less than " : "", length, axis));
  }
  if (rest) sizes[*rest] = length - sum;
  return sizes;
}

// The sizes of the parts of an axis of `length`.
Checked<std::vector<uint64_t>> PartSizes(const PackedSplit& split, uint64_t length, int axis) {
  const size_t parts = split.equal ? split.projs.size() : split.splits.size();
  if (parts == 0) return Wrong("splits must be non-empty");
  return split.equal ? EqualSizes(length, parts, axis) : GivenSizes(split.splits, length, axis);
}

// An axis of the layout, and what it says of the bank.
struct BankAxis {
  const char* key;
  std::optional<int64_t> axis;  // negative: from the end
  uint64_t *count, *stride;

  // Counted from the front.
  Checked<size_t> Index(size_t ndim) const {
    const int64_t end = static_cast<int64_t>(ndim), index = *axis < 0 ? *axis + end : *axis;
    if (index < 0 || index >= end) {
      return Wrong(fmt::format("{} {} is out of range for ndim={}", key, *axis, ndim));
    }
    return static_cast<size_t>(index);
  }
};

}  // namespace

Checked<BankShape> ApplyLayout(const RuleLayout& layout, std::span<const uint64_t> shape) {
  if (!layout.rows_axis || !layout.cols_axis) {
    return Wrong("layout must include rows_axis and cols_axis");
  }
  auto strides = RowMajorStrides(shape);
  if (!strides) return Wrong(std::move(strides.error()));

  BankShape bank;
  bank.has_layer_axis = layout.layer_axis.has_value();
  bank.has_expert_axis = layout.expert_axis.has_value();
  const BankAxis axes[] = {
      {"layer_axis", layout.layer_axis, &bank.layers, &bank.layer_stride},
      {"expert_axis", layout.expert_axis, &bank.experts, &bank.expert_stride},
      {"rows_axis", layout.rows_axis, &bank.rows, &bank.row_stride},
      {"cols_axis", layout.cols_axis, &bank.cols, &bank.col_stride},
  };
  const size_t given = 2 + (bank.has_layer_axis ? 1 : 0) + (bank.has_expert_axis ? 1 : 0);
  if (given != shape.size()) {
    return Wrong(fmt::format("layout axes do not cover ndim={} ({} given)", shape.size(), given));
  }
  std::vector<bool> used(shape.size(), false);
  for (const BankAxis& axis : axes) {
    if (!axis.axis) continue;
    const auto index = axis.Index(shape.size());
    if (!index) return Wrong(index.error());
    if (used[*index]) return Wrong(fmt::format("{} repeats axis {}", axis.key, *axis.axis));
    used[*index] = true;
    *axis.count = shape[*index];
    *axis.stride = (*strides)[*index];
  }
  return bank;
}

Checked<std::vector<BankShape>> SplitBank(const BankShape& bank, const PackedSplit& split) {
  const bool by_rows = split.axis == "rows";
  const int rows_axis = (bank.has_layer_axis ? 1 : 0) + (bank.has_expert_axis ? 1 : 0);
  const uint64_t length = by_rows ? bank.rows : bank.cols;
  const uint64_t step = by_rows ? bank.row_stride : bank.col_stride;
  const auto sizes = PartSizes(split, length, by_rows ? rows_axis : rows_axis + 1);
  if (!sizes) return Wrong(sizes.error());

  std::vector<BankShape> parts;
  uint64_t start = 0;
  for (size_t i = 0; i < sizes->size(); ++i) {
    const uint64_t size = (*sizes)[i];
    if (split.interleave && size != sizes->front()) {
      return Wrong("interleave needs parts of one size");
    }
    BankShape part = bank;
    (by_rows ? part.rows : part.cols) = size;
    part.offset += (split.interleave ? i : start) * step;
    if (split.interleave) (by_rows ? part.row_stride : part.col_stride) *= sizes->size();
    parts.push_back(part);
    start += size;
  }
  return parts;
}

}  // namespace moe
