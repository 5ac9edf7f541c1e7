#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "moescope/checkpoint.h"

namespace moe {

/// GGUF versions 2 and 3, little-endian (formats.md section 8). Every count, length and offset is
/// checked against the file before anything is allocated. Shapes are turned to C order: the ggml
/// ne {H, I, E} is [E, I, H].
/// kUnsupported: big-endian files, version 1, type ids this version does not know (forks), and
/// files that are no checkpoint (imatrix, adapter, mmproj). kMalformed names the broken rule.
Result<std::unique_ptr<TensorFile>> OpenGguf(const std::filesystem::path& path);

/// Why a GGUF file (or a legacy imatrix .dat) is no checkpoint: "importance matrix (imatrix), not a
/// checkpoint"; "" for a checkpoint and for what can't be read.
std::string NoCheckpointReason(const std::filesystem::path& path);

/// Name of a part "PREFIX-00001-of-00003.gguf" whose sibling parts are not all in its folder: the
/// first that is missing; "" when nothing is.
std::string MissingGgufPart(const std::filesystem::path& path);

/// Checks the GGUF files that are to be read together (others are passed over) for split models
/// (formats.md 8.3). kNotFound names a missing part; kMalformed: the keys of a part contradict its
/// name, or its parts do not hold split.tensors.count tensors. A file whose header can't be read is
/// no fault here: opening it tells more.
Result<void> CheckGgufParts(std::span<const std::filesystem::path> files);

}  // namespace moe
