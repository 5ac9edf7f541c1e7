#include "base/test_files.h"

#include <fstream>
#include <iterator>

namespace moe {

std::filesystem::path TestData() { return MOE_SOURCE_FOLDER "/tests/data"; }

std::string DocText(const std::string& name) {
  return ReadText(std::filesystem::path(MOE_SOURCE_FOLDER "/docs") / name);
}

std::string ReadText(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace moe
