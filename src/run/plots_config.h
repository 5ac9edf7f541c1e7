#pragma once

#include <optional>
#include <string>
#include <vector>

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
  DataPlotConfig expert_layer_heatmaps, quant_error_layer_lines;
};

}  // namespace moe
