#include "checkpoint/walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <system_error>

#include "base/hub_link.h"
#include "base/text.h"
#include "checkpoint/adapter.h"
#include "checkpoint/containers.h"
#include "checkpoint/download_names.h"
#include "checkpoint/gguf.h"
#include "checkpoint/names.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kUsualIndexName = "model.safetensors.index.json";
constexpr std::string_view kDanglingLink = "a link to nothing";
constexpr std::string_view kUnfinished = "an unfinished download";
constexpr std::string_view kOptimizer = "an optimizer's state, not a model";

bool IsLink(const fs::path& path) {
  std::error_code ignored;
  return fs::is_symlink(path, ignored) || FollowHubLink(path) != path;
}

/// "optimizer.safetensors", "0000100_optimizer.safetensors",
/// "optimizer-00001-of-00002.safetensors".
bool IsOfOptimizer(const fs::path& path) {
  std::string word = LowerAscii(path.stem().string());
  if (const auto part = ParsePartName(word)) word = part->before;
  while (!word.empty() && !std::isalpha(static_cast<unsigned char>(word.front()))) word.erase(0, 1);
  while (!word.empty() && !std::isalpha(static_cast<unsigned char>(word.back()))) word.pop_back();
  return word == "optimizer" || word == "optimizer_state" || word == "optimizer_states" ||
         word == "optim" || word == "optim_states";
}

std::vector<fs::path> IndexesAmong(const std::vector<fs::path>& paths) {
  std::map<fs::path, std::vector<fs::path>> by_folder;
  for (const fs::path& path : paths) {
    if (!IsHidden(path) && IsIndexName(path) && IsFile(path)) {
      by_folder[path.parent_path()].push_back(path);
    }
  }
  std::vector<fs::path> indexes;
  for (const auto& [folder, found] : by_folder) {
    const fs::path usual = folder / kUsualIndexName;
    if (std::ranges::count(found, usual) > 0) {
      indexes.push_back(usual);
    } else {
      indexes.insert(indexes.end(), found.begin(), found.end());
    }
  }
  return indexes;
}

Survey::Sorted Sort(const std::vector<fs::path>& paths, const ScanOptions& options) {
  Survey::Sorted sorted;
  for (const fs::path& path : paths) {
    const bool is_dat = SuffixOf(path) == ".dat";
    if (!is_dat && !HasListedSuffix(path, options)) continue;
    if (IsHidden(path)) {
      sorted.left_out.push_back({path, HiddenReason(path)});
      continue;
    }
    const bool may_be_none = is_dat || SuffixOf(path) == ".gguf";
    std::string reason = may_be_none && IsFile(path) ? NoCheckpointReason(path) : "";
    if (reason.empty() && IsFile(path)) reason = AdapterReason(path);
    if (reason.empty() && IsUnfinished(path)) reason = kUnfinished;
    if (reason.empty() && IsOfOptimizer(path)) reason = kOptimizer;
    if (!reason.empty()) {
      sorted.left_out.push_back({path, reason});
    } else if (is_dat) {
      continue;
    } else if (IsFile(path)) {
      sorted.containers.push_back(path);
    } else {
      sorted.left_out.push_back(
          {path, std::string(IsLink(path) ? kDanglingLink : "no regular file")});
    }
  }
  return sorted;
}

/// Whether `path` lies in or below `folder`.
bool IsBelow(const fs::path& path, const fs::path& folder) {
  const fs::path relative = path.lexically_relative(folder);
  return !relative.empty() && *relative.begin() != "..";
}

/// Of folders within folders that hold something, the inner ones are left out: copies.
void LeaveOutInner(Survey& survey) {
  std::set<fs::path> outer;
  const auto is_inner = [&](const fs::path& path) {
    return std::ranges::any_of(outer, [&](const fs::path& folder) {
      return path.parent_path() != folder && IsBelow(path.parent_path(), folder);
    });
  };
  for (const auto* paths : {&survey.sorted.containers, &survey.indexes}) {
    for (const fs::path& path : *paths) outer.insert(path.parent_path());
  }
  std::erase_if(survey.indexes, is_inner);
  std::erase_if(survey.sorted.containers, [&](const fs::path& path) {
    if (!is_inner(path)) return false;
    survey.sorted.left_out.push_back({path, "in a folder below other weights"});
    return true;
  });
}

/// "layer-0", "layer-1": names that differ in one number.
bool AreNumbered(const std::set<fs::path>& folders) {
  const auto with_star = [](const fs::path& folder) {
    std::string name = folder.filename().string();
    const size_t begin = name.find_first_of("0123456789");
    if (begin == name.npos) return fs::path();
    const size_t end = std::min(name.find_first_not_of("0123456789", begin), name.size());
    return folder.parent_path() / name.replace(begin, end - begin, "*");
  };
  const fs::path first = with_star(*folders.begin());
  return !first.empty() && std::ranges::all_of(folders, [&](const fs::path& folder) {
    return with_star(folder) == first;
  });
}

tl::unexpected<Error> SeveralModels(const fs::path& folder, const std::vector<fs::path>& models,
                                    std::string hint) {
  std::vector<std::string> names;
  for (const fs::path& model : models) {
    names.push_back(model.lexically_relative(folder).generic_string());
  }
  return Fail(ErrorCode::kUnsupported, folder.string(),
              fmt::format("holds {} models: {}", names.size(), NameList(names)), std::move(hint),
              "SystemExit");
}

/// The file of which `path`, by its name and bytes, is a second copy; "": of none of `files`.
std::string CopiedFrom(const fs::path& path, const std::vector<fs::path>& files) {
  const auto original = OriginalOfCopy(path.filename().string());
  if (!original) return "";
  const fs::path other = path.parent_path() / *original;
  const bool there = std::find(files.begin(), files.end(), other) != files.end();
  return there && AreCopies(path, other) ? *original : "";
}

/// The kind that is read of those in one folder; nullptr: none has a reader.
const Container* PreferredKind(const std::vector<fs::path>& containers) {
  const Container* preferred = nullptr;
  for (const fs::path& path : containers) {
    const Container* kind = FindContainer(path);
    if (kind == nullptr) continue;
    if (preferred == nullptr || kind->preference < preferred->preference) preferred = kind;
  }
  return preferred;
}

/// Distributes the containers of one folder: one kind is read, the others are left out.
void PlanFolder(const std::vector<fs::path>& containers, ScanPlan& plan) {
  const Container* preferred = PreferredKind(containers);
  const auto named = [](const fs::path& path, std::string_view start) {
    return path.filename().string().starts_with(start);
  };
  std::vector<std::string> passed_over;
  const bool has_model = std::ranges::any_of(containers, [&](const fs::path& path) {
    return SuffixOf(path) == ".safetensors" && named(path, "model");
  });
  for (const fs::path& path : containers) {
    const Container* kind = FindContainer(path);
    if (kind == nullptr) {
      plan.left_out.push_back({path, "no reader for this kind of file"});
    } else if (kind != preferred) {
      plan.left_out.push_back(
          {path, fmt::format("the {} files beside it are read", preferred->suffix)});
      passed_over.push_back(path.filename().string());
    } else if (has_model && named(path, "consolidated")) {
      plan.left_out.push_back({path, "a second copy of the model*.safetensors beside it"});
      passed_over.push_back(path.filename().string());
    } else if (const std::string original = CopiedFrom(path, containers); !original.empty()) {
      plan.left_out.push_back({path, "a second copy of " + original});
    } else {
      plan.files.push_back(path);
    }
  }
  if (passed_over.empty()) return;
  plan.warnings.push_back(
      fmt::format("[scan] not read beside the {} files: {}; give it as MODEL to read it instead",
                  preferred->suffix, NameList(passed_over)));
}

}  // namespace

Result<std::vector<fs::path>> ListFiles(const fs::path& folder, bool recursive) {
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

Result<Survey> Look(const fs::path& folder, const ScanOptions& options) {
  Survey survey;
  auto paths = ListFiles(folder, options.recursive == Recursive::kAlways);
  if (!paths) return tl::make_unexpected(paths.error());
  survey.paths = std::move(*paths);
  survey.sorted = Sort(survey.paths, options);
  survey.indexes = IndexesAmong(survey.paths);
  if (options.recursive == Recursive::kAuto && survey.sorted.containers.empty()) {
    paths = ListFiles(folder, /*recursive=*/true);
    if (!paths) return tl::make_unexpected(paths.error());
    survey.paths = std::move(*paths);
    survey.sorted = Sort(survey.paths, options);
    survey.below = true;
    if (survey.indexes.empty()) survey.indexes = IndexesAmong(survey.paths);
    LeaveOutInner(survey);
  }
  const auto at_top = [&](const fs::path& path) { return path.parent_path() == folder; };
  if (std::ranges::any_of(survey.indexes, at_top)) {
    std::erase_if(survey.indexes, [&](const fs::path& path) { return !at_top(path); });
  } else if (std::ranges::any_of(survey.sorted.containers, at_top)) {
    survey.indexes.clear();
  }
  return survey;
}

bool IsHidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

std::string HiddenReason(const fs::path& path) {
  return path.filename().string().starts_with("._") ? "a resource file of macOS, no checkpoint"
                                                    : "a hidden file";
}

bool HasListedSuffix(const fs::path& path, const ScanOptions& options) {
  return std::ranges::any_of(options.extensions, [&](const std::string& listed) {
    return listed == path.extension().string() || listed == SuffixOf(path);
  });
}

bool IsIndexName(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.ends_with(".json") && name.find(".safetensors.index.") != name.npos;
}

std::vector<fs::path> IndexFiles(const fs::path& folder, const ScanOptions& options) {
  const auto survey = Look(folder, options);
  return survey ? survey->indexes : std::vector<fs::path>();  // PlanScan() says why
}

Result<void> CheckOneFolder(const fs::path& model_path, const Survey& survey) {
  std::set<fs::path> folders, indexed, described;
  bool several_indexes = false;
  for (const fs::path& path : survey.sorted.containers) folders.insert(path.parent_path());
  for (const fs::path& path : survey.indexes) {
    several_indexes |= !indexed.insert(path.parent_path()).second;
  }
  folders.insert(indexed.begin(), indexed.end());
  for (const fs::path& folder : folders) {
    if (indexed.contains(folder) || IsFile(folder / "config.json")) described.insert(folder);
  }
  if (several_indexes) return SeveralModels(model_path, survey.indexes, "give one of them");
  const bool of_all = IsFile(model_path / "config.json") && indexed.empty();
  if (of_all || folders.size() < 2) return {};
  if (described.empty() && (!survey.below || AreNumbered(folders))) return {};
  std::vector<fs::path> models(described.begin(), described.end());
  for (const fs::path& path : survey.sorted.containers) {
    const bool inside = std::ranges::any_of(
        described, [&](const fs::path& folder) { return IsBelow(path, folder); });
    if (!inside) models.push_back(path);
  }
  if (models.size() < 2) return {};
  return SeveralModels(model_path, models, "give the folder of one");
}

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

void Doubt(const ScanOptions& options, const std::string& text, ScanPlan& plan) {
  plan.warnings.push_back("[scan] " + text);
  plan.doubtful |= options.strict_index;
}

std::vector<std::string> LostLinks(const fs::path& folder) {
  std::vector<std::string> names;
  const auto paths = ListFiles(folder, /*recursive=*/false);
  if (!paths) return names;
  for (const fs::path& path : *paths) {
    const bool of_model =
        path.filename() == "config.json" || (IsIndexName(path) && !IsHidden(path));
    if (of_model && IsLink(path) && !IsFile(path)) names.push_back(path.filename().string());
  }
  return names;
}

void LeaveOutUnfinishedOfHub(const fs::path& folder, const IndexSummary& index,
                             const ScanOptions& options, ScanPlan& plan) {
  const auto paths = ListFiles(folder / ".cache/huggingface/download", /*recursive=*/true);
  if (!paths) return;
  std::vector<std::string> names;
  for (const fs::path& path : *paths) {
    if (SuffixOf(path) != ".incomplete") continue;
    names.push_back(path.filename().string());
    plan.left_out.push_back({path, std::string(kUnfinished)});
  }
  if (!names.empty() && !index.used_for_scan)
    Doubt(options, "unfinished downloads: " + NameList(names), plan);
}

void AddMissing(const ScanOptions& options, ScanPlan& plan) {
  MissingShards& missing = plan.missing = FindMissingParts(plan.files);
  const NumberGaps gaps = FindNumberGaps(plan.files);
  missing.names.insert(missing.names.end(), gaps.missing.names.begin(), gaps.missing.names.end());
  missing.expected += gaps.missing.expected;
  missing.lone &= gaps.missing.empty();
  if (!gaps.doubtful.empty()) {
    Doubt(options, "not there, by the numbers of the others: " + NameList(gaps.doubtful), plan);
  }
  for (const LeftOut& file : plan.left_out) {
    const std::string name = file.path.filename().string();
    const auto known = std::find(missing.names.begin(), missing.names.end(), name);
    const bool promised = file.reason == kDanglingLink || file.reason == kUnfinished;
    if (!promised || !HasListedSuffix(file.path, options) || known != missing.names.end()) continue;
    missing.names.push_back(name);
    missing.expected = plan.files.size() + missing.names.size();
    missing.lone = false;
  }
  for (const fs::path& path : plan.files) {
    const auto part = ParsePartName(path.filename().string());
    if (!part || part->number <= part->count) continue;
    Doubt(options, path.filename().string() + " is a part beyond the count in its name", plan);
  }
  for (const std::string& name : UnfinishedOf(plan)) {
    const std::string stem = fs::path(name).stem().string();
    const auto is_it = [&](const fs::path& file) {
      return file.filename() == stem || file.filename() == name;
    };
    const bool there = std::ranges::any_of(plan.files, is_it);
    const bool told =
        std::ranges::count(missing.names, stem) + std::ranges::count(missing.names, name) > 0;
    if (!there && !told) Doubt(options, "an unfinished download: " + name, plan);
  }
  if (missing.empty()) return;
  missing.unfinished = UnfinishedOf(plan);
  plan.warnings.push_back("[scan] " + missing.Text());
}

void PlanWalk(const Survey& survey, const ScanOptions& options, ScanPlan& plan) {
  plan.left_out = survey.sorted.left_out;
  std::map<fs::path, std::vector<fs::path>> by_folder;
  for (const fs::path& path : survey.sorted.containers) {
    by_folder[path.parent_path()].push_back(path);
  }
  for (const auto& [parent, files] : by_folder) PlanFolder(files, plan);
  std::sort(plan.files.begin(), plan.files.end());
  LeaveOutUnfinished(survey.paths, options, plan);
  AddMissing(options, plan);
}

}  // namespace moe
