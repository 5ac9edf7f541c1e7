#include "report/file_names.h"

#include <glib.h>

#include <iterator>
#include <memory>

#include "base/text.h"

namespace moe {
namespace {

constexpr size_t kLongest = 80;  // two of them and a metric stay below a file name's 255 bytes
constexpr size_t kDigits = 8;

bool IsSafe(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

std::string WithDigest(const std::string& name, const std::string& thing) {
  const std::unique_ptr<gchar, decltype(&g_free)> sha1(
      g_compute_checksum_for_string(G_CHECKSUM_SHA1, thing.data(), std::ssize(thing)), g_free);
  return name + "__" + std::string(sha1.get(), kDigits);
}

}  // namespace

std::string FileSafe(std::string_view label) {
  std::string name;
  bool in_run = false;
  for (const char c : Trimmed(label)) {
    if (IsSafe(c) || !in_run) name += IsSafe(c) ? c : '_';
    in_run = !IsSafe(c);
  }
  const size_t begin = name.find_first_not_of('_');
  if (begin == std::string::npos) return "unknown";
  return name.substr(begin, name.find_last_not_of('_') - begin + 1);
}

std::string FileNames::Of(std::string_view label) {
  const std::string thing(Trimmed(label));
  std::string name = FileSafe(label);
  if (name.size() > kLongest) name = WithDigest(name.substr(0, kLongest), thing);
  return Unique(thing, name);
}

std::string FileNames::Unique(const std::string& thing, const std::string& name) {
  const auto [entry, is_new] = names_.try_emplace(thing, name);
  if (!is_new || taken_.insert(name).second) return entry->second;
  const std::string base = WithDigest(name, thing);
  std::string unique = base;
  for (int number = 2; !taken_.insert(unique).second; ++number) {
    unique = base + "_" + std::to_string(number);
  }
  return entry->second = unique;
}

}  // namespace moe
