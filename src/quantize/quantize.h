#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "quantize/output_plan.h"
#include "quantize/write_weights.h"

namespace moe {

struct QuantizeOptions {
  std::filesystem::path out;  ///< the new folder; one that is there is empty
  std::string name;           ///< what the source is called: "Qwen/Qwen3-30B-A3B"
  bool resume = false;        ///< goes on where a run that ended early has stopped
  WriteOptions write;
};

struct QuantizeReport {
  uint64_t weights_kept = 0;  ///< that an earlier run had written already
  double seconds = 0;
};

/// Where a checkpoint is written before it takes its name: OUT.unfinished.
std::filesystem::path UnfinishedFolder(const std::filesystem::path& out);

/// kBadArgument: the folder is there and not empty; or `resume` is not set, and another run is
/// writing an unfinished one, or has left it.
Result<void> CheckOut(const QuantizeOptions& options);

/// Writes the MLX checkpoint `plan` of `model`: all of it in OUT.unfinished, which takes the name
/// OUT when it is whole. What is there after an error can be resumed.
Result<QuantizeReport> Quantize(const Model& model, const OutputPlan& plan,
                                const OutputChoice& choice, const QuantizeOptions& options);

}  // namespace moe
