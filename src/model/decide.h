#pragma once

#include "checkpoint/shard_index.h"
#include "model/expert_promise.h"
#include "model/open_checkpoint.h"
#include "moescope/experts.h"

namespace moe {

/// Fills ModelTensor::found of all tensors: what the extractor says of each on its own; a companion
/// is that and nothing else, and what is left out is role "other". Tensors whose shapes contradict
/// each other or the config are refused: no banks, and the reason (ShapeJudge). So are those that
/// hold the same matrix (DoubleClaims).
/// Fails as Extractor::Extract does, and when it is stopped.
Result<void> DecideAll(Checkpoint& checkpoint, const Extractor& extractor, const StopToken& stop);

/// What config, routers and the index (if it was used for the scan) promise, and what is there.
Result<ExpertPromise> PromiseOf(const Checkpoint& decided, const IndexSummary& index,
                                const Extractor& extractor);

}  // namespace moe
