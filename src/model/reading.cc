#include "model/reading.h"

#include <algorithm>
#include <iterator>

#include "codec/codecs.h"
#include "experts/model_facts.h"

namespace moe {

ModelWords WordsOf(const ModelMetadata& metadata) {
  ModelWords words{metadata.quantization, std::nullopt};
  constexpr std::pair<const char*, DType> kNames[] = {
      {"float32", DType::kF32}, {"float16", DType::kF16}, {"bfloat16", DType::kBF16}};
  for (const auto& [name, dtype] : kNames) {
    if (metadata.declared_dtype == name) words.declared_dtype = dtype;
  }
  return words;
}

ExtractOptions ExtractOptionsFor(ExtractOptions options, const ModelMetadata& metadata,
                                 const Checkpoint& checkpoint) {
  const auto tells = [](const auto& file) { return file && !file->metadata().empty(); };
  const auto file = std::find_if(checkpoint.files.begin(), checkpoint.files.end(), tells);
  const bool none = file == checkpoint.files.end();
  options.model = FactsOfModel(metadata.config.is_null() ? "" : metadata.config.Text(),
                               none ? std::map<std::string, std::string>() : (*file)->metadata());
  options.model.model_type = metadata.model_type;
  return options;
}

std::vector<std::string> QuantizationWarnings(const ModelMetadata& metadata) {
  const Json& quantization = metadata.quantization;
  std::vector<std::string> warnings;
  if (!quantization.is_object()) return warnings;
  const std::string method = QuantMethod(quantization);
  if (std::find(std::begin(kUnreadMethods), std::end(kUnreadMethods), method) !=
      std::end(kUnreadMethods)) {
    warnings.push_back("[quantization] quant_method '" + method +
                       "' is not read: the tensors it made are listed as unmatched");
  }
  if (const Json& transform = quantization["transform_config"];
      transform.is_object() && !transform.empty()) {
    warnings.push_back(
        "[quantization] transform_config: the weights are stored rotated, and measured so");
  }
  return warnings;
}

}  // namespace moe
