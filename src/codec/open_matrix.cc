#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "base/checked.h"
#include "checkpoint/names.h"
#include "codec/plain.h"
#include "codec/view.h"
#include "moescope/matrix_view.h"

namespace moe {
namespace {

Result<void> CheckBytes(const TensorInfo& tensor, const TensorBytes& bytes) {
  const auto elements = CheckedProduct(tensor.shape);
  const auto bits = elements ? CheckedMul(*elements, DTypeBits(tensor.dtype)) : std::nullopt;
  if (!bits || *bits / 8 != bytes.data.size()) {
    return Malformed(
        TensorPlace(tensor.name),
        fmt::format("shape [{}] of {} does not fit its {} bytes", fmt::join(tensor.shape, ", "),
                    tensor.dtype_text, bytes.data.size()));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<MatrixSource>> OpenMatrix(const TensorInfo& tensor, TensorBytes bytes,
                                                 const MatrixView& view) {
  if (!IsPlainFloat(tensor.dtype)) {
    return Fail(ErrorCode::kUnsupported, TensorPlace(tensor.name),
                fmt::format("{} elements are no weights by themselves", tensor.dtype_text));
  }
  auto checked = CheckBytes(tensor, bytes).and_then([&] {
    return CheckView(tensor.shape, view, TensorPlace(tensor.name));
  });
  if (!checked) return tl::make_unexpected(checked.error());
  return OpenPlainMatrix(tensor, std::move(bytes), view);
}

}  // namespace moe
