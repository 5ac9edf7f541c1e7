#include "tables/table_query.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/text.h"
#include "run/schemes.h"
#include "tables/aggregate.h"
#include "tables/column_builder.h"
#include "tables/parse_cell.h"

namespace moe {
namespace {

constexpr std::string_view kBlank = " \t";

tl::unexpected<Error> BadOption(std::string_view option, std::string message, std::string hint) {
  return Fail(ErrorCode::kBadArgument, std::string(option), std::move(message), std::move(hint));
}

Result<WantedColumn> FindColumn(std::string_view option, std::string_view name,
                                std::span<const WantedColumn> columns) {
  std::vector<std::string> names;
  for (const WantedColumn& column : columns) {
    if (column.name == name) return column;
    names.push_back(column.name);
  }
  const auto closest = ClosestName(name, names);
  return BadOption(option, fmt::format("there is no column '{}'", name),
                   closest ? fmt::format("did you mean '{}'?", *closest)
                           : fmt::format("columns: {}", fmt::join(names, ", ")));
}

// ---- The language of --where ----

struct Operator {
  std::string_view text;
  Comparison comparison;
};
constexpr Operator kOperators[] = {
    // longer ones first
    {"==", Comparison::kEqual},     {"!=", Comparison::kNotEqual},
    {"<=", Comparison::kLessEqual}, {">=", Comparison::kGreaterEqual},
    {"=", Comparison::kEqual},      {"<", Comparison::kLess},
    {">", Comparison::kGreater},
};

const Operator* OperatorAt(std::string_view text) {
  const auto* found =
      std::find_if(std::begin(kOperators), std::end(kOperators),
                   [text](const Operator& op) { return text.starts_with(op.text); });
  return found == std::end(kOperators) ? nullptr : found;
}

// Null if the text is no value of the type.
Value ParseValue(ColumnType type, const std::string& text) {
  const auto value_of = [](const auto& parsed) { return parsed ? Value(*parsed) : Value(); };
  switch (type) {
    case ColumnType::kInt64:
      return value_of(ParseInt(text));
    case ColumnType::kDouble:
      return value_of(ParseDouble(text));
    case ColumnType::kBool: {
      const std::string lower = LowerAscii(text);
      if (lower == "true" || lower == "1") return true;
      if (lower == "false" || lower == "0") return false;
      return {};
    }
    default:
      return text;
  }
}

std::string_view Describe(ColumnType type) {
  switch (type) {
    case ColumnType::kInt64:
      return "a whole number";
    case ColumnType::kDouble:
      return "a number";
    case ColumnType::kBool:
      return "true or false";
    default:
      return "text";
  }
}

class ConditionParser {
 public:
  ConditionParser(std::string_view text, std::span<const WantedColumn> columns)
      : text_(text), columns_(columns) {}

  Result<std::vector<Condition>> Parse() {
    std::vector<Condition> conditions;
    do {
      auto condition = ParseOne();
      if (!condition) return tl::make_unexpected(condition.error());
      conditions.push_back(std::move(*condition));
    } while (SkipComma());
    return conditions;
  }

 private:
  struct Text {
    std::string text;
    bool quoted = false;
  };

  Result<Condition> ParseOne() {
    const size_t begin = at_;
    at_ = std::min(text_.find_first_of("=!<>,", at_), text_.size());
    const std::string_view name = Trimmed(text_.substr(begin, at_ - begin));
    const Operator* op = OperatorAt(text_.substr(at_));
    if (op == nullptr || name.empty()) {
      return Bad(
          fmt::format("'{}' is no condition", Trimmed(text_.substr(begin))),
          "write COLUMN=VALUE, with = != < <= > or >=, and quotes around a value with commas");
    }
    at_ += op->text.size();
    const auto column = FindColumn(kOption, name, columns_);
    if (!column) return tl::make_unexpected(column.error());
    return ReadValue().and_then([&](const Text& value) { return Typed(*column, *op, value); });
  }

  // Reads up to the comma or the end.
  Result<Text> ReadValue() {
    const size_t begin = std::min(text_.find_first_not_of(kBlank, at_), text_.size());
    const bool quoted = begin < text_.size() && (text_[begin] == '"' || text_[begin] == '\'');
    if (!quoted) {
      const size_t end = std::min(text_.find(',', at_), text_.size());
      const std::string_view value = text_.substr(at_, end - at_);
      at_ = end;
      return Text{std::string(Trimmed(value)), false};
    }
    const size_t end = text_.find(text_[begin], begin + 1);
    if (end == std::string_view::npos) {
      return Bad(fmt::format("the quote in {} is not closed", text_.substr(begin)), "close it");
    }
    at_ = std::min(text_.find_first_not_of(kBlank, end + 1), text_.size());
    if (at_ < text_.size() && text_[at_] != ',') {
      return Bad(fmt::format("'{}' stands behind the quote", text_.substr(at_)),
                 "put a comma before it");
    }
    return Text{std::string(text_.substr(begin + 1, end - begin - 1)), true};
  }

  static Result<Condition> Typed(const WantedColumn& column, const Operator& op,
                                 const Text& value) {
    const bool null = value.text.empty() && !value.quoted;
    const bool equality =
        op.comparison == Comparison::kEqual || op.comparison == Comparison::kNotEqual;
    if (null && !equality) {
      return Bad(fmt::format("'{}{}' has no value", column.name, op.text),
                 "only = and != go without one, for null");
    }
    if (null) return Condition{column, op.comparison, {}};
    Value parsed = ParseValue(column.type, value.text);
    if (std::holds_alternative<std::monostate>(parsed)) {
      return Bad(fmt::format("'{}' is no value of column '{}'", value.text, column.name),
                 fmt::format("it holds {}", Describe(column.type)));
    }
    return Condition{column, op.comparison, std::move(parsed)};
  }

  bool SkipComma() {
    if (at_ >= text_.size()) return false;
    ++at_;
    return true;
  }

  static tl::unexpected<Error> Bad(std::string message, std::string hint) {
    return BadOption(kOption, std::move(message), std::move(hint));
  }

  static constexpr std::string_view kOption = "--where";
  std::string_view text_;
  std::span<const WantedColumn> columns_;
  size_t at_ = 0;
};

// ---- Choosing rows ----

bool IsNull(const Value& value) { return std::holds_alternative<std::monostate>(value); }

bool Holds(const Condition& condition, const Value& cell) {
  const Value& value = condition.value;
  if (IsNull(cell) && !IsNull(value)) return false;
  switch (condition.comparison) {
    case Comparison::kEqual:
      return cell == value;
    case Comparison::kNotEqual:
      return cell != value;
    case Comparison::kLess:
      return cell < value;
    case Comparison::kLessEqual:
      return cell <= value;
    case Comparison::kGreater:
      return cell > value;
    case Comparison::kGreaterEqual:
      return cell >= value;
  }
  return false;
}

bool AllHold(std::span<const Condition> where, const Frame& batch, uint32_t row) {
  return std::all_of(where.begin(), where.end(), [&](const Condition& condition) {
    return Holds(condition, CellValue(batch.at(condition.column.name), row));
  });
}

// The first rows of an order, in a heap of at most `top` entries whose front is the last of them.
class TopRows {
 public:
  TopRows(bool descending, std::optional<uint64_t> top) : before_{descending}, top_(top) {}

  void Offer(Value key, uint64_t row) {
    Entry entry{std::move(key), row};
    const bool full = top_ && entries_.size() >= *top_;
    if (full && (entries_.empty() || !before_(entry, entries_.front()))) return;
    if (full) {
      std::pop_heap(entries_.begin(), entries_.end(), before_);
      entries_.pop_back();
    }
    entries_.push_back(std::move(entry));
    if (top_) std::push_heap(entries_.begin(), entries_.end(), before_);
  }

  /// Row numbers in order.
  void AppendTo(std::vector<uint64_t>& rows) {
    std::sort(entries_.begin(), entries_.end(), before_);
    for (const Entry& entry : entries_) rows.push_back(entry.row);
  }

 private:
  struct Entry {
    Value key;
    uint64_t row;
  };
  struct Before {
    bool descending;
    bool operator()(const Entry& a, const Entry& b) const {
      if (IsNull(a.key) != IsNull(b.key)) return IsNull(b.key);
      if (a.key != b.key) return descending ? a.key > b.key : a.key < b.key;
      return a.row < b.row;
    }
  };

  Before before_;
  std::optional<uint64_t> top_;
  std::vector<Entry> entries_;
};

struct Chosen {
  std::vector<uint64_t> rows;  ///< in the query's order
  uint64_t matched = 0;
};

Result<bool> GoOn(const TableQuery& query) {
  if (!query.stop.stopped()) return true;
  return Fail(ErrorCode::kInterrupted, "", "interrupted");
}

Result<Chosen> ChooseRows(const TableReader& reader, const TableQuery& query) {
  std::vector<WantedColumn> needed;
  const auto need = [&needed](const WantedColumn& column) {
    const auto same = [&column](const WantedColumn& c) { return c.name == column.name; };
    if (std::none_of(needed.begin(), needed.end(), same)) needed.push_back(column);
  };
  for (const Condition& condition : query.where) need(condition.column);
  if (query.sort) need(query.sort->column);
  if (query.per) need(*query.per);

  Chosen chosen;
  std::map<Value, TopRows> best;
  const auto read = reader.ReadBatches(needed, [&](uint64_t begin, const Frame& batch) {
    for (uint32_t row = 0; row < batch.rows; ++row) {
      if (!AllHold(query.where, batch, row)) continue;
      ++chosen.matched;
      if (query.sort) {
        const Value group = query.per ? CellValue(batch.at(query.per->name), row) : Value();
        TopRows& rows = best.try_emplace(group, query.sort->descending, query.top).first->second;
        rows.Offer(CellValue(batch.at(query.sort->column.name), row), begin + row);
      } else if (!query.top || chosen.rows.size() < *query.top) {
        chosen.rows.push_back(begin + row);
      }
    }
    return GoOn(query);
  });
  if (!read) return tl::make_unexpected(read.error());
  for (auto& [group, rows] : best) rows.AppendTo(chosen.rows);
  return chosen;
}

tl::unexpected<Error> NoSuchValue(const std::string& column, const std::string& text,
                                  const std::set<std::string>& values) {
  constexpr size_t kMostListed = 12;
  std::vector<std::string> listed(values.begin(), values.end());
  const auto closest = ClosestName(text, listed);
  const size_t more = listed.size() - std::min(listed.size(), kMostListed);
  listed.resize(listed.size() - more);
  return BadOption(
      "--where", fmt::format("there is no {} '{}'", column, text),
      fmt::format("{}{}{}{}", closest ? fmt::format("did you mean '{}'? ", *closest) : "",
                  values.empty() ? "the column is empty" : "values: ", fmt::join(listed, ", "),
                  more > 0 ? fmt::format(", {} more", more) : ""));
}

// ---- Fetching them ----

Row RowOf(const Frame& frame, uint32_t number) {
  Row row;
  row.reserve(frame.columns.size());
  for (const FrameColumn& column : frame.columns) row.push_back(CellValue(column, number));
  return row;
}

// Appends `rows`, in ascending order, to `sink`.
Result<void> FetchRows(const TableReader& reader, const TableQuery& query,
                       std::span<const uint64_t> rows, RowSink& sink) {
  if (rows.empty()) return {};
  size_t next = 0;
  const auto wants = [&](uint64_t, uint64_t end) { return next < rows.size() && rows[next] < end; };
  const auto take = [&](uint64_t begin, const Frame& batch) -> Result<bool> {
    for (; wants(begin, begin + batch.rows); ++next) {
      const auto done = sink.Append(RowOf(batch, static_cast<uint32_t>(rows[next] - begin)));
      if (!done) return tl::make_unexpected(done.error());
    }
    return next == rows.size() ? Result<bool>(false) : GoOn(query);
  };
  return reader.ReadBatches(query.columns, take, wants);
}

struct CellAppender {
  ColumnBuilder& column;
  void operator()(std::monostate) { column.AppendNull(); }
  void operator()(const std::string& text) { column.AppendText(text); }
  void operator()(int64_t number) { column.AppendInt(number); }
  void operator()(double number) { column.AppendNumber(number); }
  void operator()(bool flag) { column.AppendInt(flag); }
  void operator()(const std::vector<int64_t>&) {}  // never read, see WantedColumn
};

// Keeps rows column by column, far smaller than as Rows.
class FrameSink : public RowSink {
 public:
  explicit FrameSink(std::span<const WantedColumn> columns)
      : builders_(columns.begin(), columns.end()) {}

  Result<void> Append(Row row) override {
    ++rows_;
    for (size_t i = 0; i < row.size(); ++i) std::visit(CellAppender{builders_[i]}, row[i]);
    return {};
  }

  Frame Take() {
    Frame frame;
    frame.rows = rows_;
    for (ColumnBuilder& builder : builders_) frame.columns.push_back(builder.Take());
    return frame;
  }

 private:
  std::vector<ColumnBuilder> builders_;
  uint64_t rows_ = 0;
};

Result<void> FetchSortedRows(const TableReader& reader, const TableQuery& query,
                             const std::vector<uint64_t>& rows, RowSink& sink) {
  std::vector<uint64_t> ascending = rows;
  std::sort(ascending.begin(), ascending.end());
  FrameSink kept(query.columns);
  const auto fetched = FetchRows(reader, query, ascending, kept);
  if (!fetched) return fetched;
  const Frame frame = kept.Take();
  for (const uint64_t row : rows) {
    const auto place = std::lower_bound(ascending.begin(), ascending.end(), row);
    const auto done = sink.Append(RowOf(frame, static_cast<uint32_t>(place - ascending.begin())));
    if (!done) return done;
  }
  return {};
}

}  // namespace

Result<std::vector<WantedColumn>> ParseColumnList(std::string_view text,
                                                  std::span<const WantedColumn> columns) {
  std::vector<WantedColumn> chosen;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const auto column = FindColumn("--columns", Trimmed(text.substr(at, end - at)), columns);
    if (!column) return tl::make_unexpected(column.error());
    const bool again = std::any_of(chosen.begin(), chosen.end(), [&](const WantedColumn& other) {
      return other.name == column->name;
    });
    if (!again) chosen.push_back(*column);
    at = end + 1;
  }
  return chosen;
}

Result<SortKey> ParseSortKey(const std::string& text, std::span<const WantedColumn> columns) {
  const size_t colon = text.rfind(':');
  const std::string direction = colon == std::string::npos ? "" : text.substr(colon);
  const bool told = direction == ":asc" || direction == ":desc";
  const auto column = FindColumn("--sort", told ? text.substr(0, colon) : text, columns);
  if (!column) return tl::make_unexpected(column.error());
  const bool descending = told ? direction == ":desc" : column->type != ColumnType::kString;
  return SortKey{*column, descending};
}

Result<std::vector<Condition>> ParseConditions(std::string_view text,
                                               std::span<const WantedColumn> columns) {
  return ConditionParser(text, columns).Parse();
}

Result<void> SettleValues(const TableReader& reader, std::span<Condition> where) {
  for (Condition& condition : where) {
    const auto* text = std::get_if<std::string>(&condition.value);
    const bool equality =
        condition.comparison == Comparison::kEqual || condition.comparison == Comparison::kNotEqual;
    if (text == nullptr || !equality) continue;
    std::set<std::string> values;
    const auto read = reader.ReadBatches({&condition.column, 1}, [&](uint64_t, const Frame& batch) {
      const auto& texts = batch.columns.front().dictionary;
      values.insert(texts.begin(), texts.end());
      return Result<bool>(!values.contains(*text));
    });
    if (!read) return read;
    if (values.contains(*text)) continue;
    auto scheme = condition.column.name == "scheme" ? ParseScheme(*text) : std::nullopt;
    if (!scheme || !values.contains(scheme->name)) {
      return NoSuchValue(condition.column.name, *text, values);
    }
    condition.value = std::move(scheme->name);
  }
  return {};
}

Result<std::string> RangesText(const TableReader& reader, std::span<const Condition> where) {
  std::vector<WantedColumn> numbers;
  for (const auto& [column, comparison, value] : where) {
    const bool number =
        std::holds_alternative<int64_t>(value) || std::holds_alternative<double>(value);
    const bool again = std::ranges::count(numbers, column.name, &WantedColumn::name) > 0;
    if (number && !again) numbers.push_back({column.name, ColumnType::kDouble});
  }
  std::vector<std::pair<double, double>> ranges(numbers.size(), {HUGE_VAL, -HUGE_VAL});
  const auto read = reader.ReadBatches(numbers, [&](uint64_t, const Frame& batch) {
    for (size_t i = 0; i < numbers.size(); ++i) {
      for (const double number : batch.columns[i].doubles) {  // NaN changes neither
        ranges[i] = {std::fmin(ranges[i].first, number), std::fmax(ranges[i].second, number)};
      }
    }
    return Result<bool>(true);
  });
  if (!read) return tl::make_unexpected(read.error());
  std::vector<std::string> texts;
  for (size_t i = 0; i < numbers.size(); ++i) {
    const auto [least, most] = ranges[i];
    texts.push_back(numbers[i].name + (least > most ? " is null everywhere"
                                       : least == most
                                           ? fmt::format(" is {:.5g}", least)
                                           : fmt::format(" is {:.5g} to {:.5g}", least, most)));
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

Result<uint64_t> RunQuery(const TableReader& reader, const TableQuery& query, RowSink& sink) {
  const auto chosen = ChooseRows(reader, query);
  if (!chosen) return tl::make_unexpected(chosen.error());
  const auto given = query.sort ? FetchSortedRows(reader, query, chosen->rows, sink)
                                : FetchRows(reader, query, chosen->rows, sink);
  if (!given) return tl::make_unexpected(given.error());
  return chosen->matched;
}

}  // namespace moe
