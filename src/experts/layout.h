#pragma once

#include <span>
#include <string>
#include <vector>

#include "moescope/experts.h"

namespace moe {

/// A failed layout or split: what is wrong, without the names of rule and tensor.
template <class T>
using Checked = tl::expected<T, std::string>;

/// Where the matrices of a tensor lie: the bank's counts and strides, without names and ids.
struct BankShape {
  bool has_layer_axis = false, has_expert_axis = false;
  uint64_t layers = 1, experts = 1, rows = 0, cols = 0;
  uint64_t offset = 0;
  uint64_t layer_stride = 0, expert_stride = 0, row_stride = 0, col_stride = 0;
};

/// Applies the axes of `layout` to a row-major tensor of `shape` (contract section 6). No element
/// count may exceed 2^64 - 1.
Checked<BankShape> ApplyLayout(const RuleLayout& layout, std::span<const uint64_t> shape);

/// Cuts `bank` along its rows or columns (contract section 7, D10): one part for each size.
Checked<std::vector<BankShape>> SplitBank(const BankShape& bank, const PackedSplit& split);

}  // namespace moe
