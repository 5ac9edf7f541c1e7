#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/byte_source.h"
#include "moescope/checkpoint.h"

namespace moe {

/// GGUF versions 2 and 3, little-endian (checkpoints.md section 8). Every count, length and offset
/// is checked against the file before anything is allocated. Shapes are turned to C order: the ggml
/// ne {H, I, E} is [E, I, H].
/// kUnsupported: big-endian files, version 1, type ids this version does not know (forks), and
/// files that are no checkpoint (imatrix, adapter, mmproj). kMalformed names the broken rule.
Result<std::unique_ptr<TensorFile>> OpenGguf(std::shared_ptr<const ByteSource> file);

/// The same of a file that is an importance matrix (general.type "imatrix"); kUnsupported: another.
Result<std::unique_ptr<TensorFile>> OpenGgufImatrix(std::shared_ptr<const ByteSource> file);

/// Why a GGUF file (or a legacy imatrix .dat) is no checkpoint: "importance matrix (imatrix), not a
/// checkpoint"; "" for a checkpoint and for what can't be read.
std::string NoCheckpointReason(const std::filesystem::path& path);

/// GGUF files that can't be read, and why.
struct GgufFault {
  std::vector<std::filesystem::path> files;
  Error error;
};

/// Looks at the GGUF files among `files`, which are to be read together, for split models
/// (checkpoints.md 8.3): a part whose keys contradict its name or that has lost its name, and whole
/// sets of parts that do not hold split.tensors.count tensors. A file whose header can't be read is
/// no fault here: opening it tells more.
std::vector<GgufFault> FindGgufFaults(std::span<const std::filesystem::path> files);

}  // namespace moe
