#include "checkpoint/containers.h"

#include <algorithm>
#include <utility>

#include "checkpoint/gguf.h"
#include "checkpoint/names.h"
#include "checkpoint/npy.h"
#include "checkpoint/npz.h"
#include "checkpoint/safetensors.h"

namespace moe {
namespace {

/// A reader whose bytes lie in the file as they are: nothing takes time.
template <Result<std::unique_ptr<TensorFile>> (*kOpen)(std::shared_ptr<const ByteSource>)>
Result<std::unique_ptr<TensorFile>> AtOnce(std::shared_ptr<const ByteSource> file,
                                           const StopToken&) {
  return kOpen(std::move(file));
}

// A new container is one row here.
constexpr Container kContainers[] = {
    {".safetensors", 1, true, AtOnce<OpenSafetensors>},
    {".npz", 3, true, OpenNpz},
    {".npy", 4, false, AtOnce<OpenNpy>},
    {".gguf", 2, true, AtOnce<OpenGguf>},
};

}  // namespace

std::span<const Container> Containers() { return kContainers; }

const Container* FindContainer(const std::filesystem::path& path) {
  const std::string suffix = SuffixOf(path);
  const auto found = std::ranges::find(kContainers, suffix, &Container::suffix);
  return found == std::end(kContainers) ? nullptr : found;
}

bool IsScanned(const std::filesystem::path& path) {
  const Container* container = FindContainer(path);
  return container != nullptr && container->scanned;
}

std::vector<std::string> ScannedSuffixes() {
  std::vector<std::string> suffixes;
  for (const Container& container : kContainers) {
    if (container.scanned) suffixes.emplace_back(container.suffix);
  }
  return suffixes;
}

}  // namespace moe
