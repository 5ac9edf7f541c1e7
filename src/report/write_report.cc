#include "report/write_report.h"

#include <string>
#include <string_view>
#include <system_error>

#include "base/pending_file.h"
#include "report/page_data.h"
#include "report/web_assets.h"
#include "run/commit_marker.h"

namespace moe {

Result<WrittenReport> WriteReport(const std::filesystem::path& run_dir) {
  constexpr std::string_view kMarker = "<!-- DATA -->";
  const auto page = PageTemplate();
  if (!page) {
    return Fail(ErrorCode::kUnsupported, "report", "this moescope was built without its page",
                "install Node.js 18 or newer and build again: make clean release");
  }
  std::error_code failed;
  if (!std::filesystem::is_directory(run_dir, failed)) {
    return Fail(ErrorCode::kNotFound, run_dir.string(), "no such run directory");
  }
  const auto committed = CheckCommitted(run_dir, {{kCollectData}});
  if (!committed) return tl::make_unexpected(committed.error());
  const auto data = PageData(run_dir);
  if (!data) return tl::make_unexpected(data.error());
  std::string html(*page);
  html.replace(html.find(kMarker), kMarker.size(), *data);
  const WrittenReport written{run_dir / "report.html", html.size()};
  return WriteFileAtomically(written.path, html).map([&] { return written; });
}

}  // namespace moe
