#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
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

/// Gets some rows of a table, of which the first has this number; false: no more are wanted.
using BatchTaker = std::function<Result<bool>(uint64_t first_row, const Frame& batch)>;
/// Whether any of the rows [begin, end) is wanted. The last `end` may be past the table's.
using BatchFilter = std::function<bool(uint64_t begin, uint64_t end)>;

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

  /// As Read(), but in batches, in order, until `take` has enough or fails, so that memory does not
  /// grow with the table. Batches that `wants` turns down are not decoded.
  virtual Result<void> ReadBatches(std::span<const WantedColumn> wanted, const BatchTaker& take,
                                   const BatchFilter& wants = {}) const = 0;

  /// All columns, each with a type that holds its cells: for Parquet the file's own, for CSV the
  /// declared one (rows/collect_rows.h) or else the narrowest that fits, for which all of the file
  /// is read. A list of integers is a kString, a Python tuple as in CSV.
  virtual std::vector<WantedColumn> Columns() const = 0;
};

/// A table of a run: its file stem and its file.
struct RunTable {
  std::string name;
  std::filesystem::path path;
};

/// The tables in data/, tables/ and logs/ of a run, each folder's by name; none if there are none.
std::vector<RunTable> ListRunTables(const std::filesystem::path& run_dir);

/// Where the table `key` of a run is: `artifacts.<key>.path` of logs/write_manifest.json if that is
/// a .parquet or .csv file under data/ inside the run folder after resolving links; else
/// data/KEY.parquet, else data/KEY.csv. kNotFound (FileNotFoundError) if there is none.
Result<std::filesystem::path> LocateDataTable(const std::filesystem::path& run_dir,
                                              const std::string& key);

/// The same for tables/ and logs/tables_write_manifest.json.
Result<std::filesystem::path> LocateSummaryTable(const std::filesystem::path& run_dir,
                                                 const std::string& key);

}  // namespace moe
