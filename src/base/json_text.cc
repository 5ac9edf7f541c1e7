#include "base/json_text.h"

#include <fmt/format.h>

#include <fstream>
#include <limits>
#include <sstream>

#include "base/hub_link.h"
#include "base/json_builder.h"

namespace moe {
namespace {

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

/// What a string of the marked text stands for.
Json UnmarkLiteral(const std::string& text) {
  if (!text.starts_with(kParsedMark)) return text;
  const std::string_view word = std::string_view(text).substr(kParsedMark.size());
  for (const Literal& literal : kLiterals) {
    if (word == literal.text) return literal.value;
  }
  return text;
}

}  // namespace

Result<Json> ParseLenientJson(std::string_view text, const std::string& where,
                              std::vector<std::string>* duplicates) {
  JsonBuilder builder;
  builder.from_text = UnmarkLiteral;
  if (duplicates != nullptr) {
    builder.on_duplicate = [&](const auto& path) { duplicates->push_back(path.back()); };
  }
  const auto fault = ReadJson(MarkLiterals(text), builder);
  if (fault) return Malformed(where, fault->message + fault->last_read, "mend the JSON there");
  if (builder.too_deep()) {
    return Malformed(where, fmt::format("is nested deeper than {}", Json::kDeepest));
  }
  return builder.Take();
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
  return json.Text({.indented = true, .sorted = true}) + "\n";
}

std::string JsonText(const Json& json) { return json.Text({.indented = true}) + "\n"; }

}  // namespace moe
