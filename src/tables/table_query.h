#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/stop_token.h"
#include "rows/schema.h"
#include "tables/table_reader.h"

namespace moe {

enum class Comparison { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual };

/// "column op value". A null cell meets no comparison with a value.
struct Condition {
  WantedColumn column;
  Comparison comparison = Comparison::kEqual;
  Value value;  ///< of the column's type; null: kEqual finds nulls, kNotEqual all else
};

struct SortKey {
  WantedColumn column;
  bool descending = false;
};

/// Which rows of a table, in which order, and which of their columns.
struct TableQuery {
  std::vector<WantedColumn> columns;  ///< of each row that is given
  std::vector<Condition> where;       ///< all must hold
  std::optional<SortKey> sort;        ///< nulls last, equals in table order; else table order
  std::optional<uint64_t> top;        ///< the first so many
  std::optional<WantedColumn> per;    ///< with `sort`: `top` of each value here, value by value
  StopToken stop = {};
};

/// `columns` of a table, chosen by their names: "layer,proj"; each once. Here and below,
/// kBadArgument names the option `where` and the closest column, or all of them.
Result<std::vector<WantedColumn>> ParseColumnList(std::string_view text,
                                                  std::span<const WantedColumn> columns);

/// "COLUMN" (numbers descending, text ascending), "COLUMN:asc" or "COLUMN:desc".
Result<SortKey> ParseSortKey(const std::string& text, std::span<const WantedColumn> columns);

/// "proj=down_proj, layer>=40": conditions with = (or ==) != < <= > >=, separated by commas. A
/// value is parsed as its column's type, may stand in ' or " if it holds a comma, and is null if
/// left out. Text is compared by bytes.
Result<std::vector<Condition>> ParseConditions(std::string_view text,
                                               std::span<const WantedColumn> columns);

/// kBadArgument if a text that must be equal or unequal to a column's is none of it: names the
/// closest one, and the first of all. A scheme in any of its spellings (ParseScheme()) becomes its
/// name in the table. Reads these columns.
Result<void> SettleValues(const TableReader& reader, std::span<Condition> where);

/// What the columns hold that are compared with a number, for a query that finds no row:
/// "layer is 0 to 47, rms is 0.01 to 0.02". Reads these columns.
Result<std::string> RangesText(const TableReader& reader, std::span<const Condition> where);

/// Appends to `sink` the rows that `query` asks for; returns how many rows meet its conditions.
///
/// Only the needed columns are read: first those of the conditions and the order, in batches, then
/// the wanted ones in the batches that hold a wanted row. Memory: a batch and 8 bytes for each row
/// given; if rows are sorted, their keys and wanted cells too. kInterrupted if `stop` was set.
Result<uint64_t> RunQuery(const TableReader& reader, const TableQuery& query, RowSink& sink);

}  // namespace moe
