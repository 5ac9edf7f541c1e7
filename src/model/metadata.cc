#include "model/metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxConfigChars = 200'000;

/// A value of the shape budget and the config keys it is taken from, first usable one.
struct BudgetRow {
  const char* name;
  const char* shown_as;  ///< in the [meta] line; "" not shown
  std::vector<const char*> keys;
};

const std::vector<BudgetRow>& BudgetRows() {
  static const std::vector<BudgetRow> rows = {
      {"num_hidden_layers", "layers", {"num_hidden_layers", "n_layer", "num_layers"}},
      {"hidden_size", "hidden", {"hidden_size", "d_model"}},
      {"moe_intermediate_size", "moe_int", {"moe_intermediate_size", "expert_intermediate_size"}},
      {"shared_expert_intermediate_size", "shared_int", {"shared_expert_intermediate_size"}},
      {"num_experts", "experts", {"num_experts", "n_routed_experts", "num_local_experts"}},
      {"num_experts_per_tok", "topk", {"num_experts_per_tok", "experts_per_token"}},
      {"n_shared_experts", "", {"n_shared_experts"}},
      {"decoder_sparse_step", "", {"decoder_sparse_step"}},
      {"full_attention_interval", "", {"full_attention_interval"}},
      {"first_k_dense_replace", "", {"first_k_dense_replace"}},
      {"mlp_only_layers", "", {"mlp_only_layers"}},
  };
  return rows;
}
constexpr const char* kShownOrder[] = {"hidden",     "layers",  "moe_int",
                                       "shared_int", "experts", "topk"};

/// int; float with an integer value; string "[+-]?digits", trimmed; a list if all of it coerces.
Json Coerced(const Json& value) {
  if (value.is_number_integer()) return value;
  if (value.is_number_float()) {
    const double number = value.get<double>();
    return std::isfinite(number) && number == std::floor(number) && std::fabs(number) < 9e15
               ? Json(static_cast<int64_t>(number))
               : Json();
  }
  if (value.is_string()) {
    std::string text = value.get<std::string>();
    const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
    while (!text.empty() && is_space(text.back())) text.pop_back();
    text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), is_space));
    const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
    const char* end = text.data() + text.size();
    int64_t number = 0;
    const auto [rest, failed] = std::from_chars(begin, end, number);
    const bool signed_twice = text.starts_with("+-");
    return failed == std::errc() && rest == end && !signed_twice ? Json(number) : Json();
  }
  if (!value.is_array()) return {};
  Json list = Json::Array();
  for (const Json& item : value) {
    list.push_back(Coerced(item));
    if (list.back().is_null()) return {};
  }
  return list;
}

/// The first of `keys` that passes `usable`, in config.json's nested configs of the text model,
/// then in config.json itself (checkpoints.md 10.3); null: none.
Json FirstOf(const Json& config, std::initializer_list<const char*> keys,
             bool (*usable)(const Json&)) {
  std::vector<const Json*> places;
  for (const char* nested : {"text_config", "llm_config", "language_config", "thinker_config"}) {
    const Json& found = config[nested];
    if (!found.is_object()) continue;
    if (const Json& deeper = found["text_config"]; deeper.is_object()) places.push_back(&deeper);
    places.push_back(&found);
  }
  places.push_back(&config);
  for (const Json* place : places) {
    for (const char* key : keys) {
      const Json* value = place->Find(key);
      if (value != nullptr && usable(*value)) return *value;
    }
  }
  return {};
}

std::string TextOf(const Json& config, std::initializer_list<const char*> keys) {
  const Json value = FirstOf(config, keys, [](const Json& json) { return json.is_string(); });
  return value.is_null() ? "" : value.get<std::string>();
}

/// Some producers put it into a file of its own (checkpoints.md 4.2, 7.1).
Json QuantizationOf(const Json& config, const fs::path& folder) {
  Json found = FirstOf(config, {"quantization", "quantization_config", "compression_config"},
                       [](const Json& json) { return json.is_object(); });
  if (!found.is_null()) return found;
  for (const char* name : {"hf_quant_config.json", "quantize_config.json"}) {
    const auto text = ReadTextFile(folder / name);
    if (!text) continue;
    const auto json = ParseLenientJson(*text, name);
    if (json && json->is_object()) return *json;
  }
  return {};
}

std::optional<fs::path> FindConfig(const fs::path& folder,
                                   const std::optional<std::string>& override_path) {
  if (override_path) return folder / *override_path;
  std::error_code failed;
  for (const char* place : {"", "model", "configs", "config", "hf"}) {
    const fs::path path = folder / place / "config.json";
    if (fs::is_regular_file(path, failed)) return path;
  }
  return std::nullopt;
}

void FillBudget(ModelMetadata& metadata) {
  std::vector<std::pair<std::string, std::string>> shown;
  for (const BudgetRow& row : BudgetRows()) {
    Json& value = metadata.shape_budget[row.name] = Json();
    for (const char* key : row.keys) {
      const Json* found = metadata.config.Find(key);
      if (value.is_null() && found != nullptr) value = Coerced(*found);
    }
    if (!value.is_null()) shown.emplace_back(row.shown_as, value.Text());
  }
  std::string line = "[meta]";
  for (const char* name : kShownOrder) {
    for (const auto& [shown_as, text] : shown) {
      if (shown_as == name) line += fmt::format(" {}={}", name, text);
    }
  }
  if (line != "[meta]") metadata.summary_line = line;
}

}  // namespace

ModelMetadata ReadModelMetadata(const fs::path& model_path,
                                const std::optional<std::string>& override_path) {
  ModelMetadata metadata;
  std::error_code failed;
  const fs::path folder =
      fs::is_directory(model_path, failed) ? model_path : model_path.parent_path();
  const auto path = FindConfig(folder, override_path);
  if (!path) {
    metadata.warnings.push_back("[meta] no config.json found for " + folder.string());
    return metadata;
  }
  const auto text = ReadTextFile(*path);
  auto config = text ? ParseLenientJson(*text, path->string()) : tl::make_unexpected(text.error());
  if (config && !config->is_object()) config = Malformed(path->string(), "is not a JSON object");
  if (!config) {
    metadata.unreadable = true;
    metadata.warnings.push_back("[meta] config not read: " + config.error().Text());
    return metadata;
  }
  metadata.config_path = *path;
  metadata.config = std::move(*config);
  metadata.model_type = TextOf(metadata.config, {"model_type"});
  metadata.declared_dtype = TextOf(metadata.config, {"dtype", "torch_dtype"});
  if (metadata.declared_dtype.starts_with("torch.")) metadata.declared_dtype.erase(0, 6);
  metadata.quantization = QuantizationOf(metadata.config, path->parent_path());
  FillBudget(metadata);
  return metadata;
}

Json TrimmedModelConfig(const Json& config) {
  const size_t chars = config.Text().size();
  if (chars <= kMaxConfigChars) return config;
  Json trimmed = Json::Object();
  for (const BudgetRow& row : BudgetRows()) {
    for (const char* key : row.keys) {
      if (config.contains(key)) trimmed[key] = config[key];
    }
  }
  Json keys = Json::Array();
  for (const auto& [key, value] : config.items()) keys.push_back(key);
  trimmed["_meta_trimmed"] = {{"original_keys", keys}, {"original_chars", chars}};
  return trimmed;
}

}  // namespace moe
