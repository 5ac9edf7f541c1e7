#include <fmt/format.h>

#include <string>
#include <string_view>

#include "checkpoint/gguf.h"
#include "checkpoint/npy.h"
#include "checkpoint/npz.h"
#include "checkpoint/safetensors.h"
#include "moescope/checkpoint.h"

namespace moe {
namespace {

using Opener = Result<std::unique_ptr<TensorFile>> (*)(const std::filesystem::path&);

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
    {".safetensors", OpenSafetensors},
    {".npz", OpenNpz},
    {".npy", OpenNpy},
    {".gguf", OpenGguf},
    {".dat", RefuseDat},
};

}  // namespace

Result<std::unique_ptr<TensorFile>> OpenTensorFile(const std::filesystem::path& path) {
  const std::string suffix = path.extension().string();
  for (const Reader& reader : kReaders) {
    if (reader.suffix == suffix) return reader.open(path);
  }
  return Fail(ErrorCode::kUnsupported, path.string(),
              fmt::format("no reader for files that end in '{}'", suffix),
              "known are .safetensors, .npz, .npy and .gguf");
}

}  // namespace moe
