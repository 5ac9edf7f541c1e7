#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/error.h"
#include "moescope/experts.h"
#include "moescope/quantize.h"
#include "run/json_text.h"
#include "run/plots_config.h"

namespace moe {

// Initial values are what an absent key means (contract section 2 and D2 to D22), and config.cc
// relies on that; the template that init-run writes differs in places.

/// `scan.recursive` (D22).
enum class ScanRecursive { kNo, kYes, kAuto };

/// `scan`; experts_only and include_shared_expert are in Config::extract.
struct ScanConfig {
  std::vector<std::string> extensions = {".safetensors", ".npz"};
  std::optional<int64_t> max_files;  ///< as Python's slice [:max_files]: negative from the end
  bool inventory_all_tensors = true;
  ScanRecursive recursive = ScanRecursive::kYes;
  bool use_safetensors_index_json = true;
  bool strict_index = false;
  std::optional<double> min_expert_coverage;  ///< 0 to 1
};

struct MetadataConfig {
  bool enabled = false;
  std::optional<std::string> config_path;  ///< relative to the model's folder
};

enum class QuantBackend { kNative, kMlx, kAuto };
std::optional<QuantBackend> ParseBackend(std::string_view name);  ///< "native", "mlx", "auto"

struct MlxConfig {
  bool enabled = true;         ///< false: no simulation at all
  std::string device = "cpu";  ///< any text; all but "gpu" counts as "cpu"
  QuantBackend backend = QuantBackend::kNative;
  QuantProfile profile = QuantProfile::kMlxCpu;  ///< absent in the config: follows the device (D7)
};

struct StatsConfig {
  double eps = 0;                     ///< required in the file
  uint64_t sample_per_matrix = 8192;  ///< at least 1
  uint64_t sample_seed = 1337;
  bool exact_percentiles = false;  ///< `percentile_method` (D3)
  /// 50, 99, 99.9, then the config's others in its order (D4): what MeasureOptions wants.
  std::vector<double> percentiles_abs = {50.0, 99.0, 99.9};
  double group_outlier_percentile = 95.0;
  /// Any integer; those <= 0 give null columns.
  std::vector<int64_t> group_sizes_lastdim = {32, 64};
  std::optional<ComputeDType> compute_dtype;  ///< nullopt: "storage" (D2)
  std::optional<double> rel_den_floor;
};

/// An entry of `delta_pairs`: value(a) - value(b).
struct DeltaPair {
  std::string name, a, b;
  bool operator==(const DeltaPair&) const = default;
};

struct OutputConfig {
  bool parquet = true;             ///< false: CSV
  std::string format = "parquet";  ///< as the config wrote it
  std::optional<std::string> compression;
};

struct DebugConfig {
  bool dump_unmatched_tensors = true;
  int64_t print_progress_every_files = 1;  ///< 0: none
};

/// A whole analysis_config.json, checked, with every absent key filled in.
struct Config {
  std::string model_path;  ///< as written; may be "" (see CheckModelPath)
  ScanConfig scan;
  ExtractOptions extract;  ///< scan.experts_only, `parsing` and `extract_rules`
  MetadataConfig metadata;
  MlxConfig mlx;
  StatsConfig stats;
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

/// Reads `path`. kNotFound "Missing config: PATH", kIo if it can't be read. Exit code 2 (D18):
/// kMalformed for a text that is no JSON (line and column), kBadArgument for a wrong type or value
/// (JSON pointer and what was expected).
Result<Config> LoadConfig(const std::filesystem::path& path);

/// The text of `path`; kNotFound "Missing config: PATH", or kIo.
Result<std::string> ReadConfigText(const std::filesystem::path& path);

/// The same for a text; `where` names it in errors.
Result<Config> ParseConfig(std::string_view text, std::string_view where);

/// What collect-data needs and build-tables does not: a model_path that is not "".
Result<void> CheckModelPath(const Config& config, std::string_view where);

}  // namespace moe
