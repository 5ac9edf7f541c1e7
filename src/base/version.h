#pragma once

#include <string_view>

namespace moe {

/// The version of moescope, as CMake's project() says it: "0.1.0".
extern const std::string_view kVersion;

}  // namespace moe
