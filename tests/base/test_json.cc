#include "base/test_json.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "base/json_text.h"

namespace moe {

Json AsJson(std::string_view text) {
  auto json = Json::Parse(text);
  EXPECT_TRUE(json.has_value()) << "no JSON: " << text;
  return json.value_or(Json());
}

Json JsonOfFile(const std::filesystem::path& path) {
  const auto text = ReadTextFile(path);
  EXPECT_TRUE(text.has_value()) << path;
  return AsJson(text.value_or("null"));
}

void PutAt(Json& json, std::string_view pointer, const Json& value) {
  if (pointer.empty()) {
    json = value;
    return;
  }
  const size_t end = pointer.find('/', 1);
  std::string key(pointer.substr(1, end == pointer.npos ? end : end - 1));
  if (const size_t slash = key.find("~1"); slash != key.npos) key.replace(slash, 2, "/");
  const std::string_view rest = end == pointer.npos ? "" : pointer.substr(end);
  if (!json.is_array()) return PutAt(json[key], rest, value);
  Json::List items(json.begin(), json.end());
  PutAt(items.at(std::stoul(key)), rest, value);
  json = Json::Array(std::move(items));
}

void PrintTo(const Json& json, std::ostream* out) { *out << json.Text(); }

}  // namespace moe
