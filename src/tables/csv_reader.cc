#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/mapped_file.h"
#include "rows/collect_rows.h"
#include "tables/column_builder.h"
#include "tables/format_readers.h"
#include "tables/parse_cell.h"

namespace moe {
namespace {

// Splits RFC 4180 text into records. Blank lines are no records; `\n`, `\r\n` and `\r` end lines.
class RecordScanner {
 public:
  explicit RecordScanner(std::string_view text) : text_(text) {
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    if (text_.substr(0, kByteOrderMark.size()) == kByteOrderMark) at_ = kByteOrderMark.size();
  }

  /// The next record's cells, or false at the end.
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
  /// The record just read ends with the text because a quote in it is not closed.
  bool has_open_quote() const { return open_quote_; }

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
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != ',' && !IsLineEnd(text_[at_])) ++at_;
    cell.append(text_.substr(begin, at_ - begin));
  }

  void ReadQuoted(std::string& cell) {
    ++at_;
    open_quote_ = true;
    while (at_ < text_.size()) {
      const size_t quote = std::min(text_.find('"', at_), text_.size());
      cell.append(text_.substr(at_, quote - at_));
      at_ = quote + 1;
      open_quote_ = quote == text_.size();
      if (at_ >= text_.size() || text_[at_] != '"') break;
      open_quote_ = true;
      cell += '"';
      ++at_;
    }
    at_ = std::min(at_, text_.size());
  }

  std::string_view text_;
  size_t at_ = 0;
  uint64_t record_ = 0;
  bool open_quote_ = false;
};

bool IsNanText(const std::string& text) { return text == "NaN" || text == "nan"; }

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
  if (IsNanText(text)) {
    builder.AppendNull();
    return true;
  }
  if (const auto flag = ParseBool(text); flag && type == ColumnType::kBool) {
    return builder.AppendInt(*flag);
  }
  if (const auto integer = ParseInt(text); integer && type != ColumnType::kDouble) {
    return builder.AppendInt(*integer);
  }
  const auto number = ParseDouble(text);
  return number && builder.AppendNumber(*number);
}

// The types of the columns that moescope's own tables declare, by name.
const std::map<std::string, ColumnType>& DeclaredTypes() {
  static const auto kTypes = [] {
    std::map<std::string, ColumnType> types;
    for (const TableSchema& schema : CollectSchemas(MeasureOptions{})) {
      for (const Column& column : schema.columns) types.emplace(column.name, column.type);
    }
    return types;
  }();
  return kTypes;
}

bool Fits(ColumnType type, const std::string& text) {
  switch (type) {
    case ColumnType::kBool:
      return ParseBool(text).has_value();
    case ColumnType::kInt64:
      return ParseInt(text).has_value();
    case ColumnType::kDouble:
      return IsNanText(text) || ParseDouble(text);
    default:
      return true;
  }
}

// Finds the narrowest type that holds all cells of a column: not narrower than the declared one.
class TypeGuess {
 public:
  explicit TypeGuess(const std::string& name) {
    const auto declared = DeclaredTypes().find(name);
    if (declared == DeclaredTypes().end()) return;
    known_ = true;
    const bool list = declared->second == ColumnType::kInt64List;
    type_ = list ? ColumnType::kString : declared->second;
  }

  void See(const std::string& text) {
    if (text.empty() || (known_ && type_ == ColumnType::kString)) return;
    if (!known_) type_ = ParseBool(text) ? ColumnType::kBool : ColumnType::kInt64;
    known_ = true;
    if (type_ == ColumnType::kInt64 && !Fits(type_, text)) type_ = ColumnType::kDouble;
    if (!Fits(type_, text)) type_ = ColumnType::kString;
  }

  ColumnType type() const { return type_; }

 private:
  bool known_ = false;
  ColumnType type_ = ColumnType::kString;
};

class CsvReader : public TableReader {
 public:
  CsvReader(std::filesystem::path path, std::shared_ptr<const MappedFile> file)
      : path_(std::move(path)), file_(std::move(file)) {
    RecordScanner(Text()).Next(names_);
  }

  const std::vector<std::string>& column_names() const override { return names_; }

  std::vector<WantedColumn> Columns() const override {
    std::vector<TypeGuess> guesses(names_.begin(), names_.end());
    RecordScanner scanner(Text());
    std::vector<std::string> cells;
    scanner.Next(cells);
    while (scanner.Next(cells)) {
      for (size_t i = 0; i < std::min(cells.size(), guesses.size()); ++i) guesses[i].See(cells[i]);
    }
    std::vector<WantedColumn> columns;
    for (size_t i = 0; i < names_.size(); ++i) columns.push_back({names_[i], guesses[i].type()});
    return columns;
  }

  Result<Frame> Read(std::span<const WantedColumn> wanted) const override {
    RecordScanner scanner(Text());
    return ReadNext(scanner, wanted, std::numeric_limits<uint64_t>::max());
  }

  Result<void> ReadBatches(std::span<const WantedColumn> wanted, const BatchTaker& take,
                           const BatchFilter& wants) const override {
    constexpr uint64_t kBatchRows = 1 << 14;
    RecordScanner scanner(Text());
    for (uint64_t begin = 0;; begin += kBatchRows) {
      const bool skipped = wants && !wants(begin, begin + kBatchRows);
      const auto columns = skipped ? std::span<const WantedColumn>() : wanted;
      const Result<Frame> batch = ReadNext(scanner, columns, kBatchRows);
      if (!batch) return tl::make_unexpected(batch.error());
      if (batch->rows == 0) return {};
      if (skipped) continue;
      const Result<bool> more = take(begin, *batch);
      if (!more) return tl::make_unexpected(more.error());
      if (!*more) return {};
    }
  }

 private:
  // The next rows, `limit` at most; the header is skipped.
  Result<Frame> ReadNext(RecordScanner& scanner, std::span<const WantedColumn> wanted,
                         uint64_t limit) const {
    std::vector<ColumnBuilder> builders(wanted.begin(), wanted.end());
    // For each column of the file, the builder that wants it.
    std::vector<ColumnBuilder*> takers(names_.size(), nullptr);
    for (ColumnBuilder& builder : builders) {
      const auto at = std::find(names_.begin(), names_.end(), builder.column().name);
      if (at != names_.end()) takers[static_cast<size_t>(at - names_.begin())] = &builder;
    }

    Frame frame;
    std::vector<std::string> cells;
    if (scanner.record() == 0) scanner.Next(cells);
    while (frame.rows < limit && scanner.Next(cells)) {
      ++frame.rows;
      if (scanner.has_open_quote()) return Bad(scanner, "has a quote that is not closed");
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
    if (auto whole = file_->CheckWhole(); !whole) return tl::make_unexpected(whole.error());
    return frame;
  }

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
