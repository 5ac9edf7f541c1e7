#include "quantize/write_weights.h"

#include <zlib.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "base/float_convert.h"
#include "base/little_endian.h"
#include "base/ordered_work.h"
#include "measure/encode.h"
#include "measure/kernels.h"
#include "measure/quant_metrics.h"
#include "model/work_weights.h"

namespace moe {
namespace {

/// Elements of a piece, unless a row has more: with their floats and bytes some 4 MiB a thread.
constexpr uint64_t kPieceElements = uint64_t{1} << 19;

/// Rows of a part of a weight.
struct Piece {
  const OutputWeight* weight = nullptr;
  size_t part = 0;
  uint64_t row = 0, rows = 0;

  const MlxPlan::Part& source() const { return weight->made.parts[part]; }
  uint64_t elements() const { return rows * weight->cols(); }
};

/// The pieces of the weights from number `first` on.
class Pieces {
 public:
  Pieces(const OutputPlan& plan, size_t first) : plan_(plan), first_(first) {
    begins_.push_back(0);
    for (size_t i = first; i < plan.weights.size(); ++i) {
      begins_.push_back(begins_.back() + CountOf(plan.weights[i]));
    }
  }

  size_t count() const { return begins_.back(); }

  Piece operator[](size_t number) const {
    const auto after = std::ranges::upper_bound(begins_, number);
    const auto at = static_cast<size_t>(after - begins_.begin()) - 1;
    const OutputWeight& weight = plan_.weights[first_ + at];
    const size_t within = number - begins_[at], slices = SlicesOf(weight);
    const uint64_t row = within % slices * RowsOf(weight);
    return {&weight, within / slices, row, std::min(RowsOf(weight), weight.part_rows() - row)};
  }

 private:
  static uint64_t RowsOf(const OutputWeight& weight) {
    return std::max<uint64_t>(1, kPieceElements / std::max<uint64_t>(1, weight.cols()));
  }
  static size_t SlicesOf(const OutputWeight& weight) {
    return std::max<size_t>(1, (weight.part_rows() + RowsOf(weight) - 1) / RowsOf(weight));
  }
  static size_t CountOf(const OutputWeight& weight) {
    return weight.made.parts.size() * SlicesOf(weight);
  }

  const OutputPlan& plan_;
  const size_t first_;
  std::vector<size_t> begins_;  // of each weight's pieces
};

float Rounded(float value, DType dtype) {
  if (dtype == DType::kF16) return RoundToHalf(value);
  return dtype == DType::kBF16 ? RoundToBFloat16(value) : value;
}

void RoundAll(std::span<float> values, DType dtype) {
  RoundToCompute(values.data(), values.size(), DefaultComputeDType(dtype));
}

/// As astype() of mlx makes them: in the dtype of the source, plus 1, in that of the model.
void Convert(const OutputWeight& weight, const Weight& source, std::span<float> values) {
  if (!source.is_plain()) RoundAll(values, weight.source_dtype);
  if (weight.made.plus_one) {
    for (float& value : values) value = Rounded(value + 1.0f, weight.source_dtype);
  }
  const bool is_exact = source.is_plain() && source.float_dtype == weight.made.dtype;
  if (!is_exact) RoundAll(values, weight.made.dtype);
}

void StoreFloats(std::span<const float> values, DType dtype, std::vector<std::byte>& out) {
  const size_t bytes = DTypeBits(dtype) / 8;
  out.resize(values.size() * bytes);
  for (size_t i = 0; i < values.size(); ++i) {
    std::byte* at = out.data() + i * bytes;
    if (dtype == DType::kBF16) {
      StoreLittleEndian(FloatToBFloat16(values[i]), at);
    } else if (dtype == DType::kF16) {
      StoreLittleEndian(FloatToHalf(values[i]), at);
    } else {
      StoreLittleEndian(std::bit_cast<uint32_t>(values[i]), at);
    }
  }
}

/// What a thread works in.
struct Buffers {
  std::vector<float> values, turned;
  std::vector<std::byte> bytes[3];  // of the weight's tensors
};

/// A piece that was written: of each tensor the digest of its bytes, and how many they are.
struct Written {
  WeightDigests digests;
  std::vector<uint64_t> bytes;
};

uint32_t DigestOf(std::span<const std::byte> bytes) {
  const auto* data = reinterpret_cast<const Bytef*>(bytes.data());
  return static_cast<uint32_t>(::crc32_z(0, data, bytes.size()));
}

class Work {
 public:
  Work(const OutputPlan& plan, size_t first, const WriteOptions& options,
       const SafetensorsWriter& files)
      : options_(options),
        files_(files),
        encode_(plan.search ? SearchGroups : EncodeGroups),
        pieces_(plan, first),
        weights_done_(first) {
    for (size_t i = first; i < plan.weights.size(); ++i) {
      for (const MlxPlan::Part& part : plan.weights[i].made.parts)
        weights_.Expect(*part.source->weight);
    }
    for (size_t i = 0; i < first; ++i) bytes_done_ += SourceBytes(plan.weights[i]);
  }

  Result<void> Run(const std::function<Result<void>(const WeightDigests&)>& on_done) {
    Result<void> failure;
    RunOrdered(
        pieces_.count(), options_.threads, [&](size_t i) { return Make(pieces_[i]); },
        [&](size_t i, const Result<Written>& written) {
          failure = written ? Consume(pieces_[i], *written, on_done)
                            : tl::make_unexpected(written.error());
          return failure.has_value();
        });
    return failure;
  }

 private:
  Result<Written> Make(const Piece& piece) {
    if (auto go_on = options_.stop.Check(); !go_on) return tl::make_unexpected(go_on.error());
    thread_local Buffers buffers;
    auto read = ReadValues(piece, buffers);
    if (!read) return tl::make_unexpected(read.error());
    for (const TensorRef& part : piece.source().source->weight->parts) {
      if (auto whole = part.file->CheckWhole(); !whole) return tl::make_unexpected(whole.error());
    }
    const std::span<float> values(buffers.values.data(), piece.elements());
    Convert(*piece.weight, *piece.source().source->weight, values);
    if (!piece.weight->scheme) {
      StoreFloats(values, piece.weight->made.dtype, buffers.bytes[0]);
    } else if (auto done = Encode(piece, values, buffers); !done) {
      return tl::make_unexpected(done.error());
    }
    return Write(piece, buffers);
  }

  Result<void> ReadValues(const Piece& piece, Buffers& buffers) {
    const Weight& weight = *piece.source().source->weight;
    const auto array = weights_.Get(weight);
    if (!array) return tl::make_unexpected(array.error());
    buffers.values.resize(piece.elements());
    if (buffers.values.empty()) return {};
    const MatrixView& view = piece.source().view;
    const auto matrix = (*array)->Matrix(view);
    if (matrix) {
      return (*matrix)->Read({piece.row, 0, piece.rows, view.cols}, buffers.values.data());
    }
    // Codes that are decoded by rows, and wanted by columns.
    const auto turned =
        (*array)->Matrix({view.cols, view.rows, view.offset, view.col_stride, view.row_stride});
    if (!turned) return tl::make_unexpected(matrix.error());
    buffers.turned.resize(piece.elements());
    auto done = (*turned)->Read({0, piece.row, view.cols, piece.rows}, buffers.turned.data());
    for (uint64_t r = 0; done && r < piece.rows; ++r) {
      for (uint64_t c = 0; c < view.cols; ++c) {
        buffers.values[r * view.cols + c] = buffers.turned[c * piece.rows + r];
      }
    }
    return done;
  }

  Result<void> Encode(const Piece& piece, std::span<const float> values, Buffers& buffers) const {
    const auto quantizer = QuantizerOf(*piece.weight);
    if (!quantizer) return tl::make_unexpected(quantizer.error());
    const size_t groups = values.size() / quantizer->group_size;
    const GroupBytes each = GroupBytesOf(*quantizer);
    auto& [codes, scales, biases] = buffers.bytes;
    codes.resize(groups * each.codes);
    scales.resize(groups * each.scale);
    biases.resize(groups * each.bias);
    encode_(*quantizer, values.data(), groups, {codes.data(), scales.data(), biases.data()});
    return {};
  }

  Result<Written> Write(const Piece& piece, const Buffers& buffers) const {
    const OutputWeight& weight = *piece.weight;
    Written written;
    for (size_t i = 0; i < weight.tensors; ++i) {
      const std::span<const std::byte> bytes = buffers.bytes[i];
      const uint64_t row = piece.part * weight.part_rows() + piece.row;
      // Rows are whole groups, so each takes as many bytes.
      const uint64_t offset = bytes.empty() ? 0 : row * (bytes.size() / piece.rows);
      auto done = files_.Write(weight.first_tensor + i, offset, bytes);
      if (!done) return tl::make_unexpected(done.error());
      written.digests.push_back(DigestOf(bytes));
      written.bytes.push_back(bytes.size());
    }
    return written;
  }

  /// On the calling thread, in order.
  Result<void> Consume(const Piece& piece, const Written& written,
                       const std::function<Result<void>(const WeightDigests&)>& on_done) {
    digests_.resize(written.digests.size());
    for (size_t i = 0; i < digests_.size(); ++i) {
      digests_[i] = static_cast<uint32_t>(
          ::crc32_combine(digests_[i], written.digests[i], static_cast<z_off_t>(written.bytes[i])));
    }
    const OutputWeight& weight = *piece.weight;
    if (piece.row + piece.rows == weight.part_rows()) weights_.Done(*piece.source().source->weight);
    Result<void> done;
    if (piece.part + 1 == weight.made.parts.size() &&
        piece.row + piece.rows == weight.part_rows()) {
      done = on_done(digests_);
      digests_.clear();
      ++weights_done_;
    }
    bytes_done_ += piece.source().source->weight->stored_bytes(piece.elements());
    if (options_.on_progress) options_.on_progress(weights_done_, bytes_done_);
    return done;
  }

  const WriteOptions& options_;
  const SafetensorsWriter& files_;
  void (*const encode_)(const Quantizer&, const float*, size_t, const EncodedGroups&);
  const Pieces pieces_;
  WorkWeights weights_;
  WeightDigests digests_;  // of the weight in work
  uint64_t weights_done_ = 0, bytes_done_ = 0;
};

}  // namespace

uint64_t SourceBytes(const OutputWeight& weight) {
  uint64_t bytes = 0;
  for (const MlxPlan::Part& part : weight.made.parts) {
    bytes += part.source->weight->stored_bytes(part.view.rows * part.view.cols);
  }
  return bytes;
}

Result<void> WriteWeights(const OutputPlan& plan, size_t first, const WriteOptions& options,
                          const SafetensorsWriter& files,
                          const std::function<Result<void>(const WeightDigests&)>& on_done) {
  return Work(plan, first, options, files).Run(on_done);
}

Result<WeightDigests> DigestsOf(const OutputPlan& plan, const OutputWeight& weight,
                                const SafetensorsWriter& files) {
  constexpr uint64_t kAtOnce = uint64_t{4} << 20;
  WeightDigests digests;
  std::vector<std::byte> bytes;
  for (size_t i = weight.first_tensor; i < weight.first_tensor + weight.tensors; ++i) {
    const uint64_t size = plan.tensors[i].bytes();
    uint32_t digest = 0;
    for (uint64_t at = 0; at < size; at += kAtOnce) {
      bytes.resize(std::min(kAtOnce, size - at));
      if (auto read = files.Read(i, at, bytes); !read) return tl::make_unexpected(read.error());
      const auto* data = reinterpret_cast<const Bytef*>(bytes.data());
      digest = static_cast<uint32_t>(::crc32_z(digest, data, bytes.size()));
    }
    digests.push_back(digest);
  }
  return digests;
}

}  // namespace moe
