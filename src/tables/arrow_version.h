#pragma once

#include <string>

namespace moe {

/// Version of the Arrow library in use: "26.0.1".
std::string ArrowVersion();

}  // namespace moe
