// In place of build_plots.cc where what it needs was not found (MOE_LACKING).
#include "report/build_plots.h"

namespace moe {

Result<std::vector<PlotEntry>> BuildPlots(Run&, const PlotsConfig&, const PlotsOptions&) {
  return Fail(ErrorCode::kUnsupported, "pictures", "this moescope was built without " MOE_LACKING,
              "run setup/setup.sh, which installs it, and build again: make clean release");
}

}  // namespace moe
