#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/hub_link.h"
#include "checkpoint/gguf.h"
#include "checkpoint/names.h"
#include "checkpoint/npy.h"
#include "checkpoint/npz.h"
#include "checkpoint/safetensors.h"
#include "moescope/checkpoint.h"

namespace moe {
namespace {

using Stopped = std::function<bool()>;
using Opener = Result<std::unique_ptr<TensorFile>> (*)(const std::filesystem::path&, Stopped);

/// A reader whose bytes lie in the file as they are: nothing takes time.
template <Result<std::unique_ptr<TensorFile>> (*kOpen)(const std::filesystem::path&)>
Result<std::unique_ptr<TensorFile>> AtOnce(const std::filesystem::path& path, Stopped) {
  return kOpen(path);
}

/// A .dat file is never a checkpoint, but the one that lies beside GGUF files can be named.
Result<std::unique_ptr<TensorFile>> RefuseDat(const std::filesystem::path& path) {
  const std::string reason = NoCheckpointReason(path);
  return Fail(ErrorCode::kUnsupported, path.string(),
              reason.empty() ? "no reader for files that end in '.dat'" : "is an " + reason,
              "give the model's own file");
}

struct Reader {
  std::string_view suffix;
  Opener open;
};

// A new container is one line here (and one in discovery.cc, if it can lie beside another copy).
constexpr Reader kReaders[] = {
    {".safetensors", AtOnce<OpenSafetensors>},
    {".npz", OpenNpz},
    {".npy", AtOnce<OpenNpy>},
    {".gguf", AtOnce<OpenGguf>},
    {".dat", AtOnce<RefuseDat>},
};

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

Result<std::unique_ptr<TensorFile>> OpenTensorFile(const std::filesystem::path& path,
                                                   std::function<bool()> stopped) {
  const std::string suffix = SuffixOf(path);
  std::error_code unknown;
  const bool empty = std::filesystem::file_size(FollowHubLink(path), unknown) == 0;
  for (const Reader& reader : kReaders) {
    if (reader.suffix != suffix) continue;
    if (empty && !unknown) {
      return Fail(ErrorCode::kMalformed, path.string(), "has 0 bytes",
                  "the download did not finish: get it again");
    }
    return reader.open(path, std::move(stopped)).and_then(CheckHeader);
  }
  return Fail(ErrorCode::kUnsupported, path.string(),
              fmt::format("no reader for files that end in '{}'", suffix),
              "known are .safetensors, .npz, .npy and .gguf");
}

}  // namespace moe
