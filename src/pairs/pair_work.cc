#include "pairs/pair_work.h"

namespace moe {
namespace {

/// A matrix whose rows lie with the halves of each head interleaved, in their usual order.
class HalvesOfHeads : public MatrixSource {
 public:
  HalvesOfHeads(std::unique_ptr<MatrixSource> stored, uint64_t heads)
      : stored_(std::move(stored)), head_(stored_->rows() / heads) {}

  uint64_t rows() const override { return stored_->rows(); }
  uint64_t cols() const override { return stored_->cols(); }
  DType storage_dtype() const override { return stored_->storage_dtype(); }
  DType value_dtype() const override { return stored_->value_dtype(); }

  Result<void> Read(const Tile& tile, float* out) const override {
    for (uint64_t i = 0; i < tile.rows; ++i) {
      const uint64_t row = tile.row + i, in_head = row % head_, half = head_ / 2;
      const uint64_t place = row - in_head + 2 * (in_head % half) + in_head / half;
      auto read = stored_->Read({place, tile.col, 1, tile.cols}, out + i * tile.cols);
      if (!read) return read;
    }
    return {};
  }

 private:
  std::unique_ptr<MatrixSource> stored_;
  uint64_t head_;  // rows of one
};

Result<std::unique_ptr<MatrixSource>> InUsualOrder(const WeightItem& item,
                                                   Result<std::unique_ptr<MatrixSource>> stored) {
  if (!stored || item.interleaved_heads == 0) return stored;
  return std::make_unique<HalvesOfHeads>(std::move(*stored), item.interleaved_heads);
}

}  // namespace

uint64_t StoredBytesOf(const std::vector<WeightPair>& pairs) {
  uint64_t bytes = 0;
  for (const auto& [a, b] : pairs) bytes += a.stored_bytes() + b.stored_bytes();
  return bytes;
}

Result<std::unique_ptr<MatrixSource>> OpenItem(const WeightItem& item) {
  return InUsualOrder(item, OpenMatrix(item.weight(), item.view));
}

PairReader::PairReader(const std::vector<WeightPair>& pairs) {
  for (const auto& [a, b] : pairs) {
    weights_.Expect(a.weight());
    weights_.Expect(b.weight());
  }
}

Result<std::unique_ptr<MatrixSource>> PairReader::Open(const WeightItem& item) {
  const auto array = weights_.Get(item.weight());
  if (!array) return tl::make_unexpected(array.error());
  return InUsualOrder(item, ViewOf(item.weight(), item.view, **array));
}

Result<OpenPair> PairReader::Open(const WeightPair& pair) {
  auto a = Open(pair.a);
  if (!a) return tl::make_unexpected(a.error());
  auto b = Open(pair.b);
  if (!b) return tl::make_unexpected(b.error());
  return OpenPair{std::move(*a), std::move(*b)};
}

void PairReader::Done(const WeightPair& pair) {
  weights_.Done(pair.a.weight());
  weights_.Done(pair.b.weight());
}

}  // namespace moe
