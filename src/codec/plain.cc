#include "codec/plain.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <utility>

#include "base/checked.h"
#include "base/float_convert.h"
#include "base/widen.h"
#include "checkpoint/names.h"
#include "codec/codecs.h"
#include "codec/part_layout.h"
#include "codec/scaled_codes.h"
#include "codec/view.h"

namespace moe {
namespace {

uint16_t SwapBytes(uint16_t raw) { return __builtin_bswap16(raw); }
uint32_t SwapBytes(uint32_t raw) { return __builtin_bswap32(raw); }
uint64_t SwapBytes(uint64_t raw) { return __builtin_bswap64(raw); }

float FromDouble(uint64_t raw) { return static_cast<float>(std::bit_cast<double>(raw)); }
float FromFloat(uint32_t raw) { return std::bit_cast<float>(raw); }

/// Decodes `count` elements, `step` bytes apart, to out[0, count).
using DecodeRun = void (*)(const std::byte* first, size_t step, size_t count, float* out);

template <class Raw, float (*kDecode)(Raw), bool kSwap>
void Decode(const std::byte* first, size_t step, size_t count, float* out) {
  const auto element = [first](size_t byte) {
    Raw raw;
    std::memcpy(&raw, first + byte, sizeof raw);  // files align nothing
    return kDecode(kSwap ? SwapBytes(raw) : raw);
  };
  if (step == sizeof(Raw)) {  // a constant step is what compilers turn into SIMD
    for (size_t i = 0; i < count; ++i) out[i] = element(i * sizeof(Raw));
  } else {
    for (size_t i = 0; i < count; ++i) out[i] = element(i * step);
  }
}

/// The same for a type in the machine's byte order whose consecutive elements kWiden() does faster.
template <class Raw, float (*kDecode)(Raw), void (*kWiden)(const std::byte*, size_t, float*)>
void DecodeOrWiden(const std::byte* first, size_t step, size_t count, float* out) {
  if (step == sizeof(Raw)) return kWiden(first, count, out);
  Decode<Raw, kDecode, false>(first, step, count, out);
}

void CopyFloats(const std::byte* in, size_t count, float* out) {
  std::copy_n(in, count * sizeof(float), reinterpret_cast<std::byte*>(out));  // none may be null
}

struct PlainType {
  DType dtype;
  DecodeRun native, swapped;
};

constexpr PlainType kPlainTypes[] = {
    {DType::kF64, Decode<uint64_t, FromDouble, false>, Decode<uint64_t, FromDouble, true>},
    {DType::kF32, DecodeOrWiden<uint32_t, FromFloat, CopyFloats>,
     Decode<uint32_t, FromFloat, true>},
    {DType::kF16, DecodeOrWiden<uint16_t, HalfToFloat, WidenHalf>,
     Decode<uint16_t, HalfToFloat, true>},
    {DType::kBF16, DecodeOrWiden<uint16_t, BFloat16ToFloat, WidenBFloat16>,
     Decode<uint16_t, BFloat16ToFloat, true>},
};

DecodeRun FindDecoder(const TensorInfo& tensor) {
  const auto type = std::find_if(std::begin(kPlainTypes), std::end(kPlainTypes),
                                 [&](const PlainType& row) { return row.dtype == tensor.dtype; });
  assert(type != std::end(kPlainTypes));
  return tensor.byte_swapped ? type->swapped : type->native;
}

/// Element (r, c) lies at file position offset + r * row_step + c * col_step, in elements.
struct FileSteps {
  uint64_t offset = 0, row_step = 0, col_step = 0;
};

/// The axis that `step` logical elements move along, and how far: `step` = count * its C stride.
struct AxisMove {
  size_t axis = 0;
  uint64_t count = 0;
};

/// Moving `times` times by `step` from `index`, along one axis and without a carry; false if that
/// needs several axes. `c_strides` are the logical (C order) ones.
bool FindMove(std::span<const uint64_t> shape, std::span<const uint64_t> c_strides,
              std::span<const uint64_t> index, uint64_t step, uint64_t times, AxisMove& move) {
  if (step == 0 || times == 0) return true;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    const uint64_t count = step / c_strides[axis];
    const uint64_t room = shape[axis] - 1 - index[axis];
    if (count > 0 && step % c_strides[axis] == 0 && count <= room / times) {
      move = {axis, count};
      return true;
    }
  }
  return false;
}

/// Where the view of a Fortran-order tensor (all axes > 0) lies in the file.
Result<FileSteps> FortranSteps(const TensorInfo& tensor, const MatrixView& view) {
  const std::vector<uint64_t>& shape = tensor.shape;
  std::vector<uint64_t> c_strides(shape.size(), 1), file_strides(shape.size(), 1);
  for (size_t i = shape.size() - 1; i > 0; --i) c_strides[i - 1] = c_strides[i] * shape[i];
  for (size_t i = 1; i < shape.size(); ++i) file_strides[i] = file_strides[i - 1] * shape[i - 1];

  FileSteps steps;
  std::vector<uint64_t> index(shape.size());
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    index[axis] = view.offset / c_strides[axis] % shape[axis];
    steps.offset += index[axis] * file_strides[axis];
  }
  AxisMove row, col;
  bool found = FindMove(shape, c_strides, index, view.row_stride, view.rows - 1, row);
  // Rows and columns may share an axis: the columns start where the last row stands.
  index[row.axis] += row.count * (view.rows - 1);
  found = found && FindMove(shape, c_strides, index, view.col_stride, view.cols - 1, col);
  if (!found) {
    return Fail(ErrorCode::kUnsupported, TensorPlace(tensor.name),
                "the matrix crosses axes of a Fortran-order array",
                "save the array in C order (numpy.ascontiguousarray)");
  }
  steps.row_step = row.count * file_strides[row.axis];
  steps.col_step = col.count * file_strides[col.axis];
  return steps;
}

/// Where a view that keeps within the tensor lies in the file.
Result<FileSteps> StepsOf(const TensorInfo& tensor, const MatrixView& view) {
  const bool empty = view.rows == 0 || view.cols == 0;
  if (tensor.fortran_order && tensor.shape.size() > 1 && !empty) return FortranSteps(tensor, view);
  return FileSteps{view.offset, view.row_stride, view.col_stride};
}

/// Walked in contiguous runs where the rows or the columns of the view are contiguous in the file,
/// else element by element. No allocation in Read().
class PlainMatrix : public MatrixSource {
 public:
  PlainMatrix(const TensorInfo& tensor, TensorBytes bytes, const MatrixView& view,
              const FileSteps& steps)
      : rows_(view.rows),
        cols_(view.cols),
        dtype_(tensor.dtype),
        decode_(FindDecoder(tensor)),
        element_bytes_(DTypeBits(tensor.dtype) / 8),
        steps_(steps),
        bytes_(std::move(bytes)) {}

  uint64_t rows() const override { return rows_; }
  uint64_t cols() const override { return cols_; }
  DType storage_dtype() const override { return dtype_; }

  Result<void> Read(const Tile& tile, float* out) const override {
    assert(tile.row + tile.rows <= rows_ && tile.col + tile.cols <= cols_);
    if (steps_.row_step == 1 && steps_.col_step != 1) {
      ReadTransposed(tile, out);
    } else {
      for (uint64_t r = 0; r < tile.rows; ++r) {
        decode_(At(tile.row + r, tile.col), steps_.col_step * element_bytes_, tile.cols,
                out + r * tile.cols);
      }
    }
    return {};
  }

 private:
  const std::byte* At(uint64_t row, uint64_t col) const {
    const uint64_t position = steps_.offset + row * steps_.row_step + col * steps_.col_step;
    return bytes_.data.data() + position * element_bytes_;
  }

  /// A column of the view is contiguous in the file: decodes strips of columns and turns them.
  void ReadTransposed(const Tile& tile, float* out) const {
    constexpr uint64_t kRun = 256;   // elements read from one place
    constexpr uint64_t kStrip = 16;  // floats written to one place: a cache line
    std::array<float, kRun * kStrip> buffer;
    for (uint64_t row = 0; row < tile.rows; row += kRun) {
      const uint64_t run = std::min(kRun, tile.rows - row);
      for (uint64_t col = 0; col < tile.cols; col += kStrip) {
        const uint64_t strip = std::min(kStrip, tile.cols - col);
        // Columns lie pages apart, where the CPU does not look ahead by itself.
        for (uint64_t c = col + strip; c < std::min(col + 2 * kStrip, tile.cols); ++c) {
          for (uint64_t byte = 0; byte < run * element_bytes_; byte += 64) {
            __builtin_prefetch(At(tile.row + row, tile.col + c) + byte);
          }
        }
        for (uint64_t c = 0; c < strip; ++c) {
          decode_(At(tile.row + row, tile.col + col + c), element_bytes_, run, &buffer[c * kRun]);
        }
        for (uint64_t r = 0; r < run; ++r) {
          float* line = out + (row + r) * tile.cols + col;
          for (uint64_t c = 0; c < strip; ++c) line[c] = buffer[c * kRun + r];
        }
      }
    }
  }

  uint64_t rows_, cols_;
  DType dtype_;
  DecodeRun decode_;
  size_t element_bytes_;
  FileSteps steps_;
  TensorBytes bytes_;
};

/// The bytes of a matrix: those of each of its rows, or of each of its columns if these lie closer.
std::vector<PartRange> RangesOfFloats(const TensorInfo& tensor, const MatrixView& view) {
  struct Axis {
    uint64_t count, step;
  };
  RangeList ranges;
  if (!CheckView(tensor.shape, view, "") || view.rows == 0 || view.cols == 0) return ranges.Take();
  const auto steps = StepsOf(tensor, view);
  if (!steps) return ranges.Take();
  Axis inner{view.cols, steps->col_step}, outer{view.rows, steps->row_step};
  if (inner.step > outer.step) std::swap(inner, outer);
  const uint64_t bytes = DTypeBits(tensor.dtype) / 8, run = (inner.count - 1) * inner.step + 1;
  for (uint64_t i = 0; i < outer.count; ++i) {
    const uint64_t begin = steps->offset + i * outer.step;
    ranges.Add(0, begin * bytes, (begin + run) * bytes);
  }
  return ranges.Take();
}

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

class PlainArray : public WeightArray {
 public:
  PlainArray(TensorInfo tensor, TensorBytes bytes)
      : tensor_(std::move(tensor)), bytes_(std::move(bytes)) {}

  Result<std::unique_ptr<MatrixSource>> Matrix(const MatrixView& view) const override {
    if (auto fits = CheckView(tensor_.shape, view, TensorPlace(tensor_.name)); !fits) {
      return tl::make_unexpected(fits.error());
    }
    const auto steps = StepsOf(tensor_, view);
    if (!steps) return tl::make_unexpected(steps.error());
    return std::make_unique<PlainMatrix>(tensor_, bytes_, view, *steps);
  }

 private:
  TensorInfo tensor_;
  TensorBytes bytes_;
};

}  // namespace

Result<std::shared_ptr<const WeightArray>> OpenPlainFloats(const TensorInfo& tensor,
                                                           TensorBytes bytes) {
  if (!IsPlainFloat(tensor.dtype)) {
    return Fail(ErrorCode::kUnsupported, TensorPlace(tensor.name),
                fmt::format("{} elements are no weights by themselves", tensor.dtype_text));
  }
  if (auto fits = CheckBytes(tensor, bytes); !fits) return tl::make_unexpected(fits.error());
  return std::make_shared<PlainArray>(tensor, std::move(bytes));
}

Result<std::optional<Weight>> FindPlainFloats(const TensorRef& payload, const TensorIndex&,
                                              const QuantWords& words) {
  const TensorInfo& info = payload.info();
  if (!IsPlainFloat(info.dtype)) return std::optional<Weight>{};
  if (info.name.ends_with("centroids.weight")) {
    return Fail(ErrorCode::kUnsupported, TensorPlace(info.name),
                "a codebook (VPTQ), which is not read");
  }
  if (words.quantized == true && info.shape.size() > 1) {
    return WrongCompanion(payload, fmt::format("scales as it is quantized ({})", words.entry),
                          std::nullopt);
  }
  return Weight{
      .name = info.name,
      .shape = info.shape,
      .storage = std::string(DTypeName(info.dtype)),
      .bits_per_weight = static_cast<double>(DTypeBits(info.dtype)),
      .float_dtype = info.dtype,
      .parts = {payload},
      .open =
          [payload](std::vector<TensorBytes> bytes) {
            return OpenPlainFloats(payload.info(), std::move(bytes.front()));
          },
      .ranges_of =
          [payload](const MatrixView& view) { return RangesOfFloats(payload.info(), view); }};
}

}  // namespace moe
