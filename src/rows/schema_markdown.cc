#include "rows/schema_markdown.h"

#include <fmt/format.h>

namespace moe {
namespace {

// A bar inside a cell would end it.
std::string EscapeBars(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace

std::string ColumnTypeName(ColumnType type) {
  switch (type) {
    case ColumnType::kString:
      return "string";
    case ColumnType::kInt64:
      return "int64";
    case ColumnType::kDouble:
      return "double";
    case ColumnType::kBool:
      return "bool";
    case ColumnType::kInt64List:
      return "list<int64>";
  }
  return {};
}

std::string MarkdownColumnTable(const TableSchema& schema) {
  std::string table =
      "| column | type | unit | null | meaning |\n| --- | --- | --- | --- | --- |\n";
  for (const Column& column : schema.columns) {
    table +=
        fmt::format("| `{}` | `{}` | {} | {} | {} |\n", column.name, ColumnTypeName(column.type),
                    column.unit, column.nullable ? "yes" : "", EscapeBars(column.doc));
  }
  return table;
}

}  // namespace moe
