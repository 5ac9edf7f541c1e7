#include "codec/tile_decoder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "checkpoint/names.h"
#include "codec/view.h"

namespace moe {
namespace {

/// A strided matrix in an array of [matrices, rows, cols].
class ViewedMatrix : public MatrixSource {
 public:
  ViewedMatrix(std::shared_ptr<const TileDecoder> decoder, uint64_t array_rows, uint64_t array_cols,
               DType storage, const MatrixView& view)
      : decoder_(std::move(decoder)),
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
      auto done = decoder_->Read(at.matrix, {at.row, at.col, step, tile.cols}, out + r * tile.cols);
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
          auto done = decoder_->Read(at.matrix, {at.row, at.col, dense ? strip : 1, width},
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

  std::shared_ptr<const TileDecoder> decoder_;
  uint64_t array_rows_, array_cols_;
  DType storage_;
  MatrixView view_;
};

/// What a matrix must know of its weight.
struct Outline {
  std::string name;
  std::vector<uint64_t> shape;
  DType storage;
};

class TiledArray : public WeightArray {
 public:
  TiledArray(const Outline& weight, std::shared_ptr<const TileDecoder> decoder)
      : weight_(weight), decoder_(std::move(decoder)) {}

  Result<std::unique_ptr<MatrixSource>> Matrix(const MatrixView& view) const override {
    const std::string place = TensorPlace(weight_.name);
    if (auto fits = CheckView(weight_.shape, view, place); !fits) {
      return tl::make_unexpected(fits.error());
    }
    const uint64_t rows = weight_.shape[weight_.shape.size() - 2], cols = weight_.shape.back();
    if (rows == 0 || cols == 0) return Malformed(place, "it has no elements");
    const bool straight = view.col_stride == 1 && view.row_stride % cols == 0;
    const bool turned = view.col_stride % cols == 0 && (view.rows - 1) * view.row_stride < cols;
    if (!straight && !turned && view.rows * view.cols != 0) {
      return Fail(ErrorCode::kUnsupported, place,
                  fmt::format("a matrix with strides {} and {} crosses the rows of [{}]",
                              view.row_stride, view.col_stride, fmt::join(weight_.shape, ", ")),
                  "give the rule's layout in the tensor's own axes");
    }
    return std::make_unique<ViewedMatrix>(decoder_, rows, cols, weight_.storage, view);
  }

 private:
  Outline weight_;
  std::shared_ptr<const TileDecoder> decoder_;
};

}  // namespace

OpenArray OpenTiled(const Weight& weight, OpenDecoder decoder) {
  return [outline = Outline{weight.name, weight.shape, weight.parts[0].info().dtype},
          decoder = std::move(decoder)](
             std::vector<TensorBytes> bytes) -> Result<std::shared_ptr<const WeightArray>> {
    auto opened = decoder(std::move(bytes));
    if (!opened) return tl::make_unexpected(opened.error());
    return std::make_shared<TiledArray>(outline, std::move(*opened));
  };
}

}  // namespace moe
