#include "report/plot_spec.h"

#include <gmock/gmock.h>

#include <set>

#include "run/config.h"
#include "run/config_keys.h"

namespace moe {
namespace {

TEST(TablePlots, DrawExactlyTheTablesThatTheConfigMayName) {
  std::string names;
  std::set<std::string> seen;
  for (const PlotSpec& spec : TablePlots()) {
    if (!seen.insert(spec.source).second) continue;
    names += (names.empty() ? "" : "|") + spec.source;
  }
  const auto is_list = [](const ConfigKey& key) { return key.pointer == "/plots/artifact_keys"; };
  EXPECT_EQ(std::ranges::find_if(ConfigKeys(), is_list)->values, names);
  for (const std::string& table : DefaultPlotTables()) EXPECT_TRUE(seen.contains(table)) << table;
}

// Contract section 12.
TEST(TablePlots, HaveTheContractsKeys) {
  std::vector<std::string> keys;
  for (const PlotSpec& spec : TablePlots()) {
    keys.push_back(spec.folder + "/" + spec.Key() + (spec.is_optional ? "?" : ""));
  }
  EXPECT_THAT(keys, testing::ElementsAre(
                        "global/A_weight_global_summary__mean_abs__median",
                        "global/A_weight_global_summary__outlier_p999_over_median__median?",
                        "layer/A_weight_layer_summary__mean_abs__median",
                        "layer/A_weight_layer_summary__outlier_p999_over_median__median?",
                        "global/B_quant_global_summary__w_rel_fro__median_by_proj_and_scheme",
                        "layer/B_quant_layer_summary__w_rel_fro__median_by_proj_and_scheme",
                        "layer/B_quant_layer_summary__w_rel_max__median_by_proj_and_scheme?"));
  EXPECT_EQ(QuantErrorLayerLines(DefaultConfig().plots.quant_error_layer_lines).Key(),
            "quant_sim__w_rel_fro_by_proj_and_scheme");
}

}  // namespace
}  // namespace moe
