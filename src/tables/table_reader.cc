#include "tables/table_reader.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <set>
#include <system_error>

#include "base/json_text.h"
#include "tables/column_builder.h"
#include "tables/format_readers.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

bool HasTableSuffix(const fs::path& path) {
  std::string suffix = path.extension().string();
  std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return suffix == ".parquet" || suffix == ".csv";
}

// Tables that one command writes.
struct TableFolder {
  const char* name;
  const char* manifest;  // in logs/
  const char* command;
};
constexpr TableFolder kData = {"data", "write_manifest.json", "collect-data"};
constexpr TableFolder kSummaries = {"tables", "tables_write_manifest.json", "build-tables"};

// `path` of the entry for `key`, or "". A manifest that can't be used is no manifest.
std::string ManifestPath(const fs::path& manifest_path, const std::string& key) {
  const auto text = ReadTextFile(manifest_path);
  const Json manifest = Json::Parse(text.value_or("")).value_or(Json());
  return manifest["artifacts"][key]["path"].text();
}

// True if `path` is a file under run_dir/folder once all links are resolved.
bool LiesIn(const fs::path& path, const fs::path& run_dir, std::string_view folder) {
  std::error_code failed;
  const fs::path real_path = fs::canonical(path, failed);
  if (failed || !fs::is_regular_file(real_path, failed)) return false;
  const fs::path real_run_dir = fs::canonical(run_dir, failed);
  if (failed) return false;
  const fs::path relative = real_path.lexically_relative(real_run_dir);
  return !relative.empty() && *relative.begin() == folder;
}

// FOLDER/NAME.parquet, else FOLDER/NAME.csv, else "".
fs::path TableIn(const fs::path& folder, const std::string& name) {
  const fs::path parquet = folder / (name + ".parquet");
  const fs::path csv = folder / (name + ".csv");
  std::error_code failed;
  const bool has_csv = fs::is_regular_file(csv, failed);
  // The Python pipeline leaves an empty .parquet when it falls back to CSV.
  const bool has_parquet =
      fs::is_regular_file(parquet, failed) && (fs::file_size(parquet, failed) > 0 || !has_csv);
  if (has_parquet) return parquet;
  return has_csv ? csv : fs::path();
}

Result<fs::path> Locate(const fs::path& run_dir, const TableFolder& folder,
                        const std::string& key) {
  std::string listed = ManifestPath(run_dir / "logs" / folder.manifest, key);
  std::replace(listed.begin(), listed.end(), '\\', '/');  // written on Windows
  if (!listed.empty()) {
    const fs::path path = run_dir / listed;  // an absolute path stays as it is
    if (HasTableSuffix(path) && LiesIn(path, run_dir, folder.name)) return path;
  }
  const fs::path found = TableIn(run_dir / folder.name, key);
  if (!found.empty()) return found;
  return Fail(ErrorCode::kNotFound, (run_dir / folder.name / (key + ".parquet")).string(),
              "neither this file nor its .csv form exists",
              std::string("run ") + folder.command + " first");
}

// Stems of the table files in `folder`; hidden ones are half-written.
std::set<std::string> TableNames(const fs::path& folder) {
  std::set<std::string> names;
  std::error_code failed;
  for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    const fs::path& path = entry->path();
    const bool hidden = path.filename().string().starts_with(".");
    if (!hidden && HasTableSuffix(path)) names.insert(path.stem().string());
  }
  return names;
}

}  // namespace

const FrameColumn& Frame::at(std::string_view name) const {
  const auto found = std::find_if(columns.begin(), columns.end(),
                                  [name](const FrameColumn& c) { return c.name == name; });
  assert(found != columns.end());
  return *found;
}

void ColumnBuilder::Reserve(uint64_t rows) {
  switch (column_.type) {
    case ColumnType::kDouble:
      column_.doubles.reserve(rows);
      break;
    case ColumnType::kString:
      column_.codes.reserve(rows);
      break;
    default:
      column_.ints.reserve(rows), column_.valid.reserve(rows);
  }
}

void ColumnBuilder::AppendNulls(uint64_t count) {
  switch (column_.type) {
    case ColumnType::kDouble:
      column_.doubles.resize(column_.doubles.size() + count, std::nan(""));
      break;
    case ColumnType::kString:
      column_.codes.resize(column_.codes.size() + count, FrameColumn::kNullCode);
      break;
    default:
      column_.ints.resize(column_.ints.size() + count);
      column_.valid.resize(column_.valid.size() + count);
  }
}

void ColumnBuilder::AppendNull() { AppendNulls(1); }

uint32_t ColumnBuilder::CodeOf(std::string_view text) {
  const auto next = static_cast<uint32_t>(column_.dictionary.size());
  const auto [entry, added] = codes_.try_emplace(std::string(text), next);
  if (added) column_.dictionary.emplace_back(text);
  return entry->second;
}

bool ColumnBuilder::AppendInt(int64_t number) {
  if (column_.type == ColumnType::kDouble) {
    column_.doubles.push_back(static_cast<double>(number));
    return true;
  }
  if (column_.type == ColumnType::kBool && number != 0 && number != 1) return false;
  column_.ints.push_back(number);
  column_.valid.push_back(1);
  return true;
}

bool ColumnBuilder::AppendNumber(double number) {
  if (std::isnan(number)) {
    AppendNull();
    return true;
  }
  if (column_.type == ColumnType::kDouble) {
    column_.doubles.push_back(number);
    return true;
  }
  constexpr double kBeyondInt64 = 9223372036854775808.0;  // 2^63
  if (number != std::floor(number) || std::abs(number) >= kBeyondInt64) return false;
  return AppendInt(static_cast<int64_t>(number));
}

Result<std::unique_ptr<TableReader>> TableReader::Open(const fs::path& path) {
  std::error_code failed;
  if (!fs::exists(path, failed)) {
    return Fail(ErrorCode::kNotFound, path.string(), "no such file");
  }
  return path.extension() == ".parquet" ? OpenParquet(path) : OpenCsv(path);
}

Result<fs::path> LocateDataTable(const fs::path& run_dir, const std::string& key) {
  return Locate(run_dir, kData, key);
}

Result<fs::path> LocateSummaryTable(const fs::path& run_dir, const std::string& key) {
  return Locate(run_dir, kSummaries, key);
}

std::vector<RunTable> ListRunTables(const fs::path& run_dir) {
  std::vector<RunTable> tables;
  for (const char* folder : {"data", "tables", "logs"}) {
    for (const std::string& name : TableNames(run_dir / folder)) {
      fs::path path = TableIn(run_dir / folder, name);
      if (folder == std::string_view("data")) {
        path = LocateDataTable(run_dir, name).value_or(path);
      }
      if (!path.empty()) tables.push_back({name, path});
    }
  }
  return tables;
}

}  // namespace moe
