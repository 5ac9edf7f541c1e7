#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "base/byte_source.h"
#include "moescope/checkpoint.h"
#include "moescope/scan_options.h"
#include "moescope/stop_token.h"

namespace moe {

/// A kind of file that holds tensors.
struct Container {
  std::string_view suffix;
  int preference;  ///< of several kinds in one folder, the one with the least is read (D22)
  bool scanned;  ///< in folders, unless the configuration lists others; else only when it is named
  /// Checks the whole header.
  Result<std::unique_ptr<TensorFile>> (*open)(std::shared_ptr<const ByteSource> file,
                                              const StopToken& stop);
};

/// All that are read, in the order in which messages list them.
std::span<const Container> Containers();

/// OpenTensorFile() of bytes that lie anywhere, by the suffix of their path.
Result<std::unique_ptr<TensorFile>> OpenContainer(std::shared_ptr<const ByteSource> file,
                                                  const StopToken& stop = {});

/// By its suffix, in any case; nullptr: none.
const Container* FindContainer(const std::filesystem::path& path);

/// FindContainer() of one that is looked for in folders.
bool IsScanned(const std::filesystem::path& path);

}  // namespace moe
