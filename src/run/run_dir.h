#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "moescope/error.h"

namespace moe {

/// manifest.json of a run directory; all empty where there is none (a hand-made run directory).
struct RunManifest {
  std::optional<std::string> model_id, run_name, created_at;
};

/// Makes `<root>/<model_id>/<run_name>` with its folders, manifest.json and analysis_config.json
/// (contract section 2). What is there stays as it is: an existing config untouched, of an existing
/// manifest only `updated_at` changes (D15). A `/` in the model id makes nested folders.
/// `preset`: parsing.presets of a new config.
/// kBadArgument when an id is empty or would leave `root`.
/// @return the run directory, absolute.
Result<std::filesystem::path> InitRun(const std::filesystem::path& root,
                                      const std::string& model_id, const std::string& run_name,
                                      const std::optional<std::filesystem::path>& model_path,
                                      const std::string& preset);

/// Reads `run_dir`/manifest.json; an unreadable one counts as none.
RunManifest ReadRunManifest(const std::filesystem::path& run_dir);

}  // namespace moe
