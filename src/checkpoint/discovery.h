#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/part_names.h"
#include "checkpoint/shard_index.h"
#include "moescope/error.h"
#include "moescope/scan_options.h"

namespace moe {

enum class IndexStatus { kDisabled, kNotFound, kError, kActive };
std::string_view IndexStatusName(IndexStatus status);  ///< "disabled", "not_found", ...

/// What is known about the model's shard index before any shard is opened. Lists are sorted.
struct IndexSummary {
  IndexStatus status = IndexStatus::kDisabled;
  bool searched = false, found = false, parsed = false, active = false;
  bool of_other_files = false;  ///< none of its shards is there, but a set that lacks nothing
  bool used_for_scan = false;   ///< active, the model is a folder, and not of_other_files
  std::optional<std::filesystem::path> index_path;  ///< set when found
  std::string error;                                ///< why parsing failed
  std::map<std::string, std::string> weight_map;    ///< tensor -> shard; empty unless active
  std::string metadata_json = "{}";
  std::vector<std::string> expected_shards;                  ///< with a listed extension
  std::vector<std::string> missing_shards;                   ///< expected, not on disk
  uint64_t missing_shard_tensors = 0;                        ///< that those hold
  std::vector<std::string> extra_safetensors_files_on_disk;  ///< in the index's own folder
};

/// Reads the index that `model_path` is, or that lies in it (beside it, if it is a file); of a
/// folder that holds neither index nor container, and whose subfolders are to be scanned, the first
/// below. An index of which no shard is there is not used when a set that lacks nothing lies beside
/// it.
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
  MissingShards missing;
  std::vector<Error> skipped;         ///< keep_going: files that would have ended the scan
  std::vector<std::string> warnings;  ///< "[scan] ..." lines
  bool incomplete = false;            ///< goes on only because of keep_going
  bool doubtful = false;              ///< incomplete, unless SettleDoubts() knows better
  /// kNotFound, type_name "SystemExit": files that strict_index or a split GGUF demands are
  /// missing. Ends the scan once it is known that the others are one model (OpenCheckpoint); if
  /// `missing.lone`, after SettleDoubts().
  std::optional<Error> fault;
};

/// Decides which files to scan: those an index names, else those a walk finds; of a split GGUF all
/// parts, whichever is given. Hidden files, unfinished downloads and second copies are left out.
/// kUnsupported: only an adapter lies there, or several models (CheckOneFolder()); kNotFound: no
/// such model_path; kIo: a folder can't be read; kMalformed: a part of a split GGUF that is none;
/// kBadArgument with type_name "SystemExit": the index that strict_index demands is not there.
Result<ScanPlan> PlanScan(const std::filesystem::path& model_path, const ScanOptions& options,
                          const IndexSummary& index);

/// Once the tensors are known: whether all that config.json promises is there. Then nothing was
/// incomplete that was only doubtful, and a lone part is a whole model, which its line among
/// `warnings` says instead.
void SettleDoubts(bool kept, ScanPlan& plan, std::vector<std::string>& warnings);

/// The "[index] ..." line, before the scan, of an index that can't be read or is not used.
std::optional<std::string> UnusedIndexWarning(const IndexSummary& index);

/// The "[index] ..." lines due after the scan, in the order of contract section 13; none unless the
/// index was used for the scan.
std::vector<std::string> IndexWarnings(const IndexSummary& index, const IndexComparison& compared);

}  // namespace moe
