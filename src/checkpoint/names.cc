#include "checkpoint/names.h"

#include <fmt/format.h>

namespace moe {

std::string TensorPlace(const std::filesystem::path& path, std::string_view name) {
  return fmt::format("{}: tensor '{}'", path.string(), Printable(name));
}

}  // namespace moe
