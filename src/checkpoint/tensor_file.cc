#include <fmt/format.h>

#include <string>
#include <string_view>

#include "checkpoint/npy.h"
#include "checkpoint/npz.h"
#include "checkpoint/safetensors.h"
#include "moescope/checkpoint.h"

namespace moe {
namespace {

using Opener = Result<std::unique_ptr<TensorFile>> (*)(const std::filesystem::path&);

Result<std::unique_ptr<TensorFile>> RefuseGguf(const std::filesystem::path& path) {
  return Fail(ErrorCode::kUnsupported, path.string(), "GGUF is not read yet",
              "convert it to safetensors, or point at the checkpoint it was made from");
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
    {".gguf", RefuseGguf},
};

}  // namespace

Result<std::unique_ptr<TensorFile>> OpenTensorFile(const std::filesystem::path& path) {
  const std::string suffix = path.extension().string();
  for (const Reader& reader : kReaders) {
    if (reader.suffix == suffix) return reader.open(path);
  }
  return Fail(ErrorCode::kUnsupported, path.string(),
              fmt::format("no reader for files that end in '{}'", suffix),
              "known are .safetensors, .npz and .npy");
}

}  // namespace moe
