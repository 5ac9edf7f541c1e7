#include "tables/csv_encoder.h"

#include <fmt/format.h>

#include <cmath>

#include "tables/table_encoder.h"

namespace moe {
namespace {

constexpr size_t kFlushBytes = 256 * 1024;

struct CellText {
  std::string operator()(std::monostate) const { return {}; }
  std::string operator()(const std::string& text) const { return text; }
  std::string operator()(int64_t number) const { return std::to_string(number); }
  std::string operator()(double number) const { return PythonFloatText(number); }
  std::string operator()(bool flag) const { return flag ? "True" : "False"; }
  std::string operator()(const std::vector<int64_t>& items) const { return TupleText(items); }
};

void AppendQuoted(std::string& line, std::string_view text) {
  line += '"';
  for (const char c : text) {
    if (c == '"') line += '"';
    line += c;
  }
  line += '"';
}

class CsvEncoder : public TableEncoder {
 public:
  explicit CsvEncoder(PendingFile& file) : file_(file) {}

  Result<void> Append(const Row& row) override {
    buffer_ += CsvLine(row);
    return buffer_.size() < kFlushBytes ? Result<void>() : Flush();
  }

  Result<void> Finish() override { return Flush(); }

 private:
  Result<void> Flush() {
    const Result<void> written = file_.Write(buffer_);
    buffer_.clear();
    return written;
  }

  PendingFile& file_;
  std::string buffer_;
};

}  // namespace

std::string PythonFloatText(double value) {
  if (std::isnan(value)) return {};
  std::string text = fmt::format("{}", value);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

std::string TupleText(const std::vector<int64_t>& items) {
  return fmt::format("({}{})", fmt::join(items, ", "), items.size() == 1 ? "," : "");
}

std::string CsvLine(const Row& row) {
  std::string line;
  for (size_t i = 0; i < row.size(); ++i) {
    if (i > 0) line += ',';
    const std::string text = std::visit(CellText(), row[i]);
    // A line that holds nothing would be skipped by readers.
    const bool lone_empty_cell = text.empty() && row.size() == 1;
    if (lone_empty_cell || text.find_first_of(",\"\r\n") != std::string::npos) {
      AppendQuoted(line, text);
    } else {
      line += text;
    }
  }
  line += '\n';
  return line;
}

Result<std::unique_ptr<TableEncoder>> MakeCsvEncoder(const TableSchema& schema, PendingFile& file) {
  auto encoder = std::make_unique<CsvEncoder>(file);
  Row header;
  for (const Column& column : schema.columns) header.emplace_back(column.name);
  if (const Result<void> written = encoder->Append(header); !written) {
    return tl::make_unexpected(written.error());
  }
  return encoder;
}

}  // namespace moe
