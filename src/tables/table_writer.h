#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/file_transaction.h"
#include "rows/schema.h"

namespace moe {

enum class TableFormat { kParquet, kCsv };

struct OutputOptions {
  TableFormat format = TableFormat::kParquet;
  std::string compression;  ///< Parquet codec name ("zstd", "snappy", "gzip", "lz4", ...); "" none
  std::string model = {}, run = {};  ///< ids that Parquet files tell of in their metadata; "" none
};

/// What became of one file: an entry of logs/write_manifest.json.
struct WrittenTable {
  std::filesystem::path path;
  TableFormat format = TableFormat::kParquet;
  bool fallback = false;  ///< Parquet was asked for and CSV was written
  std::string error;      ///< "Class: text" of the Parquet failure, "" if none
  int64_t rows = 0;
};

/// Streams rows to `<folder>/<schema.name>.parquet` or `.csv`, under a temporary name in the same
/// folder until its transaction is committed, which also removes the stale twin of the other
/// suffix: a reader sees the old file or the whole new one (contract D14). Bytes of texts that are
/// no UTF-8 are written as \xNN. Memory: a few MiB; rows are encoded in batches.
class TableWriter : public RowSink {
 public:
  /// Checks codec and target now. Only here a Parquet failure falls back to CSV (D14); the result's
  /// written().fallback and .error then say so. Creates `folder` if needed.
  /// `files` outlives the writer.
  static Result<std::unique_ptr<TableWriter>> Open(const std::filesystem::path& folder,
                                                   const TableSchema& schema,
                                                   const OutputOptions& options,
                                                   FileTransaction& files);
  ~TableWriter() override = default;

  /// Ends the file: footer, flush, fsync. Still under its temporary name.
  virtual Result<void> Finish() = 0;
  virtual const WrittenTable& written() const = 0;
};

}  // namespace moe
