#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json_text.h"

namespace moe {

/// What a model's config.json tells (contract section 13, "Shape budget").
struct ModelMetadata {
  std::optional<std::filesystem::path> config_path;  ///< nullopt: none found
  Json config;                                       ///< whole, or null
  Json shape_budget = Json::Object();                ///< null for what isn't there
  std::string model_type;                            ///< nested text_config too; "" unknown
  Json quantization;           ///< quantization_config (its synonyms, nested too), or null
  std::string declared_dtype;  ///< dtype or torch_dtype, nested too, without "torch."; "" unknown
  std::string summary_line;    ///< "[meta] hidden=... layers=..."
  std::vector<std::string> warnings;  ///< "[meta] ..." lines
  bool unreadable = false;            ///< there is a config.json, and what it says is not known
};

/// Looks for config.json in the model folder (a file's parent), then model/, configs/, config/,
/// hf/; `override_path` (relative to the folder) goes first. Never fails: a missing or broken
/// config is a warning.
ModelMetadata ReadModelMetadata(const std::filesystem::path& model_path,
                                const std::optional<std::string>& override_path);

/// The config as logs/model_config.raw.json has it: cut to the known keys when it is very long.
Json TrimmedModelConfig(const Json& config);

}  // namespace moe
