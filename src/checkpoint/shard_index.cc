#include "checkpoint/shard_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/json_builder.h"
#include "base/mapped_file.h"
#include "checkpoint/names.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

/// An index of this size would name millions of tensors.
constexpr uint64_t kMaxIndexBytes = 100'000'000;

/// The index as JSON; a tensor that the weight map has twice is an error, where the last one would
/// count.
Result<Json> ParseIndex(std::string_view text, const std::string& where) {
  std::string twin;
  JsonBuilder builder;
  builder.on_duplicate = [&](const std::vector<std::string>& path) {
    if (path.size() == 2 && path.front() == "weight_map") twin = path.back();
  };
  if (const auto fault = ReadJson(text, builder)) {
    return Malformed(where, "is no valid JSON: " + Printable(fault->message));
  }
  if (builder.too_deep()) {
    return Malformed(where, fmt::format("is nested deeper than {}", Json::kDeepest));
  }
  if (!twin.empty()) {
    return Malformed(where, fmt::format("has tensor '{}' twice", Printable(twin)));
  }
  return builder.Take();
}

}  // namespace

Result<ShardIndex> ReadShardIndex(const fs::path& path) {
  const std::string where = path.string();
  const auto mapping = MappedFile::Open(path);
  if (!mapping) return tl::make_unexpected(mapping.error());
  const auto bytes = (*mapping)->bytes();
  if (bytes.empty()) return Malformed(where, "is empty");
  if (bytes.size() > kMaxIndexBytes) {
    return Malformed(
        where, fmt::format("has {} bytes, above the limit of {}", bytes.size(), kMaxIndexBytes));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto root = ParseIndex(text, where);
  if (!root) return tl::make_unexpected(root.error());
  if (!root->is_object()) return Malformed(where, "is no JSON object");
  const Json* weight_map = root->Find("weight_map");
  if (weight_map == nullptr || !weight_map->is_object()) {
    return Malformed(where, "has no object `weight_map`");
  }

  ShardIndex index;
  for (const auto& [tensor, shard] : weight_map->items()) {
    const std::string entry = fmt::format("weight_map entry '{}'", Printable(tensor));
    if (!shard.is_string()) return Malformed(where, entry + " is no string");
    auto name = NormaliseShardName(shard.text());
    if (!name) return Malformed(where, fmt::format("{}: {}", entry, name.error().Text()));
    index.weight_map.emplace(tensor, *std::move(name));
  }
  const Json* metadata = root->Find("metadata");
  index.metadata_json = metadata != nullptr && metadata->is_object() ? metadata->Text() : "{}";
  return index;
}

Result<std::string> NormaliseShardName(std::string_view name) {
  const std::string where = fmt::format("shard '{}'", Printable(name));
  if (name.find('\0') != name.npos) return Malformed(where, "its name holds a NUL");
  std::string path(name);
  std::replace(path.begin(), path.end(), '\\', '/');
  if (path.starts_with('/')) return Malformed(where, "is an absolute path; it leaves the folder");
  std::string normal;
  for (const fs::path& part : fs::path(path)) {
    if (part == "..") return Malformed(where, "has `..` in its path; it may leave the folder");
    if (part.empty() || part == ".") continue;
    if (!normal.empty()) normal += '/';
    normal += part.string();
  }
  if (normal.empty()) return Malformed(where, "its name is empty");
  return normal;
}

IndexComparison CompareWithIndex(const std::map<std::string, std::string>& weight_map,
                                 const std::set<std::string>& observed_tensors) {
  IndexComparison compared;
  for (const auto& [tensor, shard] : weight_map) {
    if (!observed_tensors.contains(tensor)) compared.missing_tensors.push_back(tensor);
  }
  std::copy_if(observed_tensors.begin(), observed_tensors.end(),
               std::back_inserter(compared.extra_tensors),
               [&](const std::string& tensor) { return !weight_map.contains(tensor); });
  return compared;
}

}  // namespace moe
