#include "checkpoint/discovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include "base/hub_link.h"
#include "checkpoint/adapter.h"
#include "checkpoint/download_names.h"
#include "checkpoint/gguf.h"
#include "checkpoint/names.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kUsualIndexName = "model.safetensors.index.json";
constexpr std::string_view kIndexSuffix = ".safetensors.index.json";

constexpr std::string_view kDanglingLink = "a link to nothing";
constexpr std::string_view kUnfinished = "an unfinished download";

/// Kinds of containers; of several in one folder, the first in this list is read (D22).
constexpr std::string_view kKindsByPreference[] = {".safetensors", ".gguf", ".npz", ".npy"};

bool IsLink(const fs::path& path) {
  std::error_code ignored;
  return fs::is_symlink(path, ignored) || FollowHubLink(path) != path;
}

/// Names with a dot in front: macOS' resource files, and what programs keep for themselves.
bool IsHidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

std::string HiddenReason(const fs::path& path) {
  return path.filename().string().starts_with("._") ? "a resource file of macOS, no checkpoint"
                                                    : "a hidden file";
}

bool Contains(const std::vector<std::string>& sorted, const std::string& name) {
  return std::binary_search(sorted.begin(), sorted.end(), name);
}

bool HasListedSuffix(const fs::path& path, const ScanOptions& options) {
  return std::find(options.extensions.begin(), options.extensions.end(),
                   path.extension().string()) != options.extensions.end();
}

/// Everything in `folder` (and, if wanted, below it) that is no folder. Symlinked folders are not
/// entered, hidden ones neither; subfolders that may not be read are passed over.
Result<std::vector<fs::path>> List(const fs::path& folder, bool recursive) {
  std::error_code error;
  std::vector<fs::path> paths;
  [[maybe_unused]] const fs::directory_iterator readable(
      folder, error);  // the top folder itself must be readable
  auto entry = error ? fs::recursive_directory_iterator()
                     : fs::recursive_directory_iterator(
                           folder, fs::directory_options::skip_permission_denied, error);
  while (!error && entry != fs::recursive_directory_iterator()) {
    if (!recursive || IsHidden(entry->path())) entry.disable_recursion_pending();
    if (!IsFolder(entry->path())) paths.push_back(entry->path());
    entry.increment(error);
  }
  if (error) {
    return Fail(ErrorCode::kIo, folder.string(), "cannot read the folder: " + error.message());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::optional<fs::path> FindIndexFile(const fs::path& folder) {
  if (fs::path usual = folder / kUsualIndexName; IsFile(usual)) return usual;
  const auto paths = List(folder, /*recursive=*/false);
  if (!paths) return std::nullopt;
  const auto found = std::find_if(paths->begin(), paths->end(), [](const fs::path& path) {
    return !IsHidden(path) && path.filename().string().ends_with(kIndexSuffix) && IsFile(path);
  });
  return found == paths->end() ? std::nullopt : std::optional(*found);
}

void CompareWithDisk(IndexSummary& summary, const ScanOptions& options) {
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : summary.weight_map) {
    if (HasListedSuffix(shard, options)) shards.insert(shard);
  }
  summary.expected_shards.assign(shards.begin(), shards.end());
  const fs::path folder = summary.index_path->parent_path();
  for (const std::string& shard : summary.expected_shards) {
    const fs::path path = folder / shard;
    if (!IsFile(path) || IsUnfinished(path)) summary.missing_shards.push_back(shard);
  }
  for (const auto& [tensor, shard] : summary.weight_map) {
    if (Contains(summary.missing_shards, shard)) ++summary.missing_shard_tensors;
  }
  const auto paths = List(folder, /*recursive=*/false);
  if (!paths) return;  // PlanScan() reports a folder that can't be read
  for (const fs::path& path : *paths) {
    const std::string name = path.filename().string();
    const bool is_extra = path.extension() == ".safetensors" && IsFile(path) && !IsHidden(path) &&
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
                "download it again, or --keep-going, or set strict_index to false");
  }
  return {};
}

/// Files that aren't there end the scan where the config or a split GGUF demands them all.
void CheckMissing(const ScanOptions& options, const std::string& where, ScanPlan& plan) {
  if (plan.missing.empty()) return;
  const bool demanded = options.strict_index || plan.missing.of_gguf;
  plan.incomplete |= demanded;
  if (!demanded || options.keep_going) return;
  plan.fault = Error{ErrorCode::kNotFound, where, plan.missing.Text(),
                     "finish the download, or --keep-going", "SystemExit"};
}

/// Names what a download left behind; its file may be one of those that are missing.
void LeaveOutUnfinished(const std::vector<fs::path>& paths, const ScanOptions& options,
                        ScanPlan& plan) {
  for (const fs::path& path : paths) {
    const bool of_container = HasListedSuffix(path.stem(), options);
    if (!of_container || !IsUnfinished(path) || IsHidden(path)) continue;
    plan.left_out.push_back({path, std::string(kUnfinished)});
  }
}

std::vector<std::string> UnfinishedOf(const ScanPlan& plan) {
  std::vector<std::string> names;
  for (const LeftOut& file : plan.left_out) {
    if (file.reason == kUnfinished) names.push_back(file.path.filename().string());
  }
  return names;
}

Result<void> PlanFromIndex(const ScanOptions& options, const IndexSummary& index, ScanPlan& plan) {
  const fs::path folder = index.index_path->parent_path();
  for (const std::string& shard : index.expected_shards) {
    if (!Contains(index.missing_shards, shard)) plan.files.push_back(folder / shard);
  }
  const auto paths = List(folder, /*recursive=*/false);
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
  return {};
}

/// The file of which `path`, by its name and bytes, is a second copy; "": of none of `files`.
std::string CopiedFrom(const fs::path& path, const std::vector<fs::path>& files) {
  const auto original = OriginalOfCopy(path.filename().string());
  if (!original) return "";
  const fs::path other = path.parent_path() / *original;
  const bool there = std::find(files.begin(), files.end(), other) != files.end();
  return there && AreCopies(path, other) ? *original : "";
}

/// Distributes the containers of one folder: one kind is read, the others are left out.
void PlanFolder(const std::vector<fs::path>& containers, ScanPlan& plan) {
  const auto is_kind = [](std::string_view kind) {
    return [kind](const fs::path& path) { return path.extension().string() == kind; };
  };
  const auto kind = std::find_if(
      std::begin(kKindsByPreference), std::end(kKindsByPreference), [&](std::string_view suffix) {
        return std::any_of(containers.begin(), containers.end(), is_kind(suffix));
      });
  const auto named = [](const fs::path& path, std::string_view start) {
    return path.filename().string().starts_with(start);
  };
  const bool has_model = std::any_of(
      containers.begin(), containers.end(),
      [&](const fs::path& path) { return is_kind(".safetensors")(path) && named(path, "model"); });
  for (const fs::path& path : containers) {
    const bool is_known =
        std::any_of(std::begin(kKindsByPreference), std::end(kKindsByPreference),
                    [&](std::string_view suffix) { return is_kind(suffix)(path); });
    if (!is_known) {
      plan.left_out.push_back({path, "no reader for this kind of file"});
    } else if (!is_kind(*kind)(path)) {
      plan.left_out.push_back({path, fmt::format("the {} files beside it are read", *kind)});
    } else if (has_model && named(path, "consolidated")) {
      plan.left_out.push_back({path, "a second copy of the model*.safetensors beside it"});
    } else if (const std::string original = CopiedFrom(path, containers); !original.empty()) {
      plan.left_out.push_back({path, "a second copy of " + original});
    } else {
      plan.files.push_back(path);
    }
  }
}

/// The containers among `paths`; what only looks like one is left out.
std::vector<fs::path> Containers(const std::vector<fs::path>& paths, const ScanOptions& options,
                                 ScanPlan& plan) {
  std::vector<fs::path> containers;
  for (const fs::path& path : paths) {
    const bool is_dat = path.extension() == ".dat";
    if (!is_dat && !HasListedSuffix(path, options)) continue;
    if (IsHidden(path)) {
      plan.left_out.push_back({path, HiddenReason(path)});
      continue;
    }
    const bool may_be_none = is_dat || path.extension() == ".gguf";
    std::string reason = may_be_none && IsFile(path) ? NoCheckpointReason(path) : "";
    if (reason.empty() && IsFile(path)) reason = AdapterReason(path);
    if (reason.empty() && IsUnfinished(path)) reason = kUnfinished;
    if (!reason.empty()) {
      plan.left_out.push_back({path, reason});
    } else if (is_dat) {
      continue;
    } else if (IsFile(path)) {
      containers.push_back(path);
    } else {
      plan.left_out.push_back(
          {path, std::string(IsLink(path) ? kDanglingLink : "no regular file")});
    }
  }
  return containers;
}

/// What the names of the parts promise, a link that leads to nothing, and a file that is not whole.
void AddMissing(const ScanOptions& options, ScanPlan& plan) {
  MissingShards& missing = plan.missing = FindMissingParts(plan.files);
  for (const LeftOut& file : plan.left_out) {
    const std::string name = file.path.filename().string();
    const auto known = std::find(missing.names.begin(), missing.names.end(), name);
    const bool promised = file.reason == kDanglingLink || file.reason == kUnfinished;
    if (!promised || !HasListedSuffix(file.path, options) || known != missing.names.end()) continue;
    missing.names.push_back(name);
    missing.expected = plan.files.size() + missing.names.size();
  }
  if (missing.empty()) return;
  missing.unfinished = UnfinishedOf(plan);
  plan.warnings.push_back("[scan] " + missing.Text());
}

Result<void> PlanFromWalk(const fs::path& folder, const ScanOptions& options, ScanPlan& plan) {
  auto paths = List(folder, options.recursive == Recursive::kAlways);
  if (!paths) return tl::make_unexpected(paths.error());
  std::vector<fs::path> containers = Containers(*paths, options, plan);
  if (containers.empty() && options.recursive == Recursive::kAuto) {
    plan.left_out.clear();
    paths = List(folder, /*recursive=*/true);
    if (!paths) return tl::make_unexpected(paths.error());
    containers = Containers(*paths, options, plan);
  }
  std::map<fs::path, std::vector<fs::path>> by_folder;
  for (const fs::path& path : containers) by_folder[path.parent_path()].push_back(path);
  for (const auto& [parent, files] : by_folder) PlanFolder(files, plan);
  std::sort(plan.files.begin(), plan.files.end());
  LeaveOutUnfinished(*paths, options, plan);
  AddMissing(options, plan);
  return {};
}

/// Several folders with a config.json of their own are several models; so are the only one and
/// files that lie elsewhere, which it does not describe.
Result<void> CheckOneFolder(const std::vector<fs::path>& files, const fs::path& model_path) {
  if (IsFile(model_path / "config.json")) return {};
  std::set<fs::path> described;
  for (const fs::path& file : files) {
    if (IsFile(file.parent_path() / "config.json")) described.insert(file.parent_path());
  }
  std::vector<std::string> models;
  for (const fs::path& folder : described) {
    models.push_back(folder.lexically_relative(model_path).generic_string());
  }
  for (const fs::path& file : files) {
    if (described.empty()) break;
    const bool inside = std::any_of(
        described.begin(), described.end(),
        [&](const fs::path& folder) { return *file.lexically_relative(folder).begin() != ".."; });
    if (!inside) models.push_back(file.lexically_relative(model_path).generic_string());
  }
  if (models.size() < 2) return {};
  return Fail(ErrorCode::kUnsupported, model_path.string(),
              fmt::format("holds {} models: {}", models.size(), NameList(models)),
              "give the folder of one", "SystemExit");
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
  const std::string base =
      AdapterBase(IsFolder(model_path) ? model_path : model_path.parent_path());
  return Fail(
      ErrorCode::kUnsupported, model_path.string(),
      "is an adapter (LoRA), not a model: " + NameList(adapters),
      base.empty() ? "give the model that it adapts" : "give the model that it adapts, " + base,
      "SystemExit");
}

/// The file, and of a split GGUF the other parts too.
Result<void> PlanFromFile(const fs::path& path, const ScanOptions& options, ScanPlan& plan) {
  if (const std::string reason = AdapterReason(path); !reason.empty()) {
    plan.left_out.push_back({path, reason});
    return {};
  }
  plan.files = {path};
  const auto part = ParsePartName(path.filename().string());
  if (!part || path.extension() != ".gguf") return {};
  const auto paths = List(path.has_parent_path() ? path.parent_path() : ".", /*recursive=*/false);
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
bool IsOfOtherFiles(const IndexSummary& index, const fs::path& folder, ScanOptions options) {
  if (index.missing_shards.size() < index.expected_shards.size()) return false;
  options.recursive = Recursive::kNever;
  ScanPlan plan;
  return PlanFromWalk(folder, options, plan) && !plan.files.empty() && plan.missing.empty();
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
  const bool is_folder = IsFolder(model_path);
  const fs::path parent = model_path.has_parent_path() ? model_path.parent_path() : ".";
  summary.index_path = FindIndexFile(is_folder ? model_path : parent);
  if (!summary.index_path) return summary;
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
  summary.of_other_files = is_folder && IsOfOtherFiles(summary, model_path, options);
  summary.used_for_scan = is_folder && !summary.of_other_files;
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
  if (plan.model_path_is_file) {
    plan.index_discovered_but_ignored_due_to_file_model_path = index.found;
    done = PlanFromFile(model_path, options, plan);
  } else if (index.used_for_scan) {
    done = PlanFromIndex(options, index, plan);
  } else {
    done = PlanFromWalk(model_path, options, plan);
  }
  if (done) done = CheckNotAdapter(plan, model_path);
  if (done && !index.used_for_scan) done = CheckOneFolder(plan.files, model_path);
  if (done) CheckMissing(options, where, plan);
  if (done && !plan.fault) done = CheckGgufFiles(options, plan);
  if (!done) return tl::make_unexpected(done.error());
  Cut(plan.files, options.max_files);
  return plan;
}

std::optional<std::string> UnusedIndexWarning(const IndexSummary& index) {
  if (!index.found) return std::nullopt;
  const std::string path = index.index_path->string();
  if (index.status == IndexStatus::kError) {
    return fmt::format("[index] failed to parse index {}: {}", path, index.error);
  }
  if (!index.of_other_files) return std::nullopt;
  const size_t shards = index.expected_shards.size();
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
