#include "run/commit_marker.h"

#include <fmt/format.h>

#include <system_error>

#include "base/pending_file.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

fs::path MarkerOf(const fs::path& run_dir, std::string_view command) {
  return run_dir / fmt::format(".{}.unfinished", command);
}

}  // namespace

Result<void> CommitMarked(const fs::path& run_dir, std::string_view command,
                          const std::function<Result<void>()>& commit) {
  const fs::path marker = MarkerOf(run_dir, command);
  return WriteFileAtomically(marker, "").and_then(commit).and_then([&]() -> Result<void> {
    std::error_code failed;
    fs::remove(marker, failed);
    if (!failed) return {};
    return Fail(ErrorCode::kIo, marker.string(), "can't be removed: " + failed.message());
  });
}

Result<void> CheckCommitted(const fs::path& run_dir, std::span<const std::string_view> commands) {
  for (const std::string_view command : commands) {
    std::error_code unknown;
    if (!fs::exists(MarkerOf(run_dir, command), unknown)) continue;
    return Malformed(run_dir.string(),
                     fmt::format("{} was stopped while its files took their names: some are of the "
                                 "run before",
                                 command),
                     fmt::format("run {} again", command));
  }
  return {};
}

}  // namespace moe
