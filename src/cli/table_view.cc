#include "cli/table_view.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <span>
#include <utility>

#include "base/json.h"
#include "base/text.h"
#include "checkpoint/names.h"
#include "cli/terminal.h"
#include "tables/csv_encoder.h"

namespace moe::cli {
namespace {

bool OnTerminal() { return isatty(STDOUT_FILENO) != 0; }

bool IsNumeric(ColumnType type) {
  return type == ColumnType::kDouble || type == ColumnType::kInt64;
}

/// For people: five digits, "-" for null, one line without control characters.
struct ShortText {
  std::string operator()(std::monostate) const { return "-"; }
  std::string operator()(const std::string& text) const { return Printable(text); }
  std::string operator()(int64_t number) const { return std::to_string(number); }
  std::string operator()(double number) const { return fmt::format("{:.5g}", number); }
  std::string operator()(bool flag) const { return flag ? "True" : "False"; }
  std::string operator()(const std::vector<int64_t>& items) const { return TupleText(items); }
};

// ---- Aligned text with bars ----

constexpr size_t kGap = 2;
constexpr size_t kBarWidth = 20, kLeastBarWidth = 8;
constexpr size_t kWideText = 28;  // what is left of longer text where the terminal is narrow
/// What a row is about: goes before all others where there is no room for all.
constexpr std::string_view kKeyColumns[] = {"stack",  "layer",     "block4",     "proj",
                                            "scheme", "expert_id", "delta_name", kNoteColumn};

/// A bar of value / largest of `width` characters; negative values are drawn lighter.
std::string Bar(double value, double largest, size_t width, bool utf8) {
  if (!(largest > 0)) return {};
  const double share = std::min(1.0, std::abs(value) / largest);
  const auto eighths = static_cast<size_t>(std::lround(share * static_cast<double>(width) * 8));
  if (!utf8) return std::string((eighths + 4) / 8, value < 0 ? '-' : '#');
  constexpr const char* kParts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  std::string bar;
  for (size_t i = 0; i < eighths / 8; ++i) bar += value < 0 ? "▒" : "█";
  return value < 0 ? bar : bar + kParts[eighths % 8];
}

/// Keeps the rows, and prints them when all widths are known.
class AlignedView : public TableView {
 public:
  AlignedView(ViewOptions options, Reporter& report)
      : options_(std::move(options)), report_(report) {
    for (const WantedColumn& column : options_.columns) {
      const std::string name = Printable(column.name);
      columns_.push_back({name, IsNumeric(column.type), {}, Width(name)});
    }
  }

  Result<void> Append(Row row) override {
    for (size_t i = 0; i < row.size(); ++i) {
      Column& column = columns_[i];
      column.cells.push_back(std::visit(ShortText(), row[i]));
      column.width = std::max(column.width, Width(column.cells.back()));
      if (HasBars(i)) bar_values_.push_back(Number(row[i]));
    }
    ++rows_;
    return {};
  }

  size_t Finish() override {
    std::vector<size_t> shown(columns_.size());
    std::iota(shown.begin(), shown.end(), size_t{0});
    FitColumns(shown);
    for (const double value : bar_values_) {
      if (std::isfinite(value)) largest_ = std::max(largest_, std::abs(value));
    }
    report_.Result(Line(shown, std::nullopt));
    for (size_t row = 0; row < rows_; ++row) report_.Result(Line(shown, row));
    return columns_.size() - shown.size();
  }

 private:
  struct Column {
    std::string name;
    bool right;  ///< a number
    std::vector<std::string> cells;
    size_t width;
  };

  static double Number(const Value& value) {
    if (const auto* number = std::get_if<double>(&value)) return *number;
    const auto* integer = std::get_if<int64_t>(&value);
    return integer == nullptr ? 0 : static_cast<double>(*integer);
  }

  bool HasBars(size_t i) const {
    return columns_[i].right && options_.columns[i].name == options_.bars;
  }

  size_t SpaceFor(size_t i, size_t bar_width) const {
    return kGap + columns_[i].width + (HasBars(i) ? kGap + bar_width : 0);
  }

  /// 0: must be shown; 3: the less telling columns of this table, of one value or of long text.
  int Rank(size_t i) const {
    if (HasBars(i)) return 0;
    if (std::ranges::count(kKeyColumns, options_.columns[i].name) > 0) return 1;
    const auto& cells = columns_[i].cells;
    const bool varies =
        std::adjacent_find(cells.begin(), cells.end(), std::not_equal_to<>()) != cells.end();
    return varies && columns_[i].width <= kWideText ? 2 : 3;
  }

  /// In a pipe the columns of the terminal that the user sits at, but with their text whole.
  void FitColumns(std::vector<size_t>& shown) {
    constexpr size_t kUsual = 80;
    if (const auto terminal = TerminalWidth(STDOUT_FILENO)) return FitTerminal(*terminal, shown);
    std::vector<size_t> whole;
    for (const Column& column : columns_) whole.push_back(column.width);
    FitTerminal(TerminalWidth(STDERR_FILENO).value_or(kUsual), shown);
    for (size_t i = 0; i < whole.size(); ++i) columns_[i].width = whole[i];
  }

  /// Cuts long text and leaves out columns of high rank until a line fits.
  void FitTerminal(size_t terminal, std::vector<size_t>& shown) {
    size_t left = terminal + kGap, needed = 0;
    for (const size_t i : shown) needed += SpaceFor(i, kLeastBarWidth);
    if (needed > left) {
      std::stable_sort(shown.begin(), shown.end(),
                       [this](size_t a, size_t b) { return Rank(a) < Rank(b); });
      for (Column& column : columns_) {
        if (!column.right) column.width = std::min(column.width, kWideText);
      }
    }
    std::vector<size_t> fitting;
    for (const size_t i : shown) {
      const size_t space = SpaceFor(i, kLeastBarWidth);
      if (space > left && !fitting.empty() && !options_.all_columns) continue;
      fitting.push_back(i);
      left -= std::min(left, space);
    }
    bar_width_ = std::min(kBarWidth, kLeastBarWidth + left);
    std::sort(fitting.begin(), fitting.end());
    shown = fitting;
  }

  /// `text` in `width` characters, its middle cut out if it is longer.
  std::string Padded(const std::string& text, size_t width, bool right) const {
    const size_t length = Width(text);
    if (length <= width) {
      const std::string blanks(width - length, ' ');
      return right ? blanks + text : text + blanks;
    }
    const size_t head = (width - 1) / 2;
    return fmt::format("{}{}{}", Characters(text, 0, head), CutMark(),
                       Characters(text, length - (width - 1 - head), length));
  }

  /// A row, or the header.
  std::string Line(std::span<const size_t> shown, std::optional<size_t> row) const {
    std::string line;
    for (const size_t i : shown) {
      const Column& column = columns_[i];
      if (i != shown.front()) line.append(kGap, ' ');
      line += Padded(row ? column.cells[*row] : column.name, column.width, column.right);
      if (!HasBars(i)) continue;
      const std::string bar = row ? Bar(bar_values_[*row], largest_, bar_width_, utf8_) : "";
      line += std::string(kGap, ' ') + Padded(bar, bar_width_, false);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
  }

  ViewOptions options_;
  Reporter& report_;
  std::vector<Column> columns_;
  std::vector<double> bar_values_;  ///< one a row, if a column has bars
  double largest_ = 0;
  size_t rows_ = 0, bar_width_ = kBarWidth;
  bool utf8_ = Utf8Locale();
};

// ---- Formats that are printed row by row ----

class CsvView : public TableView {
 public:
  CsvView(const ViewOptions& options, Reporter& report) : report_(report) {
    Row header;
    for (const WantedColumn& column : options.columns) header.emplace_back(column.name);
    Print(std::move(header));
  }

  Result<void> Append(Row row) override {
    Print(std::move(row));
    return {};
  }

  size_t Finish() override { return 0; }

 private:
  void Print(Row row) {
    if (terminal_) {
      for (Value& value : row) {
        if (auto* text = std::get_if<std::string>(&value)) *text = Printable(*text);
      }
    }
    std::string line = CsvLine(row);
    line.pop_back();
    report_.Data(line);
  }

  Reporter& report_;
  bool terminal_ = OnTerminal();
};

/// ASCII, quotes included.
std::string JsonString(const std::string& text) { return Json(text).Text({.ascii = true}); }

struct JsonCell {
  std::string operator()(std::monostate) const { return "null"; }
  std::string operator()(const std::string& text) const { return JsonString(text); }
  std::string operator()(int64_t number) const { return std::to_string(number); }
  /// JSON has no infinity; a number past all doubles is read as one.
  std::string operator()(double number) const {
    if (std::isinf(number)) return number < 0 ? "-1e999" : "1e999";
    return PythonFloatText(number);
  }
  std::string operator()(bool flag) const { return flag ? "true" : "false"; }
  std::string operator()(const std::vector<int64_t>& items) const { return TupleText(items); }
};

/// An array of objects, one a line.
class JsonView : public TableView {
 public:
  JsonView(const ViewOptions& options, Reporter& report) : report_(report) {
    for (const WantedColumn& column : options.columns) names_.push_back(JsonString(column.name));
  }

  Result<void> Append(Row row) override {
    report_.Result(last_.empty() ? "[" : last_ + ",");
    last_ = "{";
    for (size_t i = 0; i < row.size(); ++i) {
      last_ += (i > 0 ? ", " : "") + names_[i] + ": " + std::visit(JsonCell(), row[i]);
    }
    last_ += "}";
    return {};
  }

  size_t Finish() override {
    report_.Result(last_.empty() ? "[]" : last_ + "]");
    return 0;
  }

 private:
  Reporter& report_;
  std::vector<std::string> names_;
  std::string last_;
};

/// Text as Markdown shows it, not as it reads it.
std::string MarkdownText(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '<') {
      escaped += "&lt;";
    } else if (c == '&') {
      escaped += "&amp;";
    } else {
      if (std::string_view("\\`*[]|~").find(c) != std::string_view::npos) escaped += '\\';
      escaped += c;
    }
  }
  return escaped;
}

class MarkdownView : public TableView {
 public:
  MarkdownView(const ViewOptions& options, Reporter& report) : report_(report) {
    std::string header = "|", rule = "|";
    for (const WantedColumn& column : options.columns) {
      header += " " + MarkdownText(Printable(column.name)) + " |";
      rule += IsNumeric(column.type) ? " ---: |" : " --- |";
    }
    report_.Result(header);
    report_.Result(rule);
  }

  Result<void> Append(Row row) override {
    std::string line = "|";
    for (const Value& value : row) {
      line += " " + MarkdownText(std::visit(ShortText(), value)) + " |";
    }
    report_.Result(line);
    return {};
  }

  size_t Finish() override { return 0; }

 private:
  Reporter& report_;
};

}  // namespace

std::unique_ptr<TableView> MakeTableView(const ViewOptions& options, Reporter& report) {
  switch (options.format) {
    case ShowFormat::kCsv:
      return std::make_unique<CsvView>(options, report);
    case ShowFormat::kJson:
      return std::make_unique<JsonView>(options, report);
    case ShowFormat::kMarkdown:
      return std::make_unique<MarkdownView>(options, report);
    case ShowFormat::kTable:
      break;
  }
  return std::make_unique<AlignedView>(options, report);
}

}  // namespace moe::cli
