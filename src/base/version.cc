#include "base/version.h"

namespace moe {

const std::string_view kVersion = MOE_VERSION;

}  // namespace moe
