#include "report/plot_spec.h"

namespace moe {
namespace {

using enum PlotKind;

const PlotSpec kTablePlots[] = {
    {"A_weight_global_summary", "mean_abs__median", kBars, false, "global", false},
    {"A_weight_global_summary", "outlier_p999_over_median__median", kBars, false, "global", true},
    {"A_weight_layer_summary", "mean_abs__median", kLines, false, "layer", false},
    {"A_weight_layer_summary", "outlier_p999_over_median__median", kLines, false, "layer", true},
    {"B_quant_global_summary", "w_rel_fro__median", kBars, true, "global", false},
    {"B_quant_layer_summary", "w_rel_fro__median", kLines, true, "layer", false},
    {"B_quant_layer_summary", "w_rel_max__median", kLines, true, "layer", true},
};
const std::string kDefaultTables[] = {"A_weight_global_summary", "A_weight_layer_summary",
                                      "B_quant_global_summary"};

}  // namespace

std::string PlotSpec::Key() const {
  if (kind == kHeatmap) return source + "__expert_layer_heatmap__" + column;
  return source + "__" + column + (by_scheme ? "_by_proj_and_scheme" : "");
}

std::vector<std::string> PlotSpec::Axes() const {
  std::vector<std::string> axes = {"proj"};
  if (by_scheme) axes.push_back("scheme");
  if (kind != kBars) axes.push_back("layer");
  if (kind == kHeatmap) axes.push_back("expert_id");
  return axes;
}

std::span<const PlotSpec> TablePlots() { return kTablePlots; }

std::span<const std::string> DefaultPlotTables() { return kDefaultTables; }

PlotSpec ExpertLayerHeatmaps(const DataPlotConfig& config) {
  const bool by_scheme = config.source == "quant_sim";
  return {config.source, config.metric, kHeatmap, by_scheme, "expert_layer_heatmaps", false};
}

PlotSpec QuantErrorLayerLines(const DataPlotConfig& config) {
  return {config.source, config.metric, kLines, true, "layer", false};
}

}  // namespace moe
