#include "checkpoint/names.h"

#include <fmt/format.h>

#include "base/text.h"

namespace moe {

std::string TensorPlace(const std::filesystem::path& path, std::string_view name) {
  return fmt::format("{}: {}", path.string(), TensorPlace(name));
}

std::string TensorPlace(std::string_view name) {
  return fmt::format("tensor '{}'", Printable(name));
}

std::string SuffixOf(const std::filesystem::path& path) {
  return LowerAscii(path.extension().string());
}

}  // namespace moe
