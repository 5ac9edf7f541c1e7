#include "model/fingerprint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace moe {

std::string FingerprintOf(const Model& model) {
  std::vector<std::string> lines;
  for (const ModelTensor& tensor : model.tensors()) {
    const TensorInfo& info = tensor.info();
    lines.push_back(
        fmt::format("{} {} [{}]\n", info.name, info.dtype_text, fmt::join(info.shape, ",")));
  }
  std::ranges::sort(lines);
  uint64_t hash = 0xcbf29ce484222325;
  for (const std::string_view line : lines) {
    for (const char c : line) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return fmt::format("headers:{:016x}", hash);
}

}  // namespace moe
