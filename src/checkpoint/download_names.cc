#include "checkpoint/download_names.h"

#include <algorithm>
#include <cassert>
#include <system_error>

#include "base/mapped_file.h"
#include "base/pattern.h"
#include "checkpoint/names.h"

namespace moe {

namespace fs = std::filesystem;

std::optional<std::string> OriginalOfCopy(std::string_view file_name) {
  static const auto pattern = Pattern::Compile(
      R"((?:Copy of (.+)|(.+?)(?: ?\(\d+\)| - Copy(?: \(\d+\))?| copy(?: \d+)?| \([Cc]opy(?: \d+)?\))(\.[^.]+))$)",
      "the names of copies");
  assert(pattern.has_value());
  const auto match = pattern->Match(file_name);
  if (!match || !*match) return std::nullopt;
  const auto& groups = (*match)->groups;
  if (groups[1]) return std::string(*groups[1]);
  return std::string(*groups[2]) + std::string(*groups[3]);
}

bool AreCopies(const fs::path& one, const fs::path& other) {
  constexpr size_t kPlaces = 16, kBytes = 4096;
  const auto a = MappedFile::Open(one), b = MappedFile::Open(other);
  if (!a || !b || (*a)->bytes().size() != (*b)->bytes().size()) return false;
  const size_t size = (*a)->bytes().size();
  for (size_t place = 0; place < kPlaces; ++place) {
    const size_t begin = size / kPlaces * place;
    const size_t count = std::min(kBytes, size - begin);
    const auto of = [&](const auto& file) { return file->bytes().subspan(begin, count); };
    if (!std::ranges::equal(of(*a), of(*b))) return false;
  }
  return true;
}

bool IsUnfinished(const fs::path& path) {
  constexpr std::string_view kSuffixes[] = {".incomplete", ".part",       ".partial", ".crdownload",
                                            ".download",   ".opdownload", ".aria2"};
  const std::string suffix = SuffixOf(path);
  std::error_code ignored;
  return std::ranges::find(kSuffixes, suffix) != std::end(kSuffixes) ||
         fs::exists(fs::path(path) += ".aria2", ignored);
}

}  // namespace moe
