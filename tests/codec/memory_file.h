#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/test_json.h"
#include "codec/codecs.h"

namespace moe {

/// A checkpoint file made of vectors. Tensors lie one byte off any alignment.
class MemoryFile : public TensorFile {
 public:
  template <class T>
  void Add(std::string name, DType dtype, std::vector<uint64_t> shape,
           const std::vector<T>& values) {
    AddBytes(std::move(name), dtype, std::move(shape), std::as_bytes(std::span(values)));
  }

  const std::filesystem::path& path() const override { return path_; }
  std::span<const TensorInfo> tensors() const override { return tensors_; }
  Result<TensorBytes> Bytes(size_t index) const override;

  TensorInfo& info(size_t index) { return tensors_[index]; }  ///< to break a header

 private:
  void AddBytes(std::string name, DType dtype, std::vector<uint64_t> shape,
                std::span<const std::byte> values);

  std::filesystem::path path_ = "memory";
  std::vector<TensorInfo> tensors_;
  std::vector<std::shared_ptr<std::vector<std::byte>>> bytes_;
};

/// What `find` says of the first tensor of `file`.
Result<std::optional<Weight>> FindFirst(FindCodec find, const MemoryFile& file,
                                        const Json& quantization = nullptr);

Result<std::shared_ptr<const WeightArray>> OpenParts(const Weight& weight);

/// Decodes matrix 0 .. matrices - 1 of `array` in tiles of tile_rows x tile_cols (the last ones
/// smaller) into one C-order array.
std::vector<float> ReadInTiles(const WeightArray& array, uint64_t matrices, uint64_t rows,
                               uint64_t cols, uint64_t tile_rows, uint64_t tile_cols);

}  // namespace moe
