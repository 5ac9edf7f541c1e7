#pragma once

#include <filesystem>

namespace moe {

/// The file that `path` stands for: mostly itself. The cache of the Hugging Face Hub keeps a model
/// as models--ORG--NAME/snapshots/REVISION/FILE, a link to ../../blobs/HASH. Where links can't be
/// made (git without them, some tools that copy folders), a small file takes the link's place whose
/// whole content is that target. Such a file counts as the link that it was, so what is returned is
/// the blob, which may not be there.
std::filesystem::path FollowHubLink(const std::filesystem::path& path);

/// A regular file, or a link (FollowHubLink() too) to one.
bool IsFile(const std::filesystem::path& path);

/// A folder, or a link to one.
bool IsFolder(const std::filesystem::path& path);

}  // namespace moe
