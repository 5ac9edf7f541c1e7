#pragma once

#include <span>
#include <string>
#include <vector>

#include "run/plots_config.h"

namespace moe {

enum class PlotKind {
  kBars,     ///< a bar for each projection
  kLines,    ///< a line over the layers for each projection
  kHeatmap,  ///< a picture of layers and experts for each projection
};

/// What is drawn of one column of one table (contract section 12).
struct PlotSpec {
  std::string source;  ///< the table's name
  std::string column;
  PlotKind kind = PlotKind::kBars;
  bool by_scheme = false;    ///< for each projection and scheme
  std::string folder;        ///< below plots/
  bool is_optional = false;  ///< only if the table has the column

  /// Its entry in the manifest, and the stem of its file: "A_weight_layer_summary__rms__median".
  /// Each picture of a heatmap puts its projection (and scheme) before the column.
  std::string Key() const;
  /// The columns that tell its values apart.
  std::vector<std::string> Axes() const;
};

/// All that is drawn of the tables in tables/.
std::span<const PlotSpec> TablePlots();
/// The tables that are drawn when `plots.artifact_keys` is not given.
std::span<const std::string> DefaultPlotTables();

/// What is drawn of data/.
PlotSpec ExpertLayerHeatmaps(const DataPlotConfig& config);
PlotSpec QuantErrorLayerLines(const DataPlotConfig& config);

}  // namespace moe
