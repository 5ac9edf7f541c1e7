#include "codec/memory_file.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/test_json.h"
#include "codec/companions.h"

namespace moe {

void MemoryFile::AddBytes(std::string name, DType dtype, std::vector<uint64_t> shape,
                          std::span<const std::byte> values) {
  TensorInfo info;
  info.name = std::move(name);
  info.dtype = dtype;
  info.dtype_text = DTypeName(dtype);
  info.shape = std::move(shape);
  info.nbytes = values.size();
  uint64_t needed = DTypeBits(dtype);
  for (const uint64_t size : info.shape) needed *= size;
  EXPECT_EQ(info.nbytes, needed / 8) << info.name;
  auto storage = std::make_shared<std::vector<std::byte>>(info.nbytes + 1);
  std::ranges::copy(values, storage->begin() + 1);
  tensors_.push_back(std::move(info));
  bytes_.push_back(std::move(storage));
}

Result<TensorBytes> MemoryFile::Bytes(size_t index) const {
  return TensorBytes{std::span<const std::byte>(*bytes_[index]).subspan(1), bytes_[index]};
}

Result<std::optional<Weight>> FindFirst(FindCodec find, const MemoryFile& file,
                                        const Json& quantization) {
  TensorIndex tensors;
  tensors.Add(file);
  const QuantConfig config(quantization);
  return FindUnder(config.Of(ModuleOf(file.tensors()[0].name)), find, TensorRef{&file, 0}, tensors);
}

Result<std::shared_ptr<const WeightArray>> OpenParts(const Weight& weight) {
  return weight.open(*ReadParts(weight));
}

std::vector<float> ReadInTiles(const WeightArray& array, uint64_t matrices, uint64_t rows,
                               uint64_t cols, uint64_t tile_rows, uint64_t tile_cols) {
  std::vector<float> all(matrices * rows * cols);
  for (uint64_t m = 0; m < matrices; ++m) {
    const auto matrix = array.Matrix({rows, cols, m * rows * cols, cols, 1});
    EXPECT_TRUE(matrix.has_value()) << matrix.error().Text();
    if (!matrix) continue;
    for (uint64_t r = 0; r < rows; r += tile_rows) {
      for (uint64_t c = 0; c < cols; c += tile_cols) {
        const Tile tile{r, c, std::min(tile_rows, rows - r), std::min(tile_cols, cols - c)};
        std::vector<float> part(tile.rows * tile.cols);
        EXPECT_TRUE((*matrix)->Read(tile, part.data()).has_value());
        for (uint64_t i = 0; i < part.size(); ++i) {
          all[(m * rows + r + i / tile.cols) * cols + c + i % tile.cols] = part[i];
        }
      }
    }
  }
  return all;
}

}  // namespace moe
