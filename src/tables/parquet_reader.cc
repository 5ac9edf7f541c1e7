#include <arrow/array.h>
#include <arrow/chunked_array.h>
#include <arrow/io/file.h>
#include <arrow/type.h>
#include <fmt/format.h>
#include <parquet/arrow/reader.h>
#include <parquet/file_reader.h>

#include <algorithm>
#include <exception>
#include <type_traits>
#include <utility>

#include "tables/column_builder.h"
#include "tables/csv_encoder.h"
#include "tables/format_readers.h"

namespace moe {
namespace {

arrow::Status CantHold(const ColumnBuilder& builder, const std::string& what) {
  return arrow::Status::TypeError("column '", builder.column().name, "' can't hold ", what);
}

template <class Array>
arrow::Status AppendNumbers(const arrow::Array& chunk, ColumnBuilder& builder) {
  const auto& numbers = static_cast<const Array&>(chunk);
  for (int64_t i = 0; i < numbers.length(); ++i) {
    bool fits = true;
    if (numbers.IsNull(i)) {
      builder.AppendNull();
    } else if constexpr (std::is_floating_point_v<decltype(numbers.Value(0))>) {
      fits = builder.AppendNumber(numbers.Value(i));
    } else {
      fits = builder.AppendInt(static_cast<int64_t>(numbers.Value(i)));
    }
    if (!fits) return CantHold(builder, fmt::format("{} in row {}", numbers.Value(i), i));
  }
  return arrow::Status::OK();
}

template <class Array>
void AppendTexts(const arrow::Array& chunk, ColumnBuilder& builder) {
  const auto& texts = static_cast<const Array&>(chunk);
  for (int64_t i = 0; i < texts.length(); ++i) {
    if (texts.IsNull(i)) {
      builder.AppendNull();
    } else {
      builder.AppendText(texts.GetView(i));
    }
  }
}

// Each text is looked up once, not once a row.
template <class Texts>
void AppendDictionary(const arrow::DictionaryArray& chunk, ColumnBuilder& builder) {
  const auto& texts = static_cast<const Texts&>(*chunk.dictionary());
  std::vector<uint32_t> codes;
  for (int64_t i = 0; i < texts.length(); ++i) {
    codes.push_back(texts.IsNull(i) ? FrameColumn::kNullCode : builder.CodeOf(texts.GetView(i)));
  }
  for (int64_t i = 0; i < chunk.length(); ++i) {
    builder.AppendCode(chunk.IsNull(i) ? FrameColumn::kNullCode
                                       : codes[static_cast<size_t>(chunk.GetValueIndex(i))]);
  }
}

// Each list as the text of a Python tuple, as in CSV.
arrow::Status AppendLists(const arrow::Array& chunk, ColumnBuilder& builder) {
  const auto& lists = static_cast<const arrow::ListArray&>(chunk);
  if (lists.value_type()->id() != arrow::Type::INT64) {
    return CantHold(builder, chunk.type()->ToString());
  }
  const auto& items = static_cast<const arrow::Int64Array&>(*lists.values());
  for (int64_t i = 0; i < lists.length(); ++i) {
    if (lists.IsNull(i)) {
      builder.AppendNull();
    } else {
      const int64_t* begin = items.raw_values() + lists.value_offset(i);
      builder.AppendText(TupleText({begin, begin + lists.value_length(i)}));
    }
  }
  return arrow::Status::OK();
}

arrow::Status AppendStringChunk(const arrow::Array& chunk, ColumnBuilder& builder) {
  switch (chunk.type_id()) {
    case arrow::Type::STRING:
      AppendTexts<arrow::StringArray>(chunk, builder);
      break;
    case arrow::Type::LARGE_STRING:
      AppendTexts<arrow::LargeStringArray>(chunk, builder);
      break;
    case arrow::Type::LIST:
      return AppendLists(chunk, builder);
    case arrow::Type::DICTIONARY: {
      const auto& encoded = static_cast<const arrow::DictionaryArray&>(chunk);
      switch (encoded.dictionary()->type_id()) {
        case arrow::Type::STRING:
          AppendDictionary<arrow::StringArray>(encoded, builder);
          break;
        case arrow::Type::LARGE_STRING:
          AppendDictionary<arrow::LargeStringArray>(encoded, builder);
          break;
        default:
          return CantHold(builder, chunk.type()->ToString());
      }
      break;
    }
    default:
      return CantHold(builder, chunk.type()->ToString());
  }
  return arrow::Status::OK();
}

arrow::Status AppendNumberChunk(const arrow::Array& chunk, ColumnBuilder& builder) {
  switch (chunk.type_id()) {
    case arrow::Type::INT8:
      return AppendNumbers<arrow::Int8Array>(chunk, builder);
    case arrow::Type::INT16:
      return AppendNumbers<arrow::Int16Array>(chunk, builder);
    case arrow::Type::INT32:
      return AppendNumbers<arrow::Int32Array>(chunk, builder);
    case arrow::Type::INT64:
      return AppendNumbers<arrow::Int64Array>(chunk, builder);
    case arrow::Type::UINT8:
      return AppendNumbers<arrow::UInt8Array>(chunk, builder);
    case arrow::Type::UINT16:
      return AppendNumbers<arrow::UInt16Array>(chunk, builder);
    case arrow::Type::UINT32:
      return AppendNumbers<arrow::UInt32Array>(chunk, builder);
    case arrow::Type::FLOAT:
      return AppendNumbers<arrow::FloatArray>(chunk, builder);
    case arrow::Type::DOUBLE:
      return AppendNumbers<arrow::DoubleArray>(chunk, builder);
    case arrow::Type::BOOL:
      return AppendNumbers<arrow::BooleanArray>(chunk, builder);
    default:
      return CantHold(builder, chunk.type()->ToString());
  }
}

arrow::Status AppendChunk(const arrow::Array& chunk, ColumnBuilder& builder) {
  if (chunk.type_id() == arrow::Type::NA) {
    builder.AppendNulls(static_cast<uint64_t>(chunk.length()));
    return arrow::Status::OK();
  }
  return builder.column().type == ColumnType::kString ? AppendStringChunk(chunk, builder)
                                                      : AppendNumberChunk(chunk, builder);
}

ColumnType TypeOf(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::BOOL:
      return ColumnType::kBool;
    case arrow::Type::FLOAT:
    case arrow::Type::DOUBLE:
      return ColumnType::kDouble;
    default:
      return arrow::is_integer(type.id()) ? ColumnType::kInt64 : ColumnType::kString;
  }
}

class ParquetReader : public TableReader {
 public:
  explicit ParquetReader(std::filesystem::path path) : path_(std::move(path)) {}

  arrow::Status Open() {
    ARROW_ASSIGN_OR_RAISE(auto file, arrow::io::ReadableFile::Open(path_.string()));
    std::unique_ptr<parquet::ParquetFileReader> raw = parquet::ParquetFileReader::Open(file);
    // Strings stay dictionaries: a table of 700,000 rows has a few hundred different ones.
    parquet::ArrowReaderProperties properties(/*use_threads=*/false);
    const parquet::SchemaDescriptor& schema = *raw->metadata()->schema();
    for (int i = 0; i < schema.num_columns(); ++i) {
      const bool text = schema.Column(i)->physical_type() == parquet::Type::BYTE_ARRAY;
      properties.set_read_dictionary(i, text);
    }
    ARROW_RETURN_NOT_OK(
        parquet::arrow::FileReader::Make(arrow::default_memory_pool(), std::move(raw), properties)
            .Value(&reader_));
    ARROW_RETURN_NOT_OK(reader_->GetSchema(&schema_));
    names_ = schema_->field_names();
    return arrow::Status::OK();
  }

  const std::vector<std::string>& column_names() const override { return names_; }

  Result<Frame> Read(std::span<const WantedColumn> wanted) const override {
    Frame frame;
    frame.rows = static_cast<uint64_t>(reader_->parquet_reader()->metadata()->num_rows());
    if (const auto read = ReadFrame(wanted, kAllGroups, frame); !read) {
      return tl::make_unexpected(read.error());
    }
    return frame;
  }

  // A batch is a row group: 65,536 rows at most in files of ours.
  Result<void> ReadBatches(std::span<const WantedColumn> wanted, const BatchTaker& take,
                           const BatchFilter& wants) const override {
    uint64_t begin = 0;
    for (int group = 0; group < reader_->num_row_groups(); ++group) {
      Frame frame;
      frame.rows =
          static_cast<uint64_t>(reader_->parquet_reader()->metadata()->RowGroup(group)->num_rows());
      const uint64_t first_row = std::exchange(begin, begin + frame.rows);
      if (wants && !wants(first_row, begin)) continue;
      const auto read = ReadFrame(wanted, group, frame);
      if (!read) return read;
      const Result<bool> more = take(first_row, frame);
      if (!more) return tl::make_unexpected(more.error());
      if (!*more) break;
    }
    return {};
  }

  std::vector<WantedColumn> Columns() const override {
    std::vector<WantedColumn> columns;
    for (const auto& field : schema_->fields()) {
      columns.push_back({field->name(), TypeOf(*field->type())});
    }
    return columns;
  }

  // Parquet reports through Status, but parts of it throw.
  template <class Function>
  Result<void> Guarded(Function function) const {
    try {
      const arrow::Status status = function();
      if (status.ok()) return {};
      return Fail(status.IsIOError() ? ErrorCode::kIo : ErrorCode::kMalformed, path_.string(),
                  status.message());
    } catch (const std::exception& failure) {
      return Malformed(path_.string(), failure.what(), "is it a whole Parquet file?");
    }
  }

 private:
  static constexpr int kAllGroups = -1;

  // Fills the columns of `frame`, one at a time, so that only one is held twice.
  Result<void> ReadFrame(std::span<const WantedColumn> wanted, int group, Frame& frame) const {
    for (const WantedColumn& column : wanted) {
      ColumnBuilder builder(column);
      const auto read = Guarded([&] { return ReadColumn(group, frame.rows, builder); });
      if (!read) return read;
      frame.columns.push_back(builder.Take());
    }
    return {};
  }

  arrow::Status ReadColumn(int group, uint64_t rows, ColumnBuilder& builder) const {
    builder.Reserve(rows);
    const auto at = std::find(names_.begin(), names_.end(), builder.column().name);
    if (at == names_.end()) {
      builder.AppendNulls(rows);
      return arrow::Status::OK();
    }
    const auto column = static_cast<int>(at - names_.begin());
    std::shared_ptr<arrow::ChunkedArray> cells;
    ARROW_RETURN_NOT_OK(group == kAllGroups
                            ? reader_->ReadColumn(column, &cells)
                            : reader_->RowGroup(group)->Column(column)->Read(&cells));
    if (static_cast<uint64_t>(cells->length()) != rows) {
      return arrow::Status::Invalid("column '", *at, "' has ", cells->length(),
                                    " rows, the table has ", rows);
    }
    for (const auto& chunk : cells->chunks()) ARROW_RETURN_NOT_OK(AppendChunk(*chunk, builder));
    return arrow::Status::OK();
  }

  std::filesystem::path path_;
  std::unique_ptr<parquet::arrow::FileReader> reader_;
  std::shared_ptr<arrow::Schema> schema_;
  std::vector<std::string> names_;
};

}  // namespace

Result<std::unique_ptr<TableReader>> OpenParquet(const std::filesystem::path& path) {
  auto reader = std::make_unique<ParquetReader>(path);
  if (const auto opened = reader->Guarded([&] { return reader->Open(); }); !opened) {
    return tl::make_unexpected(opened.error());
  }
  return reader;
}

}  // namespace moe
