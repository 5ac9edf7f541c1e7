#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/checkpoint.h"
#include "moescope/scan_options.h"

namespace moe {

/// A kind of file that holds tensors.
struct Container {
  std::string_view suffix;
  int preference;  ///< of several kinds in one folder, the one with the least is read (D22)
  bool scanned;  ///< in folders, unless the configuration lists others; else only when it is named
  Result<std::unique_ptr<TensorFile>> (*open)(const std::filesystem::path&,
                                              std::function<bool()> stopped);
};

/// All that are read, in the order in which messages list them.
std::span<const Container> Containers();

/// By its suffix, in any case; nullptr: none.
const Container* FindContainer(const std::filesystem::path& path);

/// FindContainer() of one that is looked for in folders.
bool IsScanned(const std::filesystem::path& path);

}  // namespace moe
