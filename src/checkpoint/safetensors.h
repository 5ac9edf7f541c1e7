#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/byte_source.h"
#include "moescope/checkpoint.h"
#include "moescope/dtype.h"
#include "moescope/error.h"

namespace moe {

/// Largest safetensors header accepted, in bytes; the same bound as the reference reader.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

/// Checks the whole header of `file` (checkpoints.md 1.2). kMalformed names the broken rule.
/// A dtype name that is not known becomes kOpaque; its size is what the offsets say.
Result<std::unique_ptr<TensorFile>> OpenSafetensors(std::shared_ptr<const ByteSource> file);

/// "BF16"; "" for a dtype that the format has not.
std::string_view SafetensorsName(DType dtype);

}  // namespace moe
