#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "tables/table_reader.h"

namespace moe {

/// Fills a FrameColumn cell by cell.
class ColumnBuilder {
 public:
  explicit ColumnBuilder(const WantedColumn& wanted) {
    column_.name = wanted.name;
    column_.type = wanted.type;
  }

  void Reserve(uint64_t rows);
  void AppendNull();
  void AppendNulls(uint64_t count);
  void AppendText(std::string_view text) { column_.codes.push_back(CodeOf(text)); }
  /// For many rows that share texts: CodeOf() once, AppendCode() for each.
  uint32_t CodeOf(std::string_view text);
  void AppendCode(uint32_t code) { column_.codes.push_back(code); }
  /// False if the column can't hold the number: a fraction in an integer column.
  bool AppendNumber(double number);
  bool AppendInt(int64_t number);

  const FrameColumn& column() const { return column_; }
  FrameColumn Take() { return std::move(column_); }

 private:
  FrameColumn column_;
  std::unordered_map<std::string, uint32_t> codes_;
};

}  // namespace moe
