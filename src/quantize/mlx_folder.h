#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "quantize/output_plan.h"

namespace moe {

// What stands beside the weights of an MLX checkpoint, as mlx_lm.convert writes it.

/// config.json: the source's, sorted, with the quantization block twice, without what mlx-lm drops
/// and the source's own quantization; the end-of-text token is that of generation_config.json
/// (null: there is none).
std::string ConfigText(Json config, const Json& generation_config, const Json& quantization);

/// model.safetensors.index.json.
std::string IndexText(const OutputPlan& plan, const std::vector<SafetensorsPlan>& files);

/// The files of a checkpoint's folder that a converted one keeps: tokenizer, chat template,
/// generation config, Python files.
std::vector<std::filesystem::path> FilesToCopy(const std::filesystem::path& folder);

}  // namespace moe
