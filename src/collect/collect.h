#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "collect/matrix_work.h"
#include "collect/narrator.h"
#include "collect/observer.h"
#include "collect/tensor_counts.h"
#include "moescope/stop_token.h"
#include "run/config.h"
#include "tables/table_writer.h"

namespace moe {

struct CollectOptions {
  std::filesystem::path run_dir;                    ///< absolute
  std::optional<std::filesystem::path> model_path;  ///< --model-path, as LocateModel() takes it
  unsigned threads = 0;                             ///< 0: one for each core
  std::optional<ReadMode> read_mode;                ///< nullopt: by the file system
  bool keep_going = false;
  bool reuse = false;  ///< what the run's tables hold is not measured again, if it would be equal
  StopToken stop;
};

/// What a finished collection has to tell.
struct CollectReport {
  std::string family;  ///< that was recognised; "" none
  std::vector<WrittenTable> outputs;
  std::array<RoleTotals, kRoleCount> roles = {};  ///< by Role
  Coverage coverage;
  MatrixWorkSummary work;
  std::vector<std::string> warnings;  ///< as in logs/warnings
  double seconds = 0;
  std::string read_mode;    ///< "mmap (ext4)"
  bool incomplete = false;  ///< input refused or skipped, or coverage too low: exit 3
};

/// `collect-data`: scans, measures and writes data/ and logs/ of the run directory (contract
/// sections 3 to 10 and 13). Everything is written under temporary names first and renamed at the
/// end, so that a failure or an interruption leaves what was there untouched; a failure is also
/// told in logs/run_failure.json.
Result<CollectReport> Collect(const Config& config, const CollectOptions& options,
                              CollectObserver& observer);

/// What Collect() will say of the files of evidence that `config` names, before anything is
/// written. Of a model that can't be opened nothing is said here.
Result<void> CheckEvidence(const Config& config, const CollectOptions& options);

/// logs/run_failure.json for a config that can't be used; nothing where there is no run directory.
void WriteConfigFailure(const CollectOptions& options, const Error& error);

}  // namespace moe
