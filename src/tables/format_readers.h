#pragma once

#include <filesystem>
#include <memory>

#include "tables/table_reader.h"

namespace moe {

/// What TableReader::Open() chooses from.
Result<std::unique_ptr<TableReader>> OpenParquet(const std::filesystem::path& path);
Result<std::unique_ptr<TableReader>> OpenCsv(const std::filesystem::path& path);

}  // namespace moe
