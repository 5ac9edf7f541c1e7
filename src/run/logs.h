#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file_transaction.h"
#include "base/json_text.h"
#include "moescope/error.h"
#include "run/run_dir.h"

namespace moe {

/// The `run` object of the logs: run_dir, model_id, run_name, created_at.
Json RunJson(const std::filesystem::path& run_dir);

/// `<run_dir>/logs/<name>`, or null where there is none that can be read.
Json ReadLog(const std::filesystem::path& run_dir, const std::string& name);

/// The `error` object of failure logs, and the `traceback` text: our chain of contexts under
/// Python's heading, ending in the class name (contract section 13, D23).
Json ErrorJson(const Error& error);
std::string Traceback(const std::string& command, const Error& error);

enum class KeyOrder { kSorted, kOwn };

/// Prepares `<run_dir>/logs/<name>`, making the folder; sorted keys or the object's own order.
Result<void> AddLog(FileTransaction& files, const std::filesystem::path& run_dir,
                    const std::string& name, const Json& json, KeyOrder order = KeyOrder::kSorted);

/// One log, written at once.
Result<void> WriteLog(const std::filesystem::path& run_dir, const std::string& name,
                      const Json& json, KeyOrder order = KeyOrder::kSorted);

/// Removes `<run_dir>/logs/<name>` if it is there.
void RemoveLog(const std::filesystem::path& run_dir, const std::string& name);

}  // namespace moe
