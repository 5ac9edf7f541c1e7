#include "evidence/usage_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_text.h"
#include "base/text.h"

namespace moe {
namespace {

using Layers = std::map<int64_t, std::map<int64_t, double>>;

constexpr double kMostTokens = 9007199254740992;  // 2^53: each count up to it has a double

template <class Number>
std::optional<Number> NumberIn(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// The next line, which is cut off `text`; without its end.
std::string_view TakeLine(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

std::vector<std::string_view> CellsOf(std::string_view line) {
  std::vector<std::string_view> cells;
  for (size_t begin = 0;;) {
    const size_t comma = line.find(',', begin);
    std::string_view cell = Trimmed(line.substr(begin, comma - begin));
    if (cell.size() > 1 && cell.front() == '"' && cell.back() == '"') {
      cell = cell.substr(1, cell.size() - 2);
    }
    cells.push_back(cell);
    if (comma == std::string_view::npos) return cells;
    begin = comma + 1;
  }
}

class Reader {
 public:
  explicit Reader(std::string place) : place_(std::move(place)) {}

  Result<UsageFile> ReadCsv(std::string_view text) {
    const auto columns = ReadHeader(TakeLine(text));
    if (!columns) return tl::make_unexpected(columns.error());
    for (size_t number = 2; !text.empty(); ++number) {
      const std::string_view line = TakeLine(text);
      if (Trimmed(line).empty()) continue;
      if (auto done = ReadRow(CellsOf(line), *columns, number); !done) {
        return tl::make_unexpected(std::move(done.error()));
      }
    }
    return Whole();
  }

  Result<UsageFile> ReadJson(const Json& json) {
    const bool dump = json.is_object() && json.contains("logical_count");
    const Json& counts = dump ? json["logical_count"] : json;
    auto done = counts.is_array() ? ReadSteps(counts) : ReadObject(counts);
    if (!done) return tl::make_unexpected(std::move(done.error()));
    return Whole();
  }

 private:
  using Columns = std::array<size_t, 3>;

  Result<UsageFile> Whole() {
    if (file_.tokens.empty()) return Malformed(place_, "has no counts");
    return std::move(file_);
  }

  Result<Columns> ReadHeader(std::string_view line) const {
    constexpr std::array<std::string_view, 3> kNames = {"layer", "expert", "tokens"};
    const auto cells = CellsOf(line);
    Columns columns{};
    for (size_t i = 0; i < kNames.size(); ++i) {
      const auto found = std::ranges::find_if(
          cells, [&](std::string_view cell) { return LowerAscii(cell) == kNames[i]; });
      if (found == cells.end()) {
        return Malformed(place_, fmt::format("has no column '{}'", kNames[i]),
                         "CSV with the header layer,expert,tokens, or JSON: docs/formats.md");
      }
      columns[i] = static_cast<size_t>(found - cells.begin());
    }
    return columns;
  }

  Result<void> ReadRow(const std::vector<std::string_view>& cells, const Columns& columns,
                       size_t number) {
    const std::string what = fmt::format("line {}", number);
    const auto cell = [&](size_t i) {
      return columns[i] < cells.size() ? cells[columns[i]] : std::string_view();
    };
    const auto layer = NumberIn<int32_t>(cell(0)), expert = NumberIn<int32_t>(cell(1));
    const auto tokens = NumberIn<double>(cell(2));
    if (!layer || !expert || !tokens) return NoNumber(what);
    return Add(*layer, *expert, *tokens, what);
  }

  Result<void> ReadObject(const Json& layers) {
    if (!layers.is_object()) return NoNumber("the file");
    for (const auto& [key, experts] : layers.items()) {
      const std::string what = fmt::format("layer '{}'", key);
      const auto layer = NumberIn<int32_t>(key);
      if (!layer) return NoNumber(what);
      if (experts.is_array()) {
        if (auto done = ReadList(experts, *layer, what); !done) return done;
        continue;
      }
      if (!experts.is_object()) return NoNumber(what);
      for (const auto& [name, tokens] : experts.items()) {
        const auto expert = NumberIn<int32_t>(name);
        if (!expert || !tokens.is_number()) return NoNumber(what);
        if (auto done = Add(*layer, *expert, tokens.get<double>(), what); !done) {
          return done;
        }
      }
    }
    return {};
  }

  /// [layers][experts], or steps of that.
  Result<void> ReadSteps(const Json& counts) {
    const bool steps =
        !counts.empty() && counts[0].is_array() && !counts[0].empty() && counts[0][0].is_array();
    if (!steps) return ReadRows(counts);
    for (const Json& step : counts) {
      if (auto done = ReadRows(step); !done) return done;
    }
    return {};
  }

  Result<void> ReadRows(const Json& rows) {
    if (!rows.is_array()) return NoNumber("the file");
    if (file_.rows && *file_.rows != rows.size()) {
      return Malformed(
          place_, fmt::format("has a step of {} layers and one of {}", *file_.rows, rows.size()));
    }
    file_.rows = rows.size();
    for (size_t row = 0; row < rows.size(); ++row) {
      const std::string what = fmt::format("row {}", row);
      if (!rows[row].is_array()) return NoNumber(what);
      if (auto done = ReadList(rows[row], static_cast<int64_t>(row), what); !done) return done;
    }
    return {};
  }

  Result<void> ReadList(const Json& experts, int64_t layer, const std::string& what) {
    for (size_t e = 0; e < experts.size(); ++e) {
      if (!experts[e].is_number()) return NoNumber(what);
      auto done = Add(layer, static_cast<int64_t>(e), experts[e].get<double>(), what);
      if (!done) return done;
    }
    return {};
  }

  Result<void> Add(int64_t layer, int64_t expert, double tokens, const std::string& what) {
    if (layer < 0 || expert < 0 || !std::isfinite(tokens) || tokens < 0) {
      return Malformed(place_, what + " has a number that is negative or not finite");
    }
    double& sum = file_.tokens[layer][expert];
    sum += tokens;
    if (sum > kMostTokens) {
      return Malformed(place_, what + " has a number that is above 2^53, or adds up to more");
    }
    return {};
  }

  tl::unexpected<Error> NoNumber(const std::string& what) const {
    return Malformed(place_, what + " does not say tokens by layer and expert in numbers",
                     "CSV with the header layer,expert,tokens, or JSON: docs/formats.md");
  }

  std::string place_;
  UsageFile file_;
};

}  // namespace

Result<UsageFile> UsageFile::Open(const std::filesystem::path& path) {
  const auto text = ReadTextFile(path);
  if (!text) return tl::make_unexpected(text.error());
  if (text->starts_with("PK\x03\x04")) {
    return Fail(ErrorCode::kUnsupported, path.string(), "is a file of torch.save",
                "convert it: python -c \"import torch, json; print(json.dumps({'logical_count': "
                "torch.load('IN.pt')['logical_count'].tolist()}))\" > OUT.json");
  }
  Reader reader(path.string());
  const std::string_view start = Trimmed(*text);
  if (!start.starts_with('{') && !start.starts_with('[')) return reader.ReadCsv(*text);
  const auto json = ParseLenientJson(*text, path.string());
  if (!json) return tl::make_unexpected(json.error());
  return reader.ReadJson(*json);
}

}  // namespace moe
