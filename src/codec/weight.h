#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
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

/// The decoded values of a weight, [matrices, rows, cols]: the axes before the last two are one.
///
/// Threads: const members may be called from any thread at once.
class WeightArray {
 public:
  virtual ~WeightArray() = default;

  /// Decodes `tile` of matrix number `matrix` to out[r * tile.cols + c], float32. The caller keeps
  /// within the weight's shape.
  virtual Result<void> Read(uint64_t matrix, const Tile& tile, float* out) const = 0;
};

/// A weight as the model knows it, whatever tensors hold it (formats.md section 11).
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

  /// Makes the decoder from the bytes of `parts`, in their order; checks what only values tell.
  /// Empty for plain floats, which OpenMatrix() reads by their tensor.
  std::function<Result<std::shared_ptr<const WeightArray>>(std::vector<TensorBytes>)> open = {};
};

class QuantConfig;

/// The weight whose payload is `tensor`, found by its companions; `config` must agree with them and
/// tells apart what they leave open.
/// nullopt: no codec takes it for a payload (a companion, an index, an unknown dtype).
/// kMalformed or kUnsupported: it is one, but cannot be decoded, or what is said about it does not
/// agree: names what was expected and found.
Result<std::optional<Weight>> FindWeight(const TensorRef& tensor, const TensorIndex& tensors,
                                         const QuantConfig& config);

/// The matrix `view` of an opened weight of `shape`; keeps `array` alive. kMalformed when the view
/// leaves the weight.
Result<std::unique_ptr<MatrixSource>> OpenMatrix(const Weight& weight,
                                                 std::shared_ptr<const WeightArray> array,
                                                 const MatrixView& view);

}  // namespace moe
