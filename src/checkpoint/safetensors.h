#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "moescope/checkpoint.h"
#include "moescope/error.h"

namespace moe {

/// Largest safetensors header accepted, in bytes; the same bound as the reference reader.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

/// Maps `path` and checks its whole header (checkpoints.md 1.2). kMalformed names the broken rule.
/// A dtype name that is not known becomes kOpaque; its size is what the offsets say.
Result<std::unique_ptr<TensorFile>> OpenSafetensors(const std::filesystem::path& path);

}  // namespace moe
