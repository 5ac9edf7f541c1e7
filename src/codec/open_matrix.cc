#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "base/checked.h"
#include "checkpoint/names.h"
#include "codec/plain.h"
#include "moescope/matrix_view.h"

namespace moe {
namespace {

struct Codec {
  bool (*reads)(const TensorInfo& tensor);
  Result<std::unique_ptr<MatrixSource>> (*open)(const TensorInfo&, TensorBytes, const MatrixView&);
};

// A new storage scheme is one line here.
constexpr Codec kCodecs[] = {
    {[](const TensorInfo& tensor) { return IsPlainFloat(tensor.dtype); }, OpenPlainMatrix},
};

std::string Place(const TensorInfo& tensor) {
  return fmt::format("tensor '{}'", Printable(tensor.name));
}

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

Result<void> CheckView(const TensorInfo& tensor, const TensorBytes& bytes, const MatrixView& view) {
  const auto elements = CheckedProduct(tensor.shape);
  const auto bits = elements ? CheckedMul(*elements, DTypeBits(tensor.dtype)) : std::nullopt;
  if (!bits || *bits / 8 != bytes.data.size()) {
    return Malformed(Place(tensor), fmt::format("shape [{}] of {} does not fit its {} bytes",
                                                fmt::join(tensor.shape, ", "), tensor.dtype_text,
                                                bytes.data.size()));
  }
  const auto wanted = CheckedMul(view.rows, view.cols);
  const auto end = EndOf(view);
  if (!wanted || !end || *wanted > *elements || *end > *elements) {
    return Malformed(Place(tensor),
                     fmt::format("a matrix of {} x {} at element {} with strides {} and {} leaves "
                                 "the tensor [{}]",
                                 view.rows, view.cols, view.offset, view.row_stride,
                                 view.col_stride, fmt::join(tensor.shape, ", ")));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<MatrixSource>> OpenMatrix(const TensorInfo& tensor, TensorBytes bytes,
                                                 const MatrixView& view) {
  for (const Codec& codec : kCodecs) {
    if (!codec.reads(tensor)) continue;
    if (auto checked = CheckView(tensor, bytes, view); !checked) {
      return tl::make_unexpected(checked.error());
    }
    return codec.open(tensor, std::move(bytes), view);
  }
  return Fail(ErrorCode::kUnsupported, Place(tensor),
              fmt::format("storage {} is not decoded yet", tensor.dtype_text),
              "its matrices are left out; a 16- or 32-bit copy of the model can be analysed");
}

}  // namespace moe
