#include "base/version.h"

#include <fmt/format.h>

#include "cli/commands.h"
#include "mlx/mlx_backend.h"
#include "moescope/measure.h"
#include "tables/arrow_version.h"

namespace moe::cli {

std::string VersionText() {
  const auto mlx = MlxBackend::Open("cpu");
  return fmt::format("moescope {}\nArrow {}\nMLX {}\nSIMD target {}", kVersion, ArrowVersion(),
                     mlx ? mlx->version() : "not found (" + mlx.error().message + ")",
                     SimdTargetName());
}

}  // namespace moe::cli
