#include "report/write_report.h"

#include "base/pending_file.h"
#include "report/page_data.h"
#include "report/web_assets.h"
#include "run/commit_marker.h"

namespace moe {

Result<std::string> PageWith(std::string_view data) {
  constexpr std::string_view kMarker = "<!-- DATA -->";
  const auto page = PageTemplate();
  if (!page) {
    return Fail(ErrorCode::kUnsupported, "report", "this moescope was built without its page",
                "install Node.js 18 or newer and build again: make clean release");
  }
  std::string html(*page);
  return html.replace(html.find(kMarker), kMarker.size(), data);
}

Result<WrittenReport> WriteReport(Run& run) {
  const auto readable = run.Check({{kCollectData}});
  if (!readable) return tl::make_unexpected(readable.error());
  const auto data = PageData(run);
  if (!data) return tl::make_unexpected(data.error());
  const auto html = PageWith(*data);
  if (!html) return tl::make_unexpected(html.error());
  const WrittenReport written{run.dir() / "report.html", html->size()};
  return WriteFileAtomically(written.path, *html).map([&] { return written; });
}

}  // namespace moe
