#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/error.h"
#include "rows/schema.h"

namespace moe {

/// A column read back. Which vector is filled depends on `type`; each has one entry per row.
struct FrameColumn {
  static constexpr uint32_t kNullCode = std::numeric_limits<uint32_t>::max();

  std::string name;
  ColumnType type = ColumnType::kDouble;
  std::vector<double> doubles;          ///< kDouble; NaN is null
  std::vector<int64_t> ints;            ///< kInt64, kBool (0 or 1); 0 where null
  std::vector<uint8_t> valid;           ///< kInt64, kBool: 0 where null
  std::vector<uint32_t> codes;          ///< kString: index into `dictionary`, or kNullCode
  std::vector<std::string> dictionary;  ///< kString: distinct, in order of appearance
};

/// Part of a table, column by column.
struct Frame {
  uint64_t rows = 0;
  std::vector<FrameColumn> columns;  ///< as wanted, in order

  const FrameColumn& at(std::string_view name) const;  ///< must be there
};

/// A column to read and the type to read it as.
struct WantedColumn {
  std::string name;
  ColumnType type;  ///< any but kInt64List
};

/// Reads tables that a TableWriter or pandas wrote.
class TableReader {
 public:
  /// By suffix: .parquet, else CSV. kNotFound, kIo, or kMalformed when it is no such file. A CSV
  /// file without a header, as pandas writes a frame without columns, has no columns and no rows.
  static Result<std::unique_ptr<TableReader>> Open(const std::filesystem::path& path);
  virtual ~TableReader() = default;

  virtual const std::vector<std::string>& column_names() const = 0;

  /// Only these columns are read. A column that the file lacks is all null. Numbers are taken in
  /// whatever numeric type the file has (pandas makes doubles of integers with nulls); kMalformed
  /// names column and row where a cell does not fit.
  virtual Result<Frame> Read(std::span<const WantedColumn> wanted) const = 0;
};

/// Where the table `key` of a run is: `artifacts.<key>.path` of logs/write_manifest.json if that is
/// a .parquet or .csv file under data/ inside the run folder after resolving links; else
/// data/KEY.parquet, else data/KEY.csv. kNotFound (FileNotFoundError) if there is none.
Result<std::filesystem::path> LocateDataTable(const std::filesystem::path& run_dir,
                                              const std::string& key);

}  // namespace moe
