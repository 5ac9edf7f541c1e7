#include "checkpoint/discovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/hub_link.h"
#include "checkpoint/adapter.h"
#include "checkpoint/download_names.h"
#include "checkpoint/gguf.h"
#include "checkpoint/names.h"
#include "checkpoint/walk.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

/// An index that is named itself.
bool IsIndexFile(const fs::path& path) { return IsIndexName(path) && IsFile(path); }

fs::path FolderOf(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

bool Contains(const std::vector<std::string>& sorted, const std::string& name) {
  return std::binary_search(sorted.begin(), sorted.end(), name);
}

std::set<std::string> ShardsOf(const std::map<std::string, std::string>& weight_map) {
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : weight_map) shards.insert(shard);
  return shards;
}

std::vector<std::string> FileNames(const std::vector<fs::path>& paths) {
  std::vector<std::string> names;
  for (const fs::path& path : paths) names.push_back(path.filename().string());
  return names;
}

void CompareWithDisk(IndexSummary& summary, const ScanOptions& options) {
  for (const std::string& shard : ShardsOf(summary.weight_map)) {
    if (HasListedSuffix(shard, options)) summary.expected_shards.push_back(shard);
  }
  const fs::path folder = summary.index_path->parent_path();
  for (const std::string& shard : summary.expected_shards) {
    const fs::path path = folder / shard;
    if (!IsFile(path) || IsUnfinished(path)) summary.missing_shards.push_back(shard);
  }
  for (const auto& [tensor, shard] : summary.weight_map) {
    if (Contains(summary.missing_shards, shard)) ++summary.missing_shard_tensors;
  }
  const auto paths = ListFiles(folder, /*recursive=*/false);
  if (!paths) return;  // PlanScan() reports a folder that can't be read
  for (const fs::path& path : *paths) {
    const std::string name = path.filename().string();
    const bool is_extra = SuffixOf(path) == ".safetensors" && IsFile(path) && !IsHidden(path) &&
                          !Contains(summary.expected_shards, name);
    if (is_extra) summary.extra_safetensors_files_on_disk.push_back(name);
  }
}

Result<void> CheckStrict(const ScanOptions& options, const IndexSummary& index,
                         const std::string& where, ScanPlan& plan) {
  if (!options.strict_index) return {};
  const auto fail = [&](std::string message, std::string hint) {
    return Fail(ErrorCode::kBadArgument, where, std::move(message), std::move(hint), "SystemExit");
  };
  if (index.status == IndexStatus::kDisabled) {
    return fail("strict_index requires scan.use_safetensors_index_json (status: disabled)",
                "set it to true, or strict_index to false");
  }
  if (index.status == IndexStatus::kError) {
    plan.incomplete = true;  // nobody knows which shards there should be
    if (options.keep_going) return {};
    return fail(fmt::format("strict_index requires an active index (status: error): {} {}",
                            index.index_path->filename().string(), index.error),
                "download it again; analyze and collect-data can --keep-going, or set strict_index "
                "to false");
  }
  return {};
}

/// Of an index that is named itself, and can't decide.
Result<void> UnusableIndex(const IndexSummary& index, const std::string& where) {
  const bool disabled = index.status == IndexStatus::kDisabled;
  return Fail(ErrorCode::kMalformed, where,
              disabled ? "use_safetensors_index_json of the configuration is false" : index.error,
              disabled ? "set it to true" : "download it again", "SystemExit");
}

/// Other commands want all of a model.
constexpr const char* kFinishDownload =
    "finish the download; analyze and collect-data can --keep-going";

/// Files that aren't there end the scan where the config or a split GGUF demands them all.
void CheckMissing(const ScanOptions& options, const std::string& where, ScanPlan& plan) {
  if (plan.missing.empty()) return;
  const bool demanded = options.strict_index || plan.missing.of_gguf;
  (plan.missing.lone ? plan.doubtful : plan.incomplete) |= demanded;
  if (!demanded || options.keep_going) return;
  plan.fault =
      Error{ErrorCode::kNotFound, where, plan.missing.Text(), kFinishDownload, "SystemExit"};
}

/// Parts that the names of those listed tell of: a shard that was used anew may keep its old name.
void AddUnlistedParts(const ScanOptions& options, const IndexSummary& index, ScanPlan& plan) {
  const fs::path folder = index.index_path->parent_path();
  std::vector<fs::path> listed;
  for (const std::string& shard : index.expected_shards) listed.push_back(folder / shard);
  const std::vector<std::string> names = FindMissingParts(listed).names;
  if (names.empty()) return;
  Doubt(options,
        "by their names parts of the model, which the index does not list: " + NameList(names),
        plan);
}

Result<void> PlanFromIndex(const ScanOptions& options, const IndexSummary& index, ScanPlan& plan) {
  const fs::path folder = index.index_path->parent_path();
  for (const std::string& shard : index.expected_shards) {
    if (!Contains(index.missing_shards, shard)) plan.files.push_back(folder / shard);
  }
  const auto paths = ListFiles(folder, /*recursive=*/false);
  if (!paths) return tl::make_unexpected(paths.error());
  for (const fs::path& path : *paths) {
    if (!HasListedSuffix(path, options)) continue;
    if (Contains(index.expected_shards, path.filename().string())) continue;
    plan.left_out.push_back({path, IsHidden(path)
                                       ? HiddenReason(path)
                                       : "not in " + index.index_path->filename().string()});
  }
  LeaveOutUnfinished(*paths, options, plan);
  if (!index.missing_shards.empty()) {
    plan.missing = {index.expected_shards.size(), index.missing_shards, index.missing_shard_tensors,
                    false, UnfinishedOf(plan)};
  }
  AddUnlistedParts(options, index, plan);
  std::vector<std::string> unread;
  for (const std::string& shard : ShardsOf(index.weight_map)) {
    if (!HasListedSuffix(shard, options)) unread.push_back(shard);
  }
  if (!unread.empty()) {
    plan.warnings.push_back("[scan] shards of a kind that is not read: " + NameList(unread));
  }
  return {};
}

/// Whether a file is, by its name or the index beside it, only a part of a model.
bool IsPart(const fs::path& path, const IndexSummary& index) {
  const std::string name = path.filename().string();
  const auto part = ParsePartName(name);
  const std::set<std::string> shards = ShardsOf(index.weight_map);
  return (part && part->count > 1) || (shards.size() > 1 && shards.contains(name));
}

/// Links to nothing that describe the model end the scan where all of it is demanded.
void CheckLinks(const ScanOptions& options, const fs::path& model_path, ScanPlan& plan) {
  const auto lost = LostLinks(plan.model_path_is_file ? FolderOf(model_path) : model_path);
  if (lost.empty()) return;
  const std::string text = "links to nothing: " + NameList(lost);
  Doubt(options, text, plan);
  if (!options.strict_index || options.keep_going) return;
  plan.fault =
      Error{ErrorCode::kNotFound, model_path.string(), text, kFinishDownload, "SystemExit"};
}

/// An adapter alone is no model.
Result<void> CheckNotAdapter(const ScanPlan& plan, const fs::path& model_path) {
  if (!plan.files.empty()) return {};
  std::vector<std::string> adapters;
  for (const LeftOut& file : plan.left_out) {
    if (file.reason.find("adapter") == file.reason.npos) continue;
    adapters.push_back(file.path.filename().string());
  }
  if (adapters.empty()) return {};
  const std::string base = AdapterBase(IsFolder(model_path) ? model_path : FolderOf(model_path));
  return Fail(
      ErrorCode::kUnsupported, model_path.string(),
      "is an adapter (LoRA), not a model: " + NameList(adapters),
      base.empty() ? "give the model that it adapts" : "give the model that it adapts, " + base,
      "SystemExit");
}

/// The file, and of a split GGUF the other parts too.
Result<void> PlanFromFile(const fs::path& path, const ScanOptions& options,
                          const IndexSummary& index, ScanPlan& plan) {
  if (const std::string reason = AdapterReason(path); !reason.empty()) {
    plan.left_out.push_back({path, reason});
    return {};
  }
  plan.files = {path};
  const auto part = ParsePartName(path.filename().string());
  if (SuffixOf(path) != ".gguf" && IsPart(path, index)) {
    Doubt(options,
          path.filename().string() + " is one part of a model; for all of it give its folder",
          plan);
  }
  if (!part || SuffixOf(path) != ".gguf") return {};
  const auto paths = ListFiles(FolderOf(path), /*recursive=*/false);
  if (!paths) return tl::make_unexpected(paths.error());
  for (const fs::path& sibling : *paths) {
    const auto other = ParsePartName(sibling.filename().string());
    const bool is_other = sibling.filename() != path.filename() && other && IsFile(sibling);
    if (is_other && part->IsOfSameSet(*other)) plan.files.push_back(sibling);
  }
  std::sort(plan.files.begin(), plan.files.end());
  AddMissing(options, plan);
  return {};
}

/// GGUF files that can't be read together end the scan, or are skipped.
Result<void> CheckGgufFiles(const ScanOptions& options, ScanPlan& plan) {
  for (GgufFault& fault : FindGgufFaults(plan.files)) {
    if (!options.keep_going) return tl::make_unexpected(std::move(fault.error));
    std::erase_if(plan.files, [&](const fs::path& path) {
      return std::find(fault.files.begin(), fault.files.end(), path) != fault.files.end();
    });
    plan.skipped.push_back(std::move(fault.error));
  }
  return {};
}

/// An index of which no shard is there, beside files that are a whole set, is of another model.
bool IsOfOtherFiles(const IndexSummary& index, const ScanOptions& beside) {
  if (index.missing_shards.size() < index.expected_shards.size()) return false;
  const auto survey = Look(index.index_path->parent_path(), beside);
  if (!survey) return false;
  ScanPlan plan;
  PlanWalk(*survey, beside, plan);
  return !plan.files.empty() && plan.missing.empty();
}

/// Python's files[:max_files].
void Cut(std::vector<fs::path>& files, std::optional<int64_t> max_files) {
  const auto count = static_cast<int64_t>(files.size());
  if (!max_files || *max_files >= count) return;
  const int64_t kept = *max_files >= 0 ? *max_files : std::max<int64_t>(0, count + *max_files);
  files.resize(static_cast<size_t>(kept));
}

void AddWarning(std::vector<std::string>& warnings, std::string_view what,
                const std::vector<std::string>& names) {
  if (!names.empty()) warnings.push_back(fmt::format("[index] {}: {}", what, NameList(names)));
}

}  // namespace

std::string_view IndexStatusName(IndexStatus status) {
  switch (status) {
    case IndexStatus::kDisabled:
      return "disabled";
    case IndexStatus::kNotFound:
      return "not_found";
    case IndexStatus::kError:
      return "error";
    case IndexStatus::kActive:
      return "active";
  }
  return "";
}

IndexSummary FindShardIndex(const fs::path& model_path, const ScanOptions& options) {
  IndexSummary summary;
  if (!options.use_safetensors_index_json) return summary;
  summary.searched = true;
  summary.status = IndexStatus::kNotFound;
  const bool is_folder = IsFolder(model_path), is_index = IsIndexFile(model_path);
  ScanOptions beside = options;
  beside.recursive = Recursive::kNever;
  const auto indexes = is_index    ? std::vector{model_path}
                       : is_folder ? IndexFiles(model_path, options)
                                   : IndexFiles(FolderOf(model_path), beside);
  if (indexes.empty()) return summary;
  summary.index_path = indexes.front();
  summary.found = true;
  auto index = ReadShardIndex(*summary.index_path);
  if (!index) {
    summary.status = IndexStatus::kError;
    summary.error = index.error().message;
    return summary;
  }
  summary.status = IndexStatus::kActive;
  summary.parsed = summary.active = true;
  summary.weight_map = std::move(index->weight_map);
  summary.metadata_json = std::move(index->metadata_json);
  CompareWithDisk(summary, options);
  summary.of_other_files = is_folder && IsOfOtherFiles(summary, beside);
  summary.used_for_scan = is_index || (is_folder && !summary.of_other_files);
  return summary;
}

Result<ScanPlan> PlanScan(const fs::path& model_path, const ScanOptions& options,
                          const IndexSummary& index) {
  ScanPlan plan;
  plan.model_path_is_file = IsFile(model_path);
  if (!plan.model_path_is_file && !IsFolder(model_path)) {
    return Fail(ErrorCode::kNotFound, model_path.string(), "there is no such file or folder",
                "check model_path, or give --model-path", "SystemExit");
  }
  const std::string where = model_path.string();
  auto done = CheckStrict(options, index, where, plan);
  if (!done) return tl::make_unexpected(done.error());
  Survey survey;
  if (!plan.model_path_is_file) {
    auto looked = Look(model_path, options);
    if (!looked) return tl::make_unexpected(looked.error());
    survey = std::move(*looked);
    done = CheckOneFolder(model_path, survey);
  }
  if (done && IsIndexFile(model_path) && !index.used_for_scan) done = UnusableIndex(index, where);
  if (!done) return tl::make_unexpected(done.error());
  if (index.used_for_scan) {
    done = PlanFromIndex(options, index, plan);
  } else if (plan.model_path_is_file) {
    plan.index_discovered_but_ignored_due_to_file_model_path = index.found;
    done = PlanFromFile(model_path, options, index, plan);
  } else {
    PlanWalk(survey, options, plan);
  }
  if (done) done = CheckNotAdapter(plan, model_path);
  if (done) CheckLinks(options, model_path, plan);
  if (done && !plan.model_path_is_file) {
    LeaveOutUnfinishedOfHub(model_path, index, options, plan);
  }
  if (done) CheckMissing(options, where, plan);
  if (done && !plan.fault) done = CheckGgufFiles(options, plan);
  if (!done) return tl::make_unexpected(done.error());
  const size_t found = plan.files.size();
  Cut(plan.files, options.max_files);
  if (plan.files.size() < found) {
    plan.warnings.push_back(
        fmt::format("[scan] max_files: {} of {} files are read", plan.files.size(), found));
  }
  return plan;
}

void SettleDoubts(bool kept, ScanPlan& plan, std::vector<std::string>& warnings) {
  plan.incomplete |= plan.doubtful && !kept;
  if (!kept || !plan.missing.lone) return;
  std::ranges::replace(
      warnings, "[scan] " + plan.missing.Text(),
      fmt::format("[scan] by its name one of {} parts, but all experts that config.json promises "
                  "are there: {}",
                  plan.missing.expected, NameList(FileNames(plan.files))));
  plan.missing = {};
  plan.fault.reset();
}

std::optional<std::string> UnusedIndexWarning(const IndexSummary& index) {
  if (!index.found) return std::nullopt;
  const std::string path = index.index_path->string();
  if (index.status == IndexStatus::kError) {
    return fmt::format("[index] failed to parse index {}: {}", path, index.error);
  }
  if (!index.of_other_files) return std::nullopt;
  const size_t listed = index.expected_shards.size();
  const size_t shards = listed > 0 ? listed : ShardsOf(index.weight_map).size();
  const std::string what =
      shards == 0   ? fmt::format("{} names no shard", path)
      : shards == 1 ? fmt::format("the only shard that {} names is not there", path)
                    : fmt::format("none of the {} shards that {} names is there", shards, path);
  return fmt::format("[index] {}; what lies beside it is read", what);
}

std::vector<std::string> IndexWarnings(const IndexSummary& index, const IndexComparison& compared) {
  std::vector<std::string> warnings;
  if (!index.used_for_scan) return warnings;
  AddWarning(warnings, "missing shards", index.missing_shards);
  AddWarning(warnings, "missing tensors", compared.missing_tensors);
  AddWarning(warnings, "extra tensors", compared.extra_tensors);
  AddWarning(warnings, "extra safetensors files on disk", index.extra_safetensors_files_on_disk);
  return warnings;
}

}  // namespace moe
