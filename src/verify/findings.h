#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pairs/pair_work.h"
#include "verify/check_pair.h"

namespace moe {

/// What is wrong with a weight.
enum class PairFindingKind {
  kNone,
  kNonfinite,           ///< NaN or Inf where the original has none
  kZeroedCodes,         ///< all codes are 0, or all values of a float
  kZeroedScales,        ///< all scales are 0
  kDeadRows,            ///< rows of zeros
  kTruncated,           ///< the last rows are zeros
  kWrongSignBiases,     ///< affine's biases have the other sign
  kPowerOfTwo,          ///< scales are off by a power of two
  kScaled,              ///< all values are off by another factor
  kWrongSign,           ///< all values have the other sign
  kSwappedProjections,  ///< holds another projection of its expert: gate is up
  kPermutedExperts,     ///< holds another expert, whose own place holds something else, too
  kDuplicatedExpert,    ///< holds another expert, which is in its own place as well
  kWrongLayer,          ///< holds a matrix of another layer
  kOtherMatrix,         ///< holds another weight of the model
  kTransposed,
  kReversedRows,
  kReversedColumns,
  kSwappedNibbles,   ///< the two codes of each byte changed places
  kUnrelated,        ///< nothing of the original that was found
  kOtherShape,       ///< rows and columns are others
  kCodesDiffer,      ///< some codes or scales are not those of the encoder that made the others
  kChangedCopy,      ///< a float that should be a copy of the original's
  kLargeError,       ///< beyond what its scheme makes of these weights
  kLargerError,      ///< larger than plain rounding makes it, as calibrated encoders do: no fault
  kRoundedCopy,      ///< a copy that was rounded once more: no fault
  kOrphanedScales,   ///< scales without codes
  kContradiction,    ///< its tensors, or they and config.json, contradict each other
  kDifferentScales,  ///< global scales of gate and up, which vLLM fuses, differ: no fault by itself
  kRotaryOrder,      ///< q or k in llama.cpp's order for rotary embeddings: no fault
  kDropped,          ///< mlx-lm has no use for it: no fault
  kMissingShard,     ///< the index names it, and it is not there
  kMissingTensor,    ///< the index names it, and no shard has it
  kUnlistedTensor,   ///< a shard has it, and the index does not name it
  kUnlistedShard,    ///< mlx-lm reads it, and the index does not name it
  kUnusedEntry,      ///< config.json quantizes a module that is not there: no fault
};
std::string_view FindingName(PairFindingKind kind);  ///< "permuted_experts"; "" of kNone
bool IsFault(PairFindingKind kind);

struct PairFinding {
  PairFindingKind kind = PairFindingKind::kNone;
  std::string detail;  ///< one clause: "holds layer 0 expert 3 down_proj"
  std::string origin;  ///< of the original that it holds; "": none
};

/// A pair and what its check gave.
struct CheckedPair {
  const WeightPair* pair = nullptr;
  PairCheck check;
  PairFinding finding;
};

/// Why the suspects among `checked` are not what they should be: by what is stored of them, by
/// their numbers, by where else in the original their sketch is found, and by reading them in other
/// orders. Fails when they can't be read again; kInterrupted.
Result<void> Diagnose(std::vector<CheckedPair>& checked, const Encodings& encodings,
                      const VerifyOptions& options);

/// The finding of a pair of different shapes.
Result<PairFinding> DiagnoseShape(const WeightPair& pair);

}  // namespace moe
