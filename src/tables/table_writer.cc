#include "tables/table_writer.h"

#include <fmt/format.h>

#include <cassert>
#include <cmath>
#include <system_error>

#include "base/utf8.h"
#include "tables/table_encoder.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

fs::path TablePath(const fs::path& folder, const TableSchema& schema, TableFormat format) {
  return folder / (schema.name + (format == TableFormat::kParquet ? ".parquet" : ".csv"));
}

// Which alternative of Value a column holds.
size_t ValueIndex(ColumnType type) {
  switch (type) {
    case ColumnType::kString:
      return 1;
    case ColumnType::kInt64:
      return 2;
    case ColumnType::kDouble:
      return 3;
    case ColumnType::kBool:
      return 4;
    case ColumnType::kInt64List:
      return 5;
  }
  return 0;
}

[[maybe_unused]] bool Fits(const TableSchema& schema, const Row& row) {
  if (row.size() != schema.columns.size()) return false;
  for (size_t i = 0; i < row.size(); ++i) {
    const Column& column = schema.columns[i];
    const bool null = std::holds_alternative<std::monostate>(row[i]);
    if (null ? !column.nullable : row[i].index() != ValueIndex(column.type)) return false;
  }
  return true;
}

class FileTableWriter : public TableWriter {
 public:
  static Result<std::unique_ptr<FileTableWriter>> Open(const fs::path& folder,
                                                       const TableSchema& schema,
                                                       const OutputOptions& options,
                                                       FileTransaction& files) {
    std::unique_ptr<FileTableWriter> writer(new FileTableWriter(folder, schema, options.format));
    const fs::path& path = writer->written_.path;
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) {
      return Fail(ErrorCode::kIo, path.string(), "is a folder", "move it away",
                  "IsADirectoryError");
    }
    auto file = PendingFile::Create(path);
    if (!file) return tl::make_unexpected(file.error());
    auto encoder = options.format == TableFormat::kParquet
                       ? MakeParquetEncoder(writer->schema_, options, **file)
                       : MakeCsvEncoder(writer->schema_, **file);
    if (!encoder) return tl::make_unexpected(encoder.error());
    writer->encoder_ = std::move(*encoder);
    writer->file_ = &files.Add(std::move(*file));
    // An older table of the other suffix would be read instead of this one.
    files.Remove(TablePath(folder, schema, Other(options.format)));
    return writer;
  }

  // For the entry of a table whose Parquet file could not be opened.
  void MarkFallback(const Error& parquet_failure) {
    written_.fallback = true;
    written_.error = fmt::format("{}: {}", parquet_failure.TypeName(), parquet_failure.message);
  }

  Result<void> Append(Row row) override {
    assert(Fits(schema_, row));
    for (Value& value : row) {  // other readers refuse a whole Parquet file for one such byte
      auto* text = std::get_if<std::string>(&value);
      if (text != nullptr && !IsUtf8(*text)) *text = AsUtf8(*text);
    }
    ++written_.rows;
    return encoder_->Append(row);
  }

  Result<void> Finish() override {
    return encoder_->Finish().and_then([this] { return file_->Finish(); });
  }

  const WrittenTable& written() const override { return written_; }

 private:
  FileTableWriter(const fs::path& folder, const TableSchema& schema, TableFormat format)
      : schema_(schema) {
    written_.path = TablePath(folder, schema, format);
    written_.format = format;
  }

  static TableFormat Other(TableFormat format) {
    return format == TableFormat::kParquet ? TableFormat::kCsv : TableFormat::kParquet;
  }

  TableSchema schema_;
  WrittenTable written_;
  PendingFile* file_ = nullptr;            // of the transaction
  std::unique_ptr<TableEncoder> encoder_;  // after file_, which it writes to
};

}  // namespace

bool IsNullOrNan(const Value& value) {
  const double* number = std::get_if<double>(&value);
  return std::holds_alternative<std::monostate>(value) || (number && std::isnan(*number));
}

Result<std::unique_ptr<TableWriter>> TableWriter::Open(const fs::path& folder,
                                                       const TableSchema& schema,
                                                       const OutputOptions& options,
                                                       FileTransaction& files) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) {
    return Fail(ErrorCode::kIo, folder.string(), "can't be created: " + failed.message());
  }
  auto writer = FileTableWriter::Open(folder, schema, options, files);
  if (!writer && options.format == TableFormat::kParquet) {
    const Error parquet_failure = writer.error();
    OutputOptions csv = options;
    csv.format = TableFormat::kCsv;
    writer = FileTableWriter::Open(folder, schema, csv, files);
    if (writer) (*writer)->MarkFallback(parquet_failure);
  }
  if (!writer) return tl::make_unexpected(writer.error());
  return std::move(*writer);
}

}  // namespace moe
