#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/error.h"
#include "run/json_text.h"

namespace moe {

/// A plot of a column of data/, not of tables/.
struct DataPlotConfig {
  std::optional<bool> enabled;  ///< nullopt: not said
  std::string source;           ///< the table of data/
  std::string metric;           ///< its column
};

/// `plots` of analysis_config.json (contract section 12).
struct PlotsConfig {
  std::optional<std::vector<std::string>> artifact_keys;  ///< nullopt: the default tables
  DataPlotConfig expert_layer_heatmaps{std::nullopt, "matrix_stats", "outlier_p999_over_median"};
  DataPlotConfig quant_error_layer_lines{std::nullopt, "quant_sim", "w_rel_fro"};
};

/// The section of a whole config whose types are right (CheckConfigKeys() or CheckPlotsKeys()).
/// kBadArgument for a metric that is empty.
Result<PlotsConfig> PlotsConfigOf(const Json& config, const std::string& where);

/// Reads that section alone, since a plot needs no more of a config; "[config] ..." lines go to
/// `warnings`. Fails as LoadConfig() does.
Result<PlotsConfig> LoadPlotsConfig(const std::filesystem::path& path,
                                    std::vector<std::string>& warnings);

}  // namespace moe
