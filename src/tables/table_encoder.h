#pragma once

#include <memory>
#include <string>

#include "base/pending_file.h"
#include "moescope/error.h"
#include "rows/schema.h"
#include "tables/table_writer.h"

namespace moe {

/// Turns rows into the bytes of one file format. `schema` and `file` must outlive it.
class TableEncoder {
 public:
  virtual ~TableEncoder() = default;
  virtual Result<void> Append(const Row& row) = 0;
  /// Writes what is still held back, and the footer.
  virtual Result<void> Finish() = 0;
};

/// True for null, and for NaN, which the tables do not distinguish from null.
bool IsNullOrNan(const Value& value);

/// Contract section 10's CSV: pandas' text. The header is written at once.
Result<std::unique_ptr<TableEncoder>> MakeCsvEncoder(const TableSchema& schema, PendingFile& file);

/// Parquet in row groups of a few MiB, whose key-value metadata are `moescope.version`, `.model`
/// and `.run` of the file, `unit` and `meaning` of each column. kUnsupported when the codec is
/// unknown or not built in.
Result<std::unique_ptr<TableEncoder>> MakeParquetEncoder(const TableSchema& schema,
                                                         const OutputOptions& options,
                                                         PendingFile& file);

}  // namespace moe
