#include "collect/model_reading.h"

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
  options.model_type = metadata.model_type;
  if (!metadata.config.is_null()) options.model_config = metadata.config.dump();
  for (const auto& file : checkpoint.files) {
    if (!file || file->metadata().empty()) continue;
    options.gguf_metadata = file->metadata();
    break;
  }
  return options;
}

}  // namespace moe
