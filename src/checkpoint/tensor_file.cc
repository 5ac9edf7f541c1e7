#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <utility>

#include "base/mapped_file.h"
#include "checkpoint/containers.h"
#include "checkpoint/gguf.h"
#include "checkpoint/names.h"
#include "moescope/checkpoint.h"

namespace moe {
namespace {

/// A .dat file is never a checkpoint, but the one that lies beside GGUF files can be named.
Result<std::unique_ptr<TensorFile>> RefuseDat(const std::filesystem::path& path) {
  const std::string reason = NoCheckpointReason(path);
  return Fail(ErrorCode::kUnsupported, path.string(),
              reason.empty() ? "no reader for files that end in '.dat'" : "is an " + reason,
              "give the model's own file");
}

/// "known are .safetensors, .npz, .npy and .gguf"
std::string KnownSuffixes() {
  std::string text;
  const auto containers = Containers();
  for (const Container& container : containers.first(containers.size() - 1)) {
    text += fmt::format("{}{}", text.empty() ? "" : ", ", container.suffix);
  }
  return fmt::format("known are {} and {}", text, containers.back().suffix);
}

/// A tensor without elements may have any sizes; tables, and the libraries that write checkpoints,
/// have signed ones.
Result<std::unique_ptr<TensorFile>> CheckHeader(std::unique_ptr<TensorFile> file) {
  if (auto whole = file->CheckWhole(); !whole) return tl::make_unexpected(whole.error());
  for (const TensorInfo& tensor : file->tensors()) {
    for (const uint64_t size : tensor.shape) {
      if (size <= INT64_MAX) continue;
      return Malformed(
          TensorPlace(file->path(), tensor.name),
          fmt::format("has an axis of {} elements, above the limit of 2^63 - 1", size));
    }
  }
  return file;
}

}  // namespace

Result<std::unique_ptr<TensorFile>> OpenContainer(std::shared_ptr<const ByteSource> file,
                                                  const StopToken& stop) {
  const std::filesystem::path path = file->path();
  if (file->size() == 0) {
    return Fail(ErrorCode::kMalformed, path.string(), "has 0 bytes",
                "the download did not finish: get it again");
  }
  const Container* container = FindContainer(path);
  if (container == nullptr) return RefuseDat(path);
  return container->open(std::move(file), stop).and_then(CheckHeader);
}

Result<std::unique_ptr<TensorFile>> OpenTensorFile(const std::filesystem::path& path,
                                                   const StopToken& stop) {
  const std::string suffix = SuffixOf(path);
  if (FindContainer(path) == nullptr && suffix != ".dat") {
    return Fail(ErrorCode::kUnsupported, path.string(),
                fmt::format("no reader for files that end in '{}'", suffix), KnownSuffixes());
  }
  auto file = MappedFile::Open(path);
  if (!file) return tl::make_unexpected(file.error());
  return OpenContainer(*std::move(file), stop);
}

}  // namespace moe
