#include "run/find_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/text.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr int kDeepest = 4;             // RUNS/ORG/MODEL/RUN, and one more
constexpr size_t kMostFolders = 20000;  // of a folder that is no root of runs
constexpr size_t kMostListed = 10;

/// The run directories below `root` that hold something, or may yet, by path.
std::vector<fs::path> RunsBelow(const fs::path& root) {
  std::vector<fs::path> runs;
  std::error_code failed;
  fs::recursive_directory_iterator entry(root, fs::directory_options::skip_permission_denied,
                                         failed);
  for (size_t folders = 0; !failed && entry != fs::end(entry) && folders < kMostFolders;
       entry.increment(failed)) {
    std::error_code unknown;
    if (entry->is_symlink(unknown) || !entry->is_directory(unknown)) continue;
    ++folders;
    const bool run = IsRun(entry->path());
    if (run && !HoldsNothing(entry->path())) runs.push_back(entry->path());
    const bool hidden = entry->path().filename().string().starts_with('.');
    if (run || hidden || entry.depth() + 1 >= kDeepest) entry.disable_recursion_pending();
  }
  std::sort(runs.begin(), runs.end());
  return runs;
}

/// When a run was last made or filled.
fs::file_time_type LastWritten(const fs::path& run) {
  auto last = fs::file_time_type::min();
  for (const char* name : {"analysis_config.json", "manifest.json", "logs/run_context.json"}) {
    std::error_code failed;
    const auto written = fs::last_write_time(run / name, failed);
    if (!failed) last = std::max(last, written);
  }
  return last;
}

Result<fs::path> NewestRun() {
  const auto runs = RunsBelow(ResolvePath(kDefaultRunRoot));
  const auto newest = std::max_element(runs.begin(), runs.end(), [](const auto& a, const auto& b) {
    return LastWritten(a) < LastWritten(b);
  });
  if (newest != runs.end()) return *newest;
  return Fail(ErrorCode::kBadArgument, "RUN",
              fmt::format("no run directory is named, and none is under {}", kDefaultRunRoot),
              "name one, or make one: moescope analyze MODEL");
}

std::string Listed(const std::vector<fs::path>& runs) {
  std::string list;
  for (size_t i = 0; i < std::min(kMostListed, runs.size()); ++i) {
    list += (i > 0 ? ", " : "") + runs[i].string();
  }
  return runs.size() > kMostListed ? fmt::format("{}, {} more", list, runs.size() - kMostListed)
                                   : list;
}

/// The run directory that `path` lies in; `path` itself where it lies in none.
fs::path RunAround(const fs::path& path) {
  std::error_code failed;
  if (!fs::exists(path, failed)) return path;
  for (fs::path above = path; above.has_relative_path(); above = above.parent_path()) {
    if (IsRun(above)) return above;
  }
  return path;
}

}  // namespace

bool IsRun(const fs::path& folder) {
  std::error_code failed;
  return fs::is_regular_file(folder / "analysis_config.json", failed);
}

bool HoldsNothing(const fs::path& run_dir) {
  std::error_code failed;
  const auto holds = [&](const char* name) { return fs::exists(run_dir / name, failed); };
  return holds("logs/run_failure.json") && !holds("data/matrix_stats.parquet") &&
         !holds("data/matrix_stats.csv");
}

Result<fs::path> FindRun(const std::optional<std::string>& named) {
  if (!named) return NewestRun();
  fs::path path = ResolvePath(*named);
  std::error_code failed;
  if (fs::is_regular_file(path, failed)) path = path.parent_path();
  if (IsRun(path)) return path;
  const auto runs = RunsBelow(path);
  if (runs.size() > 1) {
    return Fail(ErrorCode::kBadArgument, path.string(), fmt::format("holds {} runs", runs.size()),
                "name one: " + Listed(runs));
  }
  return runs.empty() ? RunAround(path) : runs.front();
}

}  // namespace moe
