#pragma once

#include <string>
#include <string_view>

namespace moe {

/// The analysis_config.json that init-run writes (contract section 2 and "Our template" of 0.3),
/// with `model_path` and `parsing.presets` put in.
std::string ConfigTemplateText(std::string_view model_path, std::string_view preset = "auto");

}  // namespace moe
