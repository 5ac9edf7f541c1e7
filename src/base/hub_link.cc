#include "base/hub_link.h"

#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr uintmax_t kLongestTarget = 512;

/// The folder of the model in the cache, where `path` lies in one of its snapshots; else "".
fs::path RepositoryOf(const fs::path& path) {
  for (fs::path folder = path.parent_path(); folder.has_relative_path();
       folder = folder.parent_path()) {
    if (folder.parent_path().filename() == "snapshots") return folder.parent_path().parent_path();
  }
  return {};
}

}  // namespace

fs::path FollowHubLink(const fs::path& path) {
  const fs::path repository = RepositoryOf(path);
  if (repository.empty()) return path;
  std::error_code failed;
  if (!fs::is_regular_file(path, failed)) return path;
  const uintmax_t size = fs::file_size(path, failed);
  if (failed || size > kLongestTarget) return path;
  std::ifstream file(path, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  if (!content.starts_with("../") || content.find('\0') != std::string::npos) return path;
  const fs::path target = (path.parent_path() / content).lexically_normal();
  return target.parent_path() == (repository / "blobs").lexically_normal() ? target : path;
}

bool IsFile(const fs::path& path) {
  std::error_code failed;
  return fs::is_regular_file(FollowHubLink(path), failed);
}

bool IsFolder(const fs::path& path) {
  std::error_code failed;
  return fs::is_directory(path, failed);
}

}  // namespace moe
