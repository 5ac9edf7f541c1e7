#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "moescope/error.h"
#include "run/schemes.h"

namespace moe {

/// manifest.json of a run directory; all empty where there is none (a hand-made run directory).
struct RunManifest {
  std::optional<std::string> model_id, run_name, created_at;
};

/// Where InitRun() makes a run; nothing is made. kBadArgument as there.
Result<std::filesystem::path> RunDirOf(const std::filesystem::path& root,
                                       const std::string& model_id, const std::string& run_name);

/// Makes `<root>/<model_id>/<run_name>` with its folders, manifest.json and analysis_config.json
/// (contract section 2). What is there stays as it is: an existing config untouched, of an existing
/// manifest only `updated_at` changes (D15). A `/` in the model id makes nested folders.
/// `model_path` goes into a new config as it is, bytes that are not UTF-8 as \xNN. `preset`:
/// parsing.presets there.
/// kBadArgument when an id is empty or would leave `root`.
/// @return the run directory, absolute.
Result<std::filesystem::path> InitRun(const std::filesystem::path& root,
                                      const std::string& model_id, const std::string& run_name,
                                      const std::optional<std::filesystem::path>& model_path,
                                      const std::string& preset);

/// What of a run's analysis_config.json is to be another; the rest of it stays.
struct ConfigChange {
  std::optional<std::filesystem::path> model_path;
  std::optional<SchemeChoice> schemes;
  std::vector<std::filesystem::path> imatrix, usage;  ///< if any: of `evidence`, and that it is on
};
/// Writes `config`, which is the one at `path`, with the change, and returns what it is then.
Result<Config> ChangeConfig(const std::filesystem::path& path, Config config,
                            const ConfigChange& change);

/// Reads `run_dir`/manifest.json; an unreadable one counts as none.
RunManifest ReadRunManifest(const std::filesystem::path& run_dir);

}  // namespace moe
