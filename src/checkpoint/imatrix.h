#pragma once

#include <filesystem>

namespace moe {

/// True for llama.cpp's old importance matrix (checkpoints.md 9.1), which has no magic: every entry
/// must fit, and the file must end where the last one or the tail behind it does. Only the few
/// bytes in front of each entry's values are touched. False for what can't be read.
bool LooksLikeLegacyImatrix(const std::filesystem::path& path);

}  // namespace moe
