#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace moe {

/// A fresh folder that goes away with this object.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  /// Writes `bytes` to `name` (folders on the way are made); returns its path.
  std::filesystem::path Write(const std::string& name, std::string_view bytes = {}) const;

 private:
  std::filesystem::path path_;
};

}  // namespace moe
