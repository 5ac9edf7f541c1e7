#pragma once

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "base/temp_folder.h"
#include "base/test_files.h"
#include "tables/table_writer.h"

namespace moe {

inline void WriteText(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

inline std::set<std::string> FilesIn(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

/// Opens, appends, finishes and commits.
inline Result<WrittenTable> WriteTable(const std::filesystem::path& folder,
                                       const TableSchema& schema, const std::vector<Row>& rows,
                                       const OutputOptions& options) {
  FileTransaction files;
  auto writer = TableWriter::Open(folder, schema, options, files);
  if (!writer) return tl::make_unexpected(writer.error());
  for (const Row& row : rows) {
    if (const auto done = (*writer)->Append(row); !done) return tl::make_unexpected(done.error());
  }
  return (*writer)->Finish().and_then([&] { return files.Commit(); }).map([&] {
    return (*writer)->written();
  });
}

}  // namespace moe
