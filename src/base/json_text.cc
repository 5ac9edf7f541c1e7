#include "base/json_text.h"

#include <fmt/format.h>

#include <fstream>
#include <limits>
#include <set>
#include <sstream>

#include "base/hub_link.h"

namespace moe {
namespace {

constexpr int kMaxDepth = 200;

// Stands in for a literal JSON lacks, while the strict parser reads the text.
constexpr uintmax_t kMaxTextBytes = uintmax_t{64} << 20;  // configs and indexes are far smaller
constexpr std::string_view kMark = "\\u0000moescope:";
constexpr std::string_view kParsedMark{"\0moescope:", 10};

struct Literal {
  std::string_view text;
  double value;
};
constexpr Literal kLiterals[] = {
    {"-Infinity", -std::numeric_limits<double>::infinity()},
    {"Infinity", std::numeric_limits<double>::infinity()},
    {"NaN", std::numeric_limits<double>::quiet_NaN()},
};

/// `text` with the bare literals outside strings turned into marked strings.
std::string MarkLiterals(std::string_view text) {
  std::string marked;
  marked.reserve(text.size());
  bool in_string = false;
  for (size_t i = 0; i < text.size();) {
    if (in_string && text[i] == '\\' && i + 1 < text.size()) {
      marked.append(text.substr(i, 2));
      i += 2;
      continue;
    }
    if (text[i] == '"') in_string = !in_string;
    const Literal* found = nullptr;
    for (const Literal& literal : kLiterals) {
      if (!in_string && found == nullptr && text.substr(i).starts_with(literal.text)) {
        found = &literal;
      }
    }
    if (found == nullptr) {
      marked.push_back(text[i++]);
    } else {
      marked.append("\"").append(kMark).append(found->text).append("\"");
      i += found->text.size();
    }
  }
  return marked;
}

void UnmarkLiterals(Json& json) {
  if (json.is_structured()) {
    for (auto& child : json) UnmarkLiterals(child);
    return;
  }
  if (!json.is_string()) return;
  const auto& text = json.get_ref<const std::string&>();
  if (!text.starts_with(kParsedMark)) return;
  for (const Literal& literal : kLiterals) {
    if (text.substr(kParsedMark.size()) == literal.text) {
      json = literal.value;
      return;
    }
  }
}

}  // namespace

Result<Json> ParseLenientJson(std::string_view text, const std::string& where,
                              std::vector<std::string>* duplicates) {
  std::vector<std::set<std::string>> open_objects;
  bool too_deep = false;
  const Json::parser_callback_t note_keys = [&](int depth, Json::parse_event_t event,
                                                Json& parsed) {
    if (depth > kMaxDepth) too_deep = true;
    if (too_deep) return false;  // drops the value: what is kept can be walked recursively
    if (event == Json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == Json::parse_event_t::object_end) open_objects.pop_back();
    if (event == Json::parse_event_t::key && duplicates != nullptr) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!open_objects.back().insert(key).second) duplicates->push_back(key);
    }
    return true;
  };
  try {
    Json json = Json::parse(MarkLiterals(text), note_keys);
    if (too_deep) return Malformed(where, fmt::format("is nested deeper than {}", kMaxDepth));
    UnmarkLiterals(json);
    return json;
  } catch (const Json::exception& error) {
    std::string message = error.what();
    const size_t tag = message.find("] ");  // "[json.exception.parse_error.101] parse error at ..."
    return Malformed(where, tag == std::string::npos ? message : message.substr(tag + 2),
                     "mend the JSON there");
  }
}

Result<std::string> ReadTextFile(const std::filesystem::path& path) {
  const std::filesystem::path real = FollowHubLink(path);
  std::error_code failed;
  if (!std::filesystem::exists(real, failed)) {
    return Fail(ErrorCode::kNotFound, path.string(), "no such file");
  }
  if (!std::filesystem::is_regular_file(real, failed)) {
    return Fail(ErrorCode::kIo, path.string(), "is not a file");
  }
  if (const auto size = std::filesystem::file_size(real, failed); size > kMaxTextBytes) {
    return Fail(ErrorCode::kIo, path.string(), "is larger than 64 MiB");
  }
  std::ifstream file(real, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) {
    return Fail(ErrorCode::kIo, path.string(), "can't be read");
  }
  return text.str();
}

std::string SortedJsonText(const Json& json) {
  return nlohmann::json(json).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string JsonText(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace moe
