#include "run/plots_config.h"

#include <algorithm>

#include "base/text.h"
#include "run/config.h"
#include "run/config_keys.h"

namespace moe {
namespace {

/// The elements, trimmed, each once.
std::vector<std::string> KeysOf(const Json& list) {
  std::vector<std::string> keys;
  for (const Json& item : list) {
    const std::string key(Trimmed(item.get_ref<const std::string&>()));
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
  }
  return keys;
}

DataPlotConfig DataPlotOf(const Json& json, DataPlotConfig plot) {
  if (json.is_boolean()) plot.enabled = json.get<bool>();
  if (!json.is_object()) return plot;
  const Json enabled = json.value("enabled", Json(true));
  plot.enabled = !enabled.is_null() && enabled.get<bool>();
  plot.source = json.value("source_artifact", plot.source);
  plot.metric = Trimmed(json.value("metric", plot.metric));
  return plot;
}

}  // namespace

Result<PlotsConfig> PlotsConfigOf(const Json& config, const std::string& where) {
  PlotsConfig plots;
  const Json section = config.value("plots", Json());
  if (!section.is_object()) return plots;
  const Json keys = section.value("artifact_keys", Json());
  if (keys.is_array()) plots.artifact_keys = KeysOf(keys);
  for (const auto& [name, plot] :
       {std::pair{"expert_layer_heatmaps", &plots.expert_layer_heatmaps},
        std::pair{"quant_error_layer_lines", &plots.quant_error_layer_lines}}) {
    *plot = DataPlotOf(section.value(name, Json()), *plot);
    if (plot->metric.empty()) {
      return BadConfigValue(where, std::string("/plots/") + name + "/metric", "must not be empty");
    }
  }
  return plots;
}

Result<PlotsConfig> LoadPlotsConfig(const std::filesystem::path& path,
                                    std::vector<std::string>& warnings) {
  const auto text = ReadConfigText(path);
  if (!text) return tl::make_unexpected(text.error());
  const std::string where = path.string();
  const auto json = ParseLenientJson(*text, where);
  if (!json) return tl::make_unexpected(json.error());
  return CheckPlotsKeys(*json, where, warnings).and_then([&] {
    return PlotsConfigOf(*json, where);
  });
}

}  // namespace moe
