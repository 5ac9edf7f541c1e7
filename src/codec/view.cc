#include "codec/view.h"

#include <fmt/format.h>

#include <optional>

#include "base/checked.h"

namespace moe {
namespace {

/// One past the last element number that `view` touches; nullopt if that overflows.
std::optional<uint64_t> EndOf(const MatrixView& view) {
  if (view.rows == 0 || view.cols == 0) return view.offset;
  const auto down = CheckedMul(view.rows - 1, view.row_stride);
  const auto right = CheckedMul(view.cols - 1, view.col_stride);
  if (!down || !right) return std::nullopt;
  const auto corner = CheckedAdd(*down, *right);
  const auto last = corner ? CheckedAdd(*corner, view.offset) : std::nullopt;
  return last ? CheckedAdd(*last, 1) : std::nullopt;
}

}  // namespace

Result<void> CheckView(std::span<const uint64_t> shape, const MatrixView& view,
                       const std::string& place) {
  const auto elements = CheckedProduct(shape);
  const auto wanted = CheckedMul(view.rows, view.cols);
  const auto end = EndOf(view);
  if (!elements || !wanted || !end || *wanted > *elements || *end > *elements) {
    return Malformed(place, fmt::format("a matrix of {} x {} at element {} with strides {} and {} "
                                        "leaves the tensor [{}]",
                                        view.rows, view.cols, view.offset, view.row_stride,
                                        view.col_stride, fmt::join(shape, ", ")));
  }
  return {};
}

}  // namespace moe
