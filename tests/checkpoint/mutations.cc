#include "checkpoint/mutations.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/temp_folder.h"
#include "moescope/checkpoint.h"

namespace moe {
namespace {

void OpenAndReadAll(const TempFolder& folder, const std::string& bytes, const std::string& suffix) {
  const std::filesystem::path path = folder.Write("mutant" + suffix, bytes);
  const auto file = OpenTensorFile(path);
  // The mapping stays. Writing over the file instead would make ext4 flush it to disk each time.
  std::filesystem::remove(path);
  if (!file) {
    ASSERT_FALSE(file.error().message.empty());
    return;
  }
  for (size_t i = 0; i < (*file)->tensors().size(); ++i) {
    const auto tensor = (*file)->Bytes(i);
    if (!tensor) continue;
    ASSERT_EQ(tensor->data.size(), (*file)->tensors()[i].nbytes);
    unsigned sum = 0;
    for (const std::byte value : tensor->data) sum += std::to_integer<unsigned>(value);
    ASSERT_LE(sum, 255 * tensor->data.size());
  }
}

}  // namespace

void ForEachMutation(const std::string& good, const std::string& suffix) {
  const TempFolder folder;
  ASSERT_TRUE(OpenTensorFile(folder.Write("good" + suffix, good)).has_value());
  for (size_t bytes = 0; bytes < good.size(); ++bytes) {
    OpenAndReadAll(folder, good.substr(0, bytes), suffix);
  }
  for (size_t at = 0; at < good.size(); ++at) {
    for (const unsigned flip : {0x01u, 0x80u, 0xffu}) {
      std::string mutant = good;
      mutant[at] = static_cast<char>(static_cast<unsigned char>(mutant[at]) ^ flip);
      OpenAndReadAll(folder, mutant, suffix);
    }
  }
}

}  // namespace moe
