#pragma once

#include <string>
#include <vector>

#include "moescope/model.h"
#include "pairs/model_pairs.h"
#include "verify/findings.h"

namespace moe {

/// A finding that is of no pair.
struct FileFinding {
  std::string name;  ///< tensor, shard, or entry of config.json
  PairFinding finding;
};

/// What is wrong with a checkpoint by itself: tensors that contradict each other or config.json,
/// scales of nothing, shards and tensors that differ from what the index says, entries of
/// config.json for modules that are not there.
std::vector<FileFinding> FileFindings(const Model& model);

/// Gate and up of an expert whose global scales differ.
std::vector<FileFinding> DifferentScales(const std::vector<CheckedPair>& checked);

/// Takes what mlx-lm has no use for out of the weights that are `missing` in a checkpoint of its
/// form.
std::vector<FileFinding> TakeDropped(const Model& original, const Model& quantized,
                                     std::vector<Unpaired>& missing);

}  // namespace moe
