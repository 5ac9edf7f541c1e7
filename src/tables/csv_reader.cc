#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>

#include "base/mapped_file.h"
#include "tables/column_builder.h"
#include "tables/format_readers.h"

namespace moe {
namespace {

// Splits RFC 4180 text into records. Blank lines are no records; `\n`, `\r\n` and `\r` end lines.
class RecordScanner {
 public:
  explicit RecordScanner(std::string_view text) : text_(text) {
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    if (text_.substr(0, kByteOrderMark.size()) == kByteOrderMark) at_ = kByteOrderMark.size();
  }

  /// The next record's cells, or false at the end. An open quote ends with the text.
  bool Next(std::vector<std::string>& cells) {
    while (at_ < text_.size() && IsLineEnd(text_[at_])) SkipLineEnd();
    if (at_ >= text_.size()) return false;
    ++record_;
    size_t count = 0;
    while (true) {
      if (count == cells.size()) cells.emplace_back();
      ReadCell(cells[count++]);
      if (at_ >= text_.size() || text_[at_] != ',') break;
      ++at_;
    }
    if (at_ < text_.size()) SkipLineEnd();
    cells.resize(count);
    return true;
  }

  uint64_t record() const { return record_; }  ///< 1 is the header

 private:
  static bool IsLineEnd(char c) { return c == '\n' || c == '\r'; }

  void SkipLineEnd() {
    const bool carriage_return = text_[at_++] == '\r';
    if (carriage_return && at_ < text_.size() && text_[at_] == '\n') ++at_;
  }

  // Reads to the comma, line end or end of text behind the cell.
  void ReadCell(std::string& cell) {
    cell.clear();
    if (at_ < text_.size() && text_[at_] == '"') ReadQuoted(cell);
    const size_t end = std::min(text_.find_first_of(",\r\n", at_), text_.size());
    cell.append(text_.substr(at_, end - at_));
    at_ = end;
  }

  void ReadQuoted(std::string& cell) {
    ++at_;
    while (at_ < text_.size()) {
      const size_t quote = std::min(text_.find('"', at_), text_.size());
      cell.append(text_.substr(at_, quote - at_));
      at_ = quote + 1;
      if (at_ >= text_.size() || text_[at_] != '"') break;
      cell += '"';
      ++at_;
    }
    at_ = std::min(at_, text_.size());
  }

  std::string_view text_;
  size_t at_ = 0;
  uint64_t record_ = 0;
};

std::optional<int64_t> ParseInt(const std::string& text) {
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, failed] = std::from_chars(text.data(), end, number);
  if (failed != std::errc() || stop != end) return std::nullopt;
  return number;
}

std::optional<double> ParseDouble(const std::string& text) {
  // strtod() takes more than tables hold (hexadecimal, leading blanks), so look first.
  const bool decimal = text.find_first_not_of("+-.0123456789eE") == std::string::npos;
  if (!decimal && text != "inf" && text != "-inf") return std::nullopt;
  char* stop = nullptr;
  const double number = std::strtod(text.c_str(), &stop);
  if (stop != text.c_str() + text.size()) return std::nullopt;
  return number;
}

// False if the text is no such value. Empty cells, and the words that pandas reads so, are null.
bool AppendCell(ColumnBuilder& builder, const std::string& text) {
  const ColumnType type = builder.column().type;
  if (text.empty()) {
    builder.AppendNull();
    return true;
  }
  if (type == ColumnType::kString) {
    builder.AppendText(text);
    return true;
  }
  if (text == "NaN" || text == "nan") {
    builder.AppendNull();
    return true;
  }
  if (type == ColumnType::kBool && (text == "True" || text == "False")) {
    return builder.AppendInt(text == "True");
  }
  if (const auto integer = ParseInt(text); integer && type != ColumnType::kDouble) {
    return builder.AppendInt(*integer);
  }
  const auto number = ParseDouble(text);
  return number && builder.AppendNumber(*number);
}

class CsvReader : public TableReader {
 public:
  CsvReader(std::filesystem::path path, std::shared_ptr<const MappedFile> file)
      : path_(std::move(path)), file_(std::move(file)) {
    RecordScanner(Text()).Next(names_);
  }

  const std::vector<std::string>& column_names() const override { return names_; }

  Result<Frame> Read(std::span<const WantedColumn> wanted) const override {
    std::vector<ColumnBuilder> builders(wanted.begin(), wanted.end());
    // For each column of the file, the builder that wants it.
    std::vector<ColumnBuilder*> takers(names_.size(), nullptr);
    for (ColumnBuilder& builder : builders) {
      const auto at = std::find(names_.begin(), names_.end(), builder.column().name);
      if (at != names_.end()) takers[static_cast<size_t>(at - names_.begin())] = &builder;
    }

    Frame frame;
    RecordScanner scanner(Text());
    std::vector<std::string> cells;
    scanner.Next(cells);
    while (scanner.Next(cells)) {
      ++frame.rows;
      if (cells.size() != names_.size()) {
        return Bad(scanner,
                   fmt::format("has {} cells, the header has {}", cells.size(), names_.size()));
      }
      for (size_t i = 0; i < cells.size(); ++i) {
        if (takers[i] && !AppendCell(*takers[i], cells[i])) {
          return Bad(scanner, fmt::format("column '{}' can't hold '{:.40}'", names_[i], cells[i]));
        }
      }
    }
    for (ColumnBuilder& builder : builders) {
      const bool missing = std::find(takers.begin(), takers.end(), &builder) == takers.end();
      if (missing) builder.AppendNulls(frame.rows);
      frame.columns.push_back(builder.Take());
    }
    return frame;
  }

 private:
  std::string_view Text() const {
    const auto bytes = file_->bytes();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  tl::unexpected<Error> Bad(const RecordScanner& scanner, std::string message) const {
    return Malformed(fmt::format("{}: row {}", path_.string(), scanner.record() - 1),
                     std::move(message));
  }

  std::filesystem::path path_;
  std::shared_ptr<const MappedFile> file_;
  std::vector<std::string> names_;
};

}  // namespace

Result<std::unique_ptr<TableReader>> OpenCsv(const std::filesystem::path& path) {
  auto file = MappedFile::Open(path);
  if (!file) return tl::make_unexpected(file.error());
  return std::make_unique<CsvReader>(path, std::move(*file));
}

}  // namespace moe
