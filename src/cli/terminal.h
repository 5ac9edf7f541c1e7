#pragma once

#include <cstddef>
#include <optional>

namespace moe::cli {

/// Characters in a line of the terminal that this descriptor is; nullopt if it is none.
std::optional<size_t> TerminalWidth(int descriptor);

}  // namespace moe::cli
