#include "pairs/pair_work.h"

namespace moe {

uint64_t StoredBytesOf(const std::vector<WeightPair>& pairs) {
  uint64_t bytes = 0;
  for (const auto& [a, b] : pairs) bytes += a.stored_bytes() + b.stored_bytes();
  return bytes;
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
  return ViewOf(item.weight(), item.view, **array);
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
