#include "tables/arrow_version.h"

#include <arrow/config.h>

namespace moe {

std::string ArrowVersion() { return arrow::GetBuildInfo().version_string; }

}  // namespace moe
