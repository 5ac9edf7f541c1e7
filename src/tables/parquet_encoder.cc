#include <arrow/array/builder_binary.h>
#include <arrow/array/builder_nested.h>
#include <arrow/array/builder_primitive.h>
#include <arrow/io/interfaces.h>
#include <arrow/table.h>
#include <arrow/type.h>
#include <arrow/util/compression.h>
#include <arrow/util/key_value_metadata.h>
#include <parquet/arrow/writer.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <exception>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "base/version.h"
#include "tables/table_encoder.h"

namespace moe {
namespace {

// Rows are held as Arrow arrays until one of these is reached, then become one row group.
constexpr int64_t kRowGroupBytes = 4 << 20;
constexpr int64_t kRowGroupRows = 1 << 16;

// The codec names that pandas takes, in any case. "lz4" means Parquet's LZ4_RAW.
constexpr std::array<std::pair<std::string_view, arrow::Compression::type>, 9> kCodecs = {{
    {"", arrow::Compression::UNCOMPRESSED},
    {"none", arrow::Compression::UNCOMPRESSED},
    {"uncompressed", arrow::Compression::UNCOMPRESSED},
    {"snappy", arrow::Compression::SNAPPY},
    {"gzip", arrow::Compression::GZIP},
    {"brotli", arrow::Compression::BROTLI},
    {"lz4", arrow::Compression::LZ4},
    {"lz4_raw", arrow::Compression::LZ4},
    {"zstd", arrow::Compression::ZSTD},
}};

Result<arrow::Compression::type> FindCodec(const std::string& name, const std::string& where) {
  std::string lower = name;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const auto& [known, codec] : kCodecs) {
    if (lower == known && arrow::util::Codec::IsAvailable(codec)) return codec;
  }
  return Fail(ErrorCode::kUnsupported, where, "Unsupported compression: " + name,
              "use zstd, snappy, gzip, brotli, lz4 or none", "ArrowException");
}

std::shared_ptr<arrow::DataType> ArrowType(ColumnType type) {
  switch (type) {
    case ColumnType::kString:
      return arrow::large_utf8();
    case ColumnType::kInt64:
      return arrow::int64();
    case ColumnType::kDouble:
      return arrow::float64();
    case ColumnType::kBool:
      return arrow::boolean();
    case ColumnType::kInt64List:
      return arrow::list(arrow::int64());
  }
  return nullptr;
}

using Facts = std::vector<std::pair<std::string, std::string>>;

/// Without those that are not known.
std::shared_ptr<arrow::KeyValueMetadata> MetadataOf(const Facts& facts) {
  auto metadata = std::make_shared<arrow::KeyValueMetadata>();
  for (const auto& [key, value] : facts) {
    if (!value.empty()) metadata->Append(key, AsUtf8(value));
  }
  return metadata;
}

std::shared_ptr<arrow::Field> FieldOf(const Column& column) {
  const bool nullable = true;  // to Arrow, whatever the column says: as pandas writes them
  return arrow::field(column.name, ArrowType(column.type), nullable,
                      MetadataOf({{"unit", column.unit}, {"meaning", column.doc}}));
}

Result<void> FromStatus(const arrow::Status& status, const std::string& where) {
  if (status.ok()) return {};
  return Fail(ErrorCode::kIo, where, "writing Parquet failed: " + status.message());
}

// Lets Arrow write into a PendingFile.
class PendingStream : public arrow::io::OutputStream {
 public:
  explicit PendingStream(PendingFile& file) : file_(file) {}

  arrow::Status Write(const void* data, int64_t bytes) override {
    const Result<void> written =
        file_.Write({static_cast<const char*>(data), static_cast<size_t>(bytes)});
    return written ? arrow::Status::OK() : arrow::Status::IOError(written.error().Text());
  }
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }
  arrow::Result<int64_t> Tell() const override { return static_cast<int64_t>(file_.size()); }

 private:
  PendingFile& file_;
  bool closed_ = false;
};

// Appends a cell to its column's builder; the alternative fits the builder's type.
struct AppendCell {
  arrow::ArrayBuilder& builder;
  int64_t& bytes;

  template <class Builder>
  Builder& As() const {
    return static_cast<Builder&>(builder);
  }
  arrow::Status operator()(std::monostate) const { return builder.AppendNull(); }
  arrow::Status operator()(const std::string& text) const {
    bytes += static_cast<int64_t>(text.size());
    return As<arrow::LargeStringBuilder>().Append(text);
  }
  arrow::Status operator()(int64_t number) const {
    return As<arrow::Int64Builder>().Append(number);
  }
  arrow::Status operator()(double number) const {
    return As<arrow::DoubleBuilder>().Append(number);
  }
  arrow::Status operator()(bool flag) const { return As<arrow::BooleanBuilder>().Append(flag); }
  arrow::Status operator()(const std::vector<int64_t>& items) const {
    bytes += static_cast<int64_t>(items.size() * sizeof(int64_t));
    auto& list = As<arrow::ListBuilder>();
    ARROW_RETURN_NOT_OK(list.Append());
    if (items.empty()) return arrow::Status::OK();  // Arrow would memcpy() from a null pointer
    return static_cast<arrow::Int64Builder*>(list.value_builder())
        ->AppendValues(items.data(), static_cast<int64_t>(items.size()));
  }
};

class ParquetEncoder : public TableEncoder {
 public:
  ParquetEncoder(const TableSchema& schema, PendingFile& file)
      : where_(schema.name + ".parquet"), stream_(std::make_shared<PendingStream>(file)) {}

  arrow::Status Open(const TableSchema& schema, const OutputOptions& options,
                     arrow::Compression::type codec) {
    arrow::FieldVector fields;
    parquet::WriterProperties::Builder properties;
    properties.compression(codec);
    for (const Column& column : schema.columns) {
      fields.push_back(FieldOf(column));
      // Metrics hardly repeat: a dictionary of them only costs memory.
      if (column.type == ColumnType::kDouble) properties.disable_dictionary(column.name);
      ARROW_ASSIGN_OR_RAISE(auto builder, arrow::MakeBuilder(fields.back()->type()));
      builders_.push_back(std::move(builder));
    }
    arrow_schema_ =
        arrow::schema(std::move(fields), MetadataOf({{"moescope.version", std::string(kVersion)},
                                                     {"moescope.model", options.model},
                                                     {"moescope.run", options.run}}));
    // The stored Arrow schema keeps large_string from coming back as string.
    return parquet::arrow::FileWriter::Open(
               *arrow_schema_, arrow::default_memory_pool(), stream_, properties.build(),
               parquet::ArrowWriterProperties::Builder().store_schema()->build())
        .Value(&writer_);
  }

  Result<void> Append(const Row& row) override {
    return Guarded([&] { return AppendRow(row); });
  }

  Result<void> Finish() override {
    return Guarded([&]() -> arrow::Status {
      if (rows_ > 0) ARROW_RETURN_NOT_OK(WriteRowGroup());
      return writer_->Close();
    });
  }

 private:
  // Parquet reports through Status, but parts of it throw.
  template <class Function>
  Result<void> Guarded(Function function) {
    try {
      return FromStatus(function(), where_);
    } catch (const std::exception& failure) {
      return Fail(ErrorCode::kIo, where_, std::string("writing Parquet failed: ") + failure.what());
    }
  }

  arrow::Status AppendRow(const Row& row) {
    for (size_t i = 0; i < row.size(); ++i) {
      bytes_ += static_cast<int64_t>(sizeof(int64_t));
      arrow::ArrayBuilder& builder = *builders_[i];
      ARROW_RETURN_NOT_OK(IsNullOrNan(row[i]) ? builder.AppendNull()
                                              : std::visit(AppendCell{builder, bytes_}, row[i]));
    }
    ++rows_;
    return bytes_ < kRowGroupBytes && rows_ < kRowGroupRows ? arrow::Status::OK() : WriteRowGroup();
  }

  arrow::Status WriteRowGroup() {
    arrow::ArrayVector arrays;
    for (const auto& builder : builders_) {
      ARROW_ASSIGN_OR_RAISE(auto array, builder->Finish());
      arrays.push_back(std::move(array));
    }
    const auto table = arrow::Table::Make(arrow_schema_, arrays, rows_);
    const int64_t rows = std::exchange(rows_, 0);
    bytes_ = 0;
    return writer_->WriteTable(*table, rows);
  }

  std::string where_;
  std::shared_ptr<PendingStream> stream_;
  std::shared_ptr<arrow::Schema> arrow_schema_;
  std::unique_ptr<parquet::arrow::FileWriter> writer_;
  std::vector<std::unique_ptr<arrow::ArrayBuilder>> builders_;
  int64_t rows_ = 0, bytes_ = 0;  // in the builders
};

}  // namespace

Result<std::unique_ptr<TableEncoder>> MakeParquetEncoder(const TableSchema& schema,
                                                         const OutputOptions& options,
                                                         PendingFile& file) {
  const std::string where = schema.name + ".parquet";
  const auto compression = FindCodec(options.compression, where);
  if (!compression) return tl::make_unexpected(compression.error());
  auto encoder = std::make_unique<ParquetEncoder>(schema, file);
  try {
    if (const auto opened = FromStatus(encoder->Open(schema, options, *compression), where);
        !opened) {
      return tl::make_unexpected(opened.error());
    }
  } catch (const std::exception& failure) {
    return Fail(ErrorCode::kIo, where, std::string("writing Parquet failed: ") + failure.what());
  }
  return encoder;
}

}  // namespace moe
