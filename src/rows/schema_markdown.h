#pragma once

#include <string>

#include "rows/schema.h"

namespace moe {

/// "string", "int64", "double", "bool", "list<int64>".
std::string ColumnTypeName(ColumnType type);

/// The columns of `schema` as the Markdown table of docs/outputs.md, each line ended by '\n'.
std::string MarkdownColumnTable(const TableSchema& schema);

}  // namespace moe
