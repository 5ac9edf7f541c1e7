#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/discovery.h"

namespace moe {

// What lies in a folder, for PlanScan() and FindShardIndex().

/// All in `folder` (and, if wanted, below it) that is no folder, sorted. Symlinked folders are not
/// entered, hidden ones neither; subfolders that may not be read are passed over. kIo.
Result<std::vector<std::filesystem::path>> ListFiles(const std::filesystem::path& folder,
                                                     bool recursive);

/// Names with a dot in front: macOS' resource files, and what programs keep for themselves.
bool IsHidden(const std::filesystem::path& path);
std::string HiddenReason(const std::filesystem::path& path);

/// A file whose suffix, in whatever case, is one of `options.extensions`.
bool HasListedSuffix(const std::filesystem::path& path, const ScanOptions& options);

/// A file that is named as the index of shards: "*.safetensors.index.json", and with a variant
/// "*.safetensors.index.fp16.json".
bool IsIndexName(const std::filesystem::path& path);

/// What is found in a folder; below it, if that is wanted, or nothing is in the folder itself.
struct Survey {
  struct Sorted {
    std::vector<std::filesystem::path> containers;
    std::vector<LeftOut> left_out;  ///< what only looks like one
  };
  std::vector<std::filesystem::path> paths;
  Sorted sorted;
  std::vector<std::filesystem::path> indexes;
  bool below = false;  ///< nothing is in the folder itself
};
/// Reads the headers of files whose names don't tell an adapter from a model. kIo.
Result<Survey> Look(const std::filesystem::path& folder, const ScanOptions& options);

/// The index of each folder that has one: those in `folder`; where neither an index nor a container
/// is there, and subfolders are to be scanned, those below it. Of several in one folder the one
/// that is called model.safetensors.index.json, else all of them.
std::vector<std::filesystem::path> IndexFiles(const std::filesystem::path& folder,
                                              const ScanOptions& options);

/// Fills `plan` with the containers of a survey, what is left out, and what is missing.
void PlanWalk(const Survey& survey, const ScanOptions& options, ScanPlan& plan);

/// Fails (kUnsupported, naming them) for several models in and below `model_path`: folders with an
/// index or a config.json each, or one and weights outside it; several indexes in one folder; where
/// the top folder holds no container and `recursive` is kAuto, any folders but those that are
/// numbered ("layer-0", "layer-1"). A config.json at the top describes all; a folder within one of
/// them is a part of that.
Result<void> CheckOneFolder(const std::filesystem::path& model_path, const Survey& survey);

/// Names what a download left behind; its file may be one of those that are missing.
void LeaveOutUnfinished(const std::vector<std::filesystem::path>& paths, const ScanOptions& options,
                        ScanPlan& plan);
std::vector<std::string> UnfinishedOf(const ScanPlan& plan);

/// Warns; where all of the model is demanded, somebody has to know that it is whole.
void Doubt(const ScanOptions& options, const std::string& text, ScanPlan& plan);

/// config.json or indexes in `folder` that are links to nothing: a download that did not end.
std::vector<std::string> LostLinks(const std::filesystem::path& folder);

/// Names the files in `folder` that `hf download --local-dir` has not completed; without an index,
/// which knows what belongs to the model, Doubt().
void LeaveOutUnfinishedOfHub(const std::filesystem::path& folder, const IndexSummary& index,
                             const ScanOptions& options, ScanPlan& plan);

/// What the names of the parts among `plan.files` promise, a link that leads to nothing, and a file
/// that is not whole.
void AddMissing(const ScanOptions& options, ScanPlan& plan);

}  // namespace moe
