#include "codec/weight.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>

#include "base/checked.h"
#include "checkpoint/names.h"
#include "codec/codecs.h"
#include "codec/scaled_codes.h"
#include "codec/view.h"

namespace moe {
namespace {

// In the order of formats.md section 11: the first that takes the tensor wins.
constexpr FindCodec kCodecs[] = {
    FindGgufBlocks, FindMlxWeight,  FindMxfp4Blocks, FindPackedInts,    FindPackedFloats,
    FindFp8Weight,  FindGptqWeight, FindAwqWeight,   FindBitsandbytes4, FindInt8Weight,
};

std::string Place(std::string_view name) { return fmt::format("tensor '{}'", Printable(name)); }

Weight PlainWeightOf(const TensorRef& tensor) {
  const TensorInfo& info = tensor.info();
  Weight weight;
  weight.name = info.name;
  weight.shape = info.shape;
  weight.storage = std::string(DTypeName(info.dtype));
  weight.bits_per_weight = DTypeBits(info.dtype);
  weight.float_dtype = info.dtype;
  weight.parts = {tensor};
  return weight;
}

// What codecs take for companions that change a payload's values.
constexpr const char* kOfWeight[] = {
    ".weight_scale_inv",
    ".weight_scale",
    ".qscale_weight",
    ".scales",
    ".weight_scale_2",
    ".weight_global_scale",
    ".global_scale",
    ".SCB",
    ".weight_zero_point",
    ".weight_g_idx",
    ".biases",
    ".qbiases",
    ".qzeros",
    ".g_idx",
    ".weight.absmax",
    ".weight.nested_absmax",
};
constexpr const char* kOfStack[] = {"_scale_inv", "_scale", "_scales", "_weight_scale",
                                    "_weight_scale_2"};

/// A companion beside the payload that `weight` does not use; nullopt: none.
std::optional<TensorRef> UnusedCompanion(const Weight& weight, const TensorIndex& tensors) {
  const std::string& name = weight.parts[0].info().name;
  const std::string_view module = ModuleOf(name);
  const auto unused = [&](const char* suffix) {
    auto found = tensors.Find(module, suffix);
    const auto is_found = [&](const TensorRef& part) {
      return part.file == found->file && part.index == found->index;
    };
    if (found && std::any_of(weight.parts.begin(), weight.parts.end(), is_found)) found.reset();
    return found;
  };
  const bool stack = module == name || name.ends_with("_blocks");
  for (const char* suffix : stack ? std::span<const char* const>(kOfStack) : kOfWeight) {
    if (const auto found = unused(suffix)) return found;
  }
  // One of less than two axes is a norm's or GGUF's.
  const auto grid = stack ? std::nullopt : unused(".scale");
  return grid && grid->info().shape.size() > 1 ? grid : std::nullopt;
}

/// Each companion that is there is part of the weight. Plain values with scales were cast without
/// them; compressed-tensors' format "dense" keeps scales beside weights that don't need them.
Result<void> CheckCompanions(const Weight& weight, const TensorIndex& tensors,
                             const QuantWords& words) {
  const bool plain = !weight.open;
  if (plain && (weight.shape.size() < 2 || words.format == "dense")) return {};
  const auto unused = UnusedCompanion(weight, tensors);
  if (!unused) return {};
  const std::string want =
      plain ? "no scales, as plain weights have none (cast without them?)"
            : fmt::format("no other companions than {} has (which of them count?)", weight.storage);
  return WrongCompanion(weight.parts[0], want, unused);
}

double BitsPerWeight(const Weight& weight, uint64_t elements) {
  uint64_t bytes = 0;
  for (const TensorRef& part : weight.parts) bytes += part.info().nbytes;
  return elements == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(elements);
}

/// A strided matrix in an array of [matrices, rows, cols].
class ViewedMatrix : public MatrixSource {
 public:
  ViewedMatrix(std::shared_ptr<const WeightArray> array, uint64_t array_rows, uint64_t array_cols,
               DType storage, const MatrixView& view)
      : array_(std::move(array)),
        array_rows_(array_rows),
        array_cols_(array_cols),
        storage_(storage),
        view_(view) {}

  uint64_t rows() const override { return view_.rows; }
  uint64_t cols() const override { return view_.cols; }
  DType storage_dtype() const override { return storage_; }

  Result<void> Read(const Tile& tile, float* out) const override {
    if (view_.col_stride == 1) return ReadStraight(tile, out);
    return ReadTransposed(tile, out);
  }

 private:
  Place3 At(uint64_t row, uint64_t col) const {
    return PlaceOf(view_.offset + row * view_.row_stride + col * view_.col_stride, array_rows_,
                   array_cols_);
  }

  Result<void> ReadStraight(const Tile& tile, float* out) const {
    const bool dense = view_.row_stride == array_cols_;
    const uint64_t step = dense ? tile.rows : 1;
    for (uint64_t r = 0; r < tile.rows; r += step) {
      const Place3 at = At(tile.row + r, tile.col);
      auto done = array_->Read(at.matrix, {at.row, at.col, step, tile.cols}, out + r * tile.cols);
      if (!done) return done;
    }
    return {};
  }

  /// Rows of the view lie along the columns of the array, `row_stride` apart: small blocks of the
  /// array are decoded and turned.
  Result<void> ReadTransposed(const Tile& tile, float* out) const {
    constexpr uint64_t kWidth = 256, kStrip = 16;
    std::array<float, kWidth * kStrip> buffer;
    const uint64_t step = view_.row_stride, per_block = std::max<uint64_t>(1, kWidth / step);
    const bool dense = view_.col_stride == array_cols_;
    for (uint64_t row = 0; row < tile.rows; row += per_block) {
      const uint64_t rows = std::min(per_block, tile.rows - row);
      const uint64_t width = (rows - 1) * step + 1;
      for (uint64_t col = 0; col < tile.cols; col += kStrip) {
        const uint64_t strip = std::min(kStrip, tile.cols - col);
        for (uint64_t c = 0; c < strip; c += dense ? strip : 1) {
          const Place3 at = At(tile.row + row, tile.col + col + c);
          auto done = array_->Read(at.matrix, {at.row, at.col, dense ? strip : 1, width},
                                   &buffer[c * width]);
          if (!done) return done;
        }
        for (uint64_t r = 0; r < rows; ++r) {
          float* line = out + (row + r) * tile.cols + col;
          for (uint64_t c = 0; c < strip; ++c) line[c] = buffer[c * width + r * step];
        }
      }
    }
    return {};
  }

  std::shared_ptr<const WeightArray> array_;
  uint64_t array_rows_, array_cols_;
  DType storage_;
  MatrixView view_;
};

}  // namespace

void TensorIndex::Add(const TensorRef& tensor) { tensors_.try_emplace(tensor.info().name, tensor); }

void TensorIndex::Add(const TensorFile& file) {
  for (size_t i = 0; i < file.tensors().size(); ++i) Add({&file, i});
}

std::optional<TensorRef> TensorIndex::Find(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  return found->second;
}

std::optional<TensorRef> TensorIndex::Find(std::string_view stem, std::string_view suffix) const {
  return Find(std::string(stem) + std::string(suffix));
}

Result<std::optional<Weight>> FindUnder(std::span<const QuantWords> alternatives, FindCodec find,
                                        const TensorRef& tensor, const TensorIndex& tensors) {
  auto first = find(tensor, tensors, alternatives.front());
  for (size_t i = 1; i < alternatives.size() && !first; ++i) {
    if (auto other = find(tensor, tensors, alternatives[i])) return other;
  }
  return first;
}

Result<std::optional<Weight>> FindWeight(const TensorRef& tensor, const TensorIndex& tensors,
                                         const QuantConfig& config) {
  const std::vector<QuantWords> alternatives = config.Of(ModuleOf(tensor.info().name));
  for (const FindCodec find : kCodecs) {
    auto weight = FindUnder(alternatives, find, tensor, tensors);
    if (!weight) return weight;
    if (!*weight) continue;
    if (auto sound = CheckCompanions(**weight, tensors, alternatives.front()); !sound) {
      return tl::make_unexpected(sound.error());
    }
    const auto elements = CheckedProduct((*weight)->shape);
    if (!elements) return Malformed(Place(tensor.info().name), "its shape overflows");
    (*weight)->bits_per_weight = BitsPerWeight(**weight, *elements);
    return weight;
  }
  if (!IsPlainFloat(tensor.info().dtype)) return std::optional<Weight>{};
  if (tensor.info().name.ends_with("centroids.weight")) {
    return Fail(ErrorCode::kUnsupported, Place(tensor.info().name),
                "a codebook (VPTQ), which is not read");
  }
  Weight plain = PlainWeightOf(tensor);
  if (alternatives.front().quantized == true && plain.shape.size() > 1) {
    return WrongCompanion(tensor,
                          fmt::format("scales as it is quantized ({})", alternatives.front().entry),
                          std::nullopt);
  }
  if (auto sound = CheckCompanions(plain, tensors, alternatives.front()); !sound) {
    return tl::make_unexpected(sound.error());
  }
  return plain;
}

Result<std::unique_ptr<MatrixSource>> OpenMatrix(const Weight& weight,
                                                 std::shared_ptr<const WeightArray> array,
                                                 const MatrixView& view) {
  assert(array != nullptr);
  if (auto fits = CheckView(weight.shape, view, Place(weight.name)); !fits) {
    return tl::make_unexpected(fits.error());
  }
  const size_t ndim = weight.shape.size();
  const uint64_t rows = weight.shape[ndim - 2], cols = weight.shape[ndim - 1];
  if (rows == 0 || cols == 0) return Malformed(Place(weight.name), "it has no elements");
  const bool straight = view.col_stride == 1 && view.row_stride % cols == 0;
  const bool turned = view.col_stride % cols == 0 && (view.rows - 1) * view.row_stride < cols;
  if (!straight && !turned && view.rows * view.cols != 0) {
    return Fail(ErrorCode::kUnsupported, Place(weight.name),
                fmt::format("a matrix with strides {} and {} crosses the rows of [{}]",
                            view.row_stride, view.col_stride, fmt::join(weight.shape, ", ")),
                "give the rule's layout in the tensor's own axes");
  }
  return std::make_unique<ViewedMatrix>(std::move(array), rows, cols, weight.parts[0].info().dtype,
                                        view);
}

}  // namespace moe
