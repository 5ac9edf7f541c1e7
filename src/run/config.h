#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_text.h"
#include "moescope/error.h"
#include "moescope/experts.h"
#include "moescope/measure.h"
#include "moescope/quantize.h"
#include "moescope/scan_options.h"
#include "run/plots_config.h"

namespace moe {

// What an absent key means stands in its row of the table of keys (config_keys.cc) alone; the
// template that init-run writes differs in places. DefaultConfig() has it all.

struct MetadataConfig {
  bool enabled{};
  std::optional<std::string> config_path;  ///< relative to the model's folder
};

enum class BackendChoice { kNative, kMlx, kAuto };
std::optional<BackendChoice> ParseBackend(std::string_view name);  ///< "native", "mlx", "auto"

struct MlxConfig {
  bool enabled{};      ///< false: no simulation at all
  std::string device;  ///< any text; all but "gpu" counts as "cpu"
  BackendChoice backend{};
};

/// What calibration has left, and whether data/evidence is written.
struct EvidenceConfig {
  bool enabled{};
  std::vector<std::string> imatrix, usage;  ///< paths
};

/// The percentiles of |w|.
struct PercentileConfig {
  bool exact{};  ///< `percentile_method` (D3); false: of a sample
  uint64_t sample_per_matrix{}, sample_seed{};
};

/// An entry of `delta_pairs`: value(a) - value(b).
struct DeltaPair {
  std::string name, a, b;
  bool operator==(const DeltaPair&) const = default;
};

struct OutputConfig {
  std::string format;  ///< as the config wrote it
  std::optional<std::string> compression;

  bool parquet() const { return format == "parquet"; }  ///< else CSV
};

struct DebugConfig {
  bool dump_unmatched_tensors{};
  int64_t print_progress_every_files{};  ///< 0: none
};

/// A whole analysis_config.json, checked, with every absent key filled in. The options of other
/// rooms are filled as far as a config says them.
struct Config {
  std::string model_path;  ///< as written; may be "" (see CheckModelPath)
  ScanOptions scan;
  bool inventory_all_tensors{};               ///< `scan`
  bool dense_weights{};                       ///< `scan`
  std::optional<double> min_expert_coverage;  ///< `scan`; 0 to 1
  ExtractOptions extract;                     ///< `scan`, `parsing` and `extract_rules`
  MetadataConfig metadata;
  MlxConfig mlx;
  EvidenceConfig evidence;
  MeasureOptions measure;  ///< `stats` and `mlx.profile`; no schemes
  PercentileConfig percentiles;
  std::vector<QuantScheme> quant_schemes;  ///< the enabled ones, in config order
  std::vector<DeltaPair> delta_pairs;
  OutputConfig output;
  DebugConfig debug;
  PlotsConfig plots;

  /// The text as parsed, key order kept: `config_used` of the logs.
  Json raw;
  /// "[config] ..." lines: unknown keys with the closest known one, keys without effect, ...
  std::vector<std::string> warnings;
};

/// What a config says that has no key.
Config DefaultConfig();

/// Reads `path`. kNotFound "Missing config: PATH", kIo if it can't be read. Exit code 2 (D18):
/// kMalformed for a text that is no JSON (line and column), kBadArgument for a wrong type or value
/// (JSON pointer and what was expected).
Result<Config> LoadConfig(const std::filesystem::path& path);

/// The text of `path`; kNotFound "Missing config: PATH", or kIo.
Result<std::string> ReadConfigText(const std::filesystem::path& path);

/// The same for a text; `where` names it in errors.
Result<Config> ParseConfig(std::string_view text, std::string_view where);

/// Reads the section `plots` alone, since a plot needs no more of a config; "[config] ..." lines go
/// to `warnings`. Fails as LoadConfig() does.
Result<PlotsConfig> LoadPlotsConfig(const std::filesystem::path& path,
                                    std::vector<std::string>& warnings);

/// What collect-data needs and build-tables does not: a model_path that is not "".
Result<void> CheckModelPath(const Config& config, std::string_view where);

}  // namespace moe
