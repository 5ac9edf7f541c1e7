#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/safetensors_writer.h"
#include "moescope/stop_token.h"
#include "quantize/output_plan.h"

namespace moe {

/// CRC-32 (zlib's) of the bytes of each tensor of a weight.
using WeightDigests = std::vector<uint32_t>;

struct WriteOptions {
  unsigned threads = 1;
  StopToken stop;
  /// After each weight and between: weights done, bytes of the source read. May be null.
  std::function<void(uint64_t weights, uint64_t bytes)> on_progress;
};

/// Bytes of the source that a weight is made of.
uint64_t SourceBytes(const OutputWeight& weight);

/// Reads the weights of `plan` from number `first` on, a piece of rows at a time, quantizes and
/// writes them: what lies in the files depends on the plan alone. `on_done(digests)` is told of
/// each weight in their order, on the calling thread.
Result<void> WriteWeights(const OutputPlan& plan, size_t first, const WriteOptions& options,
                          const SafetensorsWriter& files,
                          const std::function<Result<void>(const WeightDigests&)>& on_done);

/// The digests of a weight as the files have it now.
Result<WeightDigests> DigestsOf(const OutputPlan& plan, const OutputWeight& weight,
                                const SafetensorsWriter& files);

}  // namespace moe
