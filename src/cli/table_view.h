#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/reporter.h"
#include "rows/schema.h"
#include "tables/table_reader.h"

namespace moe::cli {

/// A column that is not in the tables: what must be known of a row to read it.
inline constexpr std::string_view kNoteColumn = "note";

enum class ShowFormat { kTable, kCsv, kJson, kMarkdown };

/// How a table is shown.
struct ViewOptions {
  ShowFormat format = ShowFormat::kTable;
  std::vector<WantedColumn> columns;  ///< of the rows that will be appended
  std::optional<std::string> bars;    ///< kTable: the numeric column that gets a bar
  bool all_columns = false;           ///< kTable: none is left out where there is no room for all
};

/// Prints the rows appended to it as results. Numbers are exact in CSV and JSON, and have five
/// significant digits in the other two, where null is "-". Text can't command a terminal in any
/// format; CSV in a pipe holds it as it is.
class TableView : public RowSink {
 public:
  /// Prints what is left; returns how many columns were left out. To be called once, at the end.
  virtual size_t Finish() = 0;
};

/// `report` must outlive the view.
std::unique_ptr<TableView> MakeTableView(const ViewOptions& options, Reporter& report);

}  // namespace moe::cli
