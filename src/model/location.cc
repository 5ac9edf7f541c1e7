#include "model/location.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "base/hub_link.h"
#include "base/json_text.h"
#include "base/text.h"
#include "base/utf8.h"
#include "checkpoint/adapter.h"
#include "checkpoint/containers.h"
#include "checkpoint/names.h"
#include "checkpoint/part_names.h"
#include "checkpoint/walk.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRepositoryPrefix = "models--";
constexpr std::string_view kRunConfig = "analysis_config.json";
constexpr std::string_view kModelConfig = "config.json";
constexpr std::string_view kIndexSuffix = ".index.json";
constexpr int kLevels = 4;  ///< below the folder given, where its only model is looked for

/// With each \xNN as the byte that it stands for.
std::string Unescaped(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text.substr(i, 2) == "\\x" && i + 3 < text.size() &&
                        digit(text[i + 2]) >= 0 && digit(text[i + 3]) >= 0;
    bytes += escape ? static_cast<char>(digit(text[i + 2]) * 16 + digit(text[i + 3])) : text[i];
    if (escape) i += 3;
  }
  return bytes;
}

/// As ResolvePath(), but a link to a file that has another suffix (a blob of the Hub's cache has
/// none) keeps its own name, which says what it is.
fs::path Resolved(const std::string& text) {
  const fs::path resolved = ResolvePath(text), given(text);
  if (!IsFile(resolved) || resolved.extension() == given.extension()) return resolved;
  const fs::path folder = given.has_parent_path() ? given.parent_path() : fs::path(".");
  return ResolvePath(folder.string()) / given.filename();
}

bool IsThere(const fs::path& path) { return IsFolder(path) || IsFile(path); }

fs::path PathOf(const std::string& text) {
  const fs::path path = Resolved(text);
  if (IsThere(path)) return path;
  const fs::path unescaped = Resolved(Unescaped(text));
  return IsThere(unescaped) ? unescaped : path;
}

std::vector<std::string> FoldersIn(const fs::path& folder) {
  std::error_code failed;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(folder, failed); !failed && entry != fs::directory_iterator();
       entry.increment(failed)) {
    if (IsFolder(entry->path())) names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The Hub's cache.

/// ORG/NAME of models--ORG--NAME; "" for other folders.
std::string RepositoryId(const fs::path& folder) {
  std::string name = folder.filename().string();
  if (!name.starts_with(kRepositoryPrefix)) return "";
  name.erase(0, kRepositoryPrefix.size());
  const size_t dashes = name.find("--");
  if (dashes != std::string::npos) name.replace(dashes, 2, "/");
  return name;
}

std::string DownloadHint(const std::string& id) { return "hf download " + id; }

/// The snapshot that refs/main names; the only one where there is no refs/main.
Result<fs::path> SnapshotOf(const fs::path& repository) {
  const fs::path snapshots = repository / "snapshots";
  const auto text = ReadTextFile(repository / "refs" / "main");
  const std::string named(text ? Trimmed(*text) : "");
  if (!named.empty() && IsFolder(snapshots / named)) return snapshots / named;
  const std::vector<std::string> revisions = FoldersIn(snapshots);
  const std::string download = DownloadHint(RepositoryId(repository));
  if (revisions.empty()) {
    return Fail(ErrorCode::kNotFound, repository.string(), "holds no snapshot of the model",
                download, "SystemExit");
  }
  if (!named.empty()) {
    return Fail(
        ErrorCode::kNotFound, snapshots.string(),
        fmt::format("refs/main names the revision {}, which is not there, only {}", named,
                    NameList(revisions)),
        fmt::format("{}, or give the folder {}", download, (snapshots / revisions[0]).string()),
        "SystemExit");
  }
  if (revisions.size() == 1) return snapshots / revisions[0];
  return Fail(ErrorCode::kNotFound, snapshots.string(),
              fmt::format("holds {} revisions, and no refs/main names one of them: {}",
                          revisions.size(), NameList(revisions)),
              "give the folder of one", "SystemExit");
}

/// Folders that the environment and the home folder give, in the order in which they are searched.
std::vector<fs::path> FoldersOf(std::initializer_list<std::pair<const char*, const char*>> places) {
  std::vector<fs::path> folders;
  for (const auto& [variable, below] : places) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != '\0') folders.push_back(ResolvePath(value) / below);
  }
  return folders;
}

bool IsRepositoryName(std::string_view text) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return !text.empty() && !text.starts_with('.') && std::all_of(text.begin(), text.end(), allowed);
}

/// The folder of ORG/NAME in some cache; nullopt: it is in none. An error: where it is in one, none
/// of its revisions can be chosen.
Result<std::optional<fs::path>> FindInCaches(const std::string& id) {
  std::string name = id;
  name.replace(name.find('/'), 1, "--");
  std::optional<Error> fault;
  for (const fs::path& cache : FoldersOf({{"HF_HUB_CACHE", ""},
                                          {"HUGGINGFACE_HUB_CACHE", ""},
                                          {"HF_HOME", "hub"},
                                          {"XDG_CACHE_HOME", "huggingface/hub"},
                                          {"HOME", ".cache/huggingface/hub"}})) {
    const fs::path repository = cache / (std::string(kRepositoryPrefix) + name);
    if (!IsFolder(repository)) continue;
    const auto snapshot = SnapshotOf(repository);
    if (snapshot) return *snapshot;
    if (!fault) fault = snapshot.error();
  }
  for (const fs::path& models :
       FoldersOf({{"HOME", ".lmstudio/models"}, {"HOME", ".cache/lm-studio/models"}})) {
    if (IsFolder(models / id)) return models / id;
  }
  if (fault) return tl::make_unexpected(std::move(*fault));
  return std::nullopt;
}

// What a path means.

/// The name of the folder (of a file, its stem, without the number of a part); ORG/NAME in the
/// Hub's cache.
std::string IdOf(const fs::path& path) {
  for (fs::path part = path; part.has_relative_path(); part = part.parent_path()) {
    if (std::string id = RepositoryId(part); !id.empty()) return id;
  }
  std::string name = path.filename().string();
  if (const auto part = ParsePartName(name)) {
    name = part->before.substr(0, part->before.find_last_not_of("-_.") + 1);
  } else if (IsFile(path)) {
    name =
        IsIndexName(path) ? name.substr(0, name.find(".safetensors.index.")) : path.stem().string();
  }
  return name.empty() ? "model" : name;
}

/// The model_path of a run's configuration.
Result<std::string> ModelOfRun(const fs::path& run_dir) {
  const fs::path path = run_dir / kRunConfig;
  const auto text = ReadTextFile(path);
  if (!text) return tl::make_unexpected(text.error());
  const auto config = ParseLenientJson(*text, path.string());
  if (!config) return tl::make_unexpected(config.error());
  const std::string& model = (*config)["model_path"].text();
  if (model.empty()) {
    return Fail(ErrorCode::kNotFound, path.string(), "this run names no model",
                "give the checkpoint's folder or file", "SystemExit");
  }
  return model;
}

bool IsIndex(const fs::path& path) {
  return path.filename().string().ends_with(kIndexSuffix) || IsIndexName(path);
}

/// What stands for the folder that it lies in.
bool StandsForItsFolder(const fs::path& path) {
  const std::string name = path.filename().string();
  return name == kModelConfig || name == kRunConfig || IsIndex(path);
}

/// An index that its folder would not be read by.
bool IsOneOfSeveralIndexes(const fs::path& path) {
  ScanOptions options;
  options.recursive = Recursive::kNever;
  return IsIndexName(path) && IndexFiles(path.parent_path(), options) != std::vector{path};
}

/// What the files of a folder are, by their names.
struct Contents {
  bool weights = false, description = false;
};

Contents ContentsOf(const fs::path& folder) {
  Contents contents;
  std::error_code failed;
  for (fs::directory_iterator entry(folder, failed); !failed && entry != fs::directory_iterator();
       entry.increment(failed)) {
    const fs::path name = entry->path().filename();
    if (name.string().starts_with('.') || IsFolder(entry->path())) continue;
    const bool index = IsIndex(name);
    if (index || (IsScanned(name) && AdapterReason(entry->path()).empty())) contents.weights = true;
    if (index || name == kModelConfig) contents.description = true;
  }
  return contents;
}

/// Adds the folders of models in and below `folder`: that of the weights, or the one above that
/// describes them.
void AddModels(const fs::path& folder, int levels, std::vector<fs::path>& models) {
  const Contents contents = ContentsOf(folder);
  const size_t before = models.size();
  if (contents.weights) {
    models.push_back(folder);
    return;
  }
  if (levels == 0 || IsFile(folder / kRunConfig)) return;
  for (const std::string& name : FoldersIn(folder)) {
    const fs::path below = folder / name;
    std::error_code failed;
    if (name.starts_with('.') || fs::is_symlink(below, failed)) continue;
    AddModels(below, levels - 1, models);
  }
  if (!contents.description || models.size() == before) return;
  models.resize(before);
  models.push_back(folder);
}

/// The folder of the only model in or below `folder`, if that has a description of its own; else
/// `folder`.
fs::path ModelIn(const fs::path& folder) {
  std::vector<fs::path> models;
  AddModels(folder, kLevels, models);
  if (models == std::vector{folder}) return folder;
  const bool only = models.size() == 1 && ContentsOf(models[0]).description;
  return only ? models[0] : folder;
}

Result<ModelLocation> LocatedAt(const fs::path& path) {
  fs::path place = path;
  const bool stands = IsFile(place) && StandsForItsFolder(place);
  if (stands && !IsOneOfSeveralIndexes(place)) place = place.parent_path();
  if (place.filename() == "snapshots" && !RepositoryId(place.parent_path()).empty()) {
    place = place.parent_path();
  }
  if (!RepositoryId(place).empty() && IsFolder(place / "snapshots")) {
    auto snapshot = SnapshotOf(place);
    if (!snapshot) return tl::make_unexpected(snapshot.error());
    place = std::move(*snapshot);
  }
  if (IsFolder(place)) place = ModelIn(place);
  return ModelLocation{place, IdOf(place)};
}

Error NotFound(const std::string& text, const fs::path& path) {
  std::error_code failed;
  std::error_code ignored;
  const bool is_link = fs::is_symlink(path, ignored), exists = fs::exists(path, failed);
  Error error{ErrorCode::kNotFound, path.string(),
              failed    ? "can't be looked at: " + failed.message()
              : exists  ? "is neither a file nor a folder"
              : is_link ? "is a link to nothing"
                        : "no such file or folder",
              "give the checkpoint's folder or file", "SystemExit"};
  std::vector<std::string> siblings;
  for (fs::directory_iterator entry(path.parent_path(), failed);
       !failed && entry != fs::directory_iterator(); entry.increment(failed)) {
    if (entry->path() != path) siblings.push_back(entry->path().filename().string());
  }
  std::sort(siblings.begin(), siblings.end());
  if (const auto meant = ClosestName(path.filename().string(), siblings)) {
    error.hint = "did you mean " + (path.parent_path() / *meant).string() + "?";
  } else if (IsModelId(text)) {
    error.where = text;
    error.message = "is no file or folder here, and in no cache of models";
    error.hint = DownloadHint(text);
  }
  return error;
}

Result<ModelLocation> Located(const std::string& text) {
  const fs::path path = PathOf(text);
  if (IsThere(path)) return LocatedAt(path);
  if (!IsModelId(text)) return tl::make_unexpected(NotFound(text, path));
  const auto cached = FindInCaches(text);
  if (!cached) return tl::make_unexpected(cached.error());
  if (!*cached) return tl::make_unexpected(NotFound(text, path));
  return ModelLocation{ResolvePath((*cached)->string()), text};
}

}  // namespace

bool IsModelId(std::string_view text) {
  if (text.ends_with('/')) text.remove_suffix(1);
  const size_t slash = text.find('/');
  return slash != text.npos && IsRepositoryName(text.substr(0, slash)) &&
         IsRepositoryName(text.substr(slash + 1));
}

Result<ModelLocation> LocateModel(const std::string& given) {
  const std::string text = given.substr(0, std::max<size_t>(1, given.find_last_not_of('/') + 1));
  const fs::path path = PathOf(text);
  const fs::path run_dir = StandsForItsFolder(path) ? path.parent_path() : path;
  if (!IsThere(path) || !IsFile(run_dir / kRunConfig)) return Located(text);
  const auto model = ModelOfRun(run_dir);
  if (!model) return tl::make_unexpected(model.error());
  return Located(*model);
}

bool IsModel(const std::string& text) {
  const auto located = LocateModel(text);
  if (!located) return false;
  if (IsFile(located->path)) return IsScanned(located->path);
  const Contents contents = ContentsOf(located->path);
  return contents.weights || contents.description;
}

bool NamesModel(const std::string& text, const fs::path& path) {
  const auto located = LocateModel(text);
  return located && located->path == path;
}

}  // namespace moe
