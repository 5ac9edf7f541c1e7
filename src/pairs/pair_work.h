#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "base/ordered_work.h"
#include "model/work_weights.h"
#include "moescope/stop_token.h"
#include "pairs/model_pairs.h"

namespace moe {

/// How pairs are worked on.
struct PairWorkOptions {
  unsigned threads = 0;  ///< 0: one for each core
  StopToken stop;
  // From the calling thread, unless empty: so many pairs and stored bytes are to be done, and are
  // done by now.
  std::function<void(uint64_t pairs, uint64_t bytes)> begin;
  std::function<void(uint64_t pairs, uint64_t bytes)> progress;
};

uint64_t StoredBytesOf(const std::vector<WeightPair>& pairs);  ///< of both sides

/// The two matrices of a pair.
struct OpenPair {
  std::unique_ptr<MatrixSource> a, b;
};

/// The matrix of an item, its rows in the order of Hugging Face's files.
Result<std::unique_ptr<MatrixSource>> OpenItem(const WeightItem& item);

/// Opens the matrices of pairs; each weight once, until its last pair is done.
///
/// Threads: Open() may be called from any thread at once.
class PairReader {
 public:
  explicit PairReader(const std::vector<WeightPair>& pairs);
  Result<OpenPair> Open(const WeightPair& pair);
  /// No more will be asked for of this one.
  void Done(const WeightPair& pair);

 private:
  Result<std::unique_ptr<MatrixSource>> Open(const WeightItem& item);

  WorkWeights weights_;
};

/// make(pair, opened) for each pair on threads, consume(pair, what it made) on this one, in order.
/// Both return a Result; a pair whose values can't be decoded (kUnsupported) is consume's to tell,
/// any other error ends the work. kInterrupted: stopped.
template <class Make, class Consume>
Result<void> ForPairs(const std::vector<WeightPair>& pairs, const PairWorkOptions& options,
                      Make make, Consume consume) {
  using Made = decltype(make(pairs.front(), OpenPair()));
  PairReader reader(pairs);
  Result<void> done;
  uint64_t bytes = 0;
  if (options.begin) options.begin(pairs.size(), StoredBytesOf(pairs));
  const auto work = [&](size_t i) -> Made {
    if (auto go_on = options.stop.Check(); !go_on) return tl::make_unexpected(go_on.error());
    auto opened = reader.Open(pairs[i]);
    if (!opened) return tl::make_unexpected(opened.error());
    Made made = make(pairs[i], std::move(*opened));
    for (const WeightItem* item : {&pairs[i].a, &pairs[i].b}) {
      auto whole = item->tensor->ref.file->CheckWhole();
      if (!whole) return tl::make_unexpected(whole.error());
    }
    return made;
  };
  const auto take = [&](size_t i, Made made) {
    reader.Done(pairs[i]);
    bytes += pairs[i].a.stored_bytes() + pairs[i].b.stored_bytes();
    if (!made && made.error().code != ErrorCode::kUnsupported) {
      done = tl::make_unexpected(made.error());
      return false;
    }
    done = consume(pairs[i], std::move(made));
    if (options.progress) options.progress(i + 1, bytes);
    return done.has_value();
  };
  RunOrdered(pairs.size(), ThreadCount(options.threads), work, take);
  return done;
}

}  // namespace moe
