#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "moescope/checkpoint.h"
#include "moescope/matrix.h"
#include "moescope/matrix_view.h"

namespace moe {

/// A tensor of an open file.
struct TensorRef {
  const TensorFile* file = nullptr;
  size_t index = 0;
  const TensorInfo& info() const { return file->tensors()[index]; }
};

/// The tensors of a checkpoint by name, over all of its files. Views into the files, which must
/// outlive it.
class TensorIndex {
 public:
  /// Of tensors that have one name the first counts.
  void Add(const TensorRef& tensor);
  void Add(const TensorFile& file);  ///< all of its tensors
  std::optional<TensorRef> Find(std::string_view name) const;
  /// Find(stem + suffix).
  std::optional<TensorRef> Find(std::string_view stem, std::string_view suffix) const;

 private:
  std::unordered_map<std::string_view, TensorRef> tensors_;
};

/// The values of a weight whose bytes are at hand.
///
/// Threads: const members may be called from any thread at once.
class WeightArray {
 public:
  virtual ~WeightArray() = default;

  /// The matrix `view` of the decoded array, which keeps the bytes alive. kMalformed when the view
  /// leaves the weight; kUnsupported when it crosses rows that are decoded as a whole.
  virtual Result<std::unique_ptr<MatrixSource>> Matrix(const MatrixView& view) const = 0;
};

/// Bytes [begin, end) of parts[part] of a weight.
struct PartRange {
  size_t part = 0;
  uint64_t begin = 0, end = 0;
};

/// The bytes of a weight's parts that its matrix `view` is made of, and those that opening looks
/// at: sorted by part and place; ranges that touch are one. None for a view that leaves the weight.
using RangesOfMatrix = std::function<std::vector<PartRange>(const MatrixView& view)>;

/// Makes the values of a weight from the bytes of its parts, in their order; checks what only
/// values tell.
using OpenArray =
    std::function<Result<std::shared_ptr<const WeightArray>>(std::vector<TensorBytes>)>;

/// A weight as the model knows it, whatever tensors hold it: plain floats, or codes with scales.
struct Weight {
  /// The module's "X.weight"; a stack without suffix: "X".
  std::string name = {};
  /// Of the decoded array; the last two axes as the scheme decodes them.
  std::vector<uint64_t> shape = {};
  /// The scheme: "bfloat16", "fp8_block128", "affine_q4_g64", "gguf_q4_K".
  std::string storage = {};
  double bits_per_weight = 0;          ///< of all parts, scales and zero points too
  DType float_dtype = DType::kOpaque;  ///< of the scales where they are 16-bit floats, else kOpaque
  std::vector<TensorRef> parts = {};   ///< the payload first, then its companions
  OpenArray open = {};                 ///< of `parts`
  RangesOfMatrix ranges_of = {};       ///< of `parts`, told without reading them

  /// Floats as they are, which nothing scales.
  bool is_plain() const { return parts.size() == 1 && IsPlainFloat(parts.front().info().dtype); }
  /// Of so many of its elements, with their share of scales and zero points.
  uint64_t stored_bytes(uint64_t elements) const {
    return static_cast<uint64_t>(static_cast<double>(elements) * bits_per_weight / 8);
  }
};

/// The weight whose payload is `tensor`, found by its companions, of a model without a config.json
/// that says more.
/// nullopt: no codec takes it for a payload (a companion, an index, an unknown dtype).
/// kMalformed or kUnsupported: it is one, but cannot be decoded, or its tensors do not agree: names
/// what was expected and found.
Result<std::optional<Weight>> FindWeight(const TensorRef& tensor, const TensorIndex& tensors);

/// The bytes of `weight.parts`, in their order.
Result<std::vector<TensorBytes>> ReadParts(const Weight& weight);

/// One matrix of `weight`: its parts read, opened, and viewed. Who reads several opens once.
Result<std::unique_ptr<MatrixSource>> OpenMatrix(const Weight& weight, const MatrixView& view);

}  // namespace moe
