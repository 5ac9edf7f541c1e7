#pragma once

#include <functional>
#include <vector>

#include "checkpoint/shard_index.h"
#include "model/expert_promise.h"
#include "model/open_checkpoint.h"
#include "moescope/experts.h"

namespace moe {

/// What the extractor says of one tensor on its own; a companion is that and nothing else, and what
/// is left out is role "other".
Result<Extraction> Decide(const Checkpoint& checkpoint, const Extractor& extractor, size_t file,
                          size_t tensor);

/// For each file its tensors, in order. Tensors whose shapes contradict each other or the config
/// are refused: no banks, and the reason (ShapeJudge). So are those that hold the same matrix
/// (DoubleClaims).
/// Fails as Extractor::Extract does, and when `stopped` says so (kInterrupted).
Result<std::vector<std::vector<Extraction>>> DecideAll(const Checkpoint& checkpoint,
                                                       const Extractor& extractor,
                                                       const std::function<bool()>& stopped);

/// What config, routers and the index (if it was used for the scan) promise, and what is there.
Result<ExpertPromise> PromiseOf(const Checkpoint& checkpoint, const IndexSummary& index,
                                const Extractor& extractor,
                                const std::vector<std::vector<Extraction>>& decided);

}  // namespace moe
