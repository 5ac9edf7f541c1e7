// In place of build_plots.cc and write_picture.cc where what it needs was not found (MOE_LACKING).
#include "report/build_plots.h"
#include "report/write_picture.h"

namespace moe {
namespace {

tl::unexpected<Error> Lacking() {
  return Fail(ErrorCode::kUnsupported, "pictures", "this moescope was built without " MOE_LACKING,
              "run setup/setup.sh, which installs it, and build again: make clean release");
}

}  // namespace

Result<std::vector<PlotEntry>> BuildPlots(Run&, const PlotsConfig&, const PlotsOptions&) {
  return Lacking();
}

Result<void> WritePicture(std::string_view, std::string_view, const std::filesystem::path&,
                          const std::filesystem::path&) {
  return Lacking();
}

}  // namespace moe
