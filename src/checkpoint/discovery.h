#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/shard_index.h"
#include "moescope/error.h"

namespace moe {

/// `scan.recursive`: true, false, or subfolders only if the top folder holds no container.
enum class Recursive { kAlways, kNever, kAuto };

/// What to scan (contract section 3, D13, D22); the fields are named as the config's `scan` keys.
struct ScanOptions {
  std::vector<std::string> extensions = {".safetensors", ".npz", ".gguf"};
  std::optional<int64_t> max_files;  ///< as Python's slice [:max_files]
  bool use_safetensors_index_json = true;
  bool strict_index = false;
  Recursive recursive = Recursive::kAuto;
};

enum class IndexStatus { kDisabled, kNotFound, kError, kActive };
std::string_view IndexStatusName(IndexStatus status);  ///< "disabled", "not_found", ...

/// What is known about the model's shard index before any shard is opened. Lists are sorted.
struct IndexSummary {
  IndexStatus status = IndexStatus::kDisabled;
  bool searched = false, found = false, parsed = false, active = false;
  bool used_for_scan = false;                       ///< active, and the model is a folder
  std::optional<std::filesystem::path> index_path;  ///< set when found
  std::string error;                                ///< why parsing failed
  std::map<std::string, std::string> weight_map;    ///< tensor -> shard; empty unless active
  std::string metadata_json = "{}";
  std::vector<std::string> expected_shards;                  ///< with a listed extension
  std::vector<std::string> missing_shards;                   ///< expected, not on disk
  std::vector<std::string> extra_safetensors_files_on_disk;  ///< in the index's own folder
};

/// Looks for an index in `model_path` (in its parent, if it is a file), not deeper, and reads it.
/// Never fails: what went wrong is in the summary (so that a failure log can show it).
IndexSummary FindShardIndex(const std::filesystem::path& model_path, const ScanOptions& options);

/// A file that lies there and is not read, and why.
struct LeftOut {
  std::filesystem::path path;
  std::string reason;
};

/// The files to read, in the order of the contract.
struct ScanPlan {
  bool model_path_is_file = false;
  bool index_discovered_but_ignored_due_to_file_model_path = false;
  std::vector<std::filesystem::path> files;  ///< model_path / relative path
  std::vector<LeftOut> left_out;
};

/// Decides which files to scan. kNotFound: no such model_path; kIo: a folder can't be read;
/// kBadArgument or kNotFound with type_name "SystemExit": what strict_index demands is not there.
Result<ScanPlan> PlanScan(const std::filesystem::path& model_path, const ScanOptions& options,
                          const IndexSummary& index);

/// The "[index] failed to parse index PATH: ..." line, which comes before the scan, if it is due.
std::optional<std::string> IndexParseWarning(const IndexSummary& index);

/// The "[index] ..." lines due after the scan, in the contract's order (section 13); none unless
/// the index was used for the scan.
std::vector<std::string> IndexWarnings(const IndexSummary& index, const IndexComparison& compared);

}  // namespace moe
