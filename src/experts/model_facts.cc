#include "experts/model_facts.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <vector>

#include "experts/roles.h"

namespace moe {
namespace {

using nlohmann::json;

// formats.md 10.3; '/' goes into an object.
constexpr const char* kExperts[] = {"num_experts",
                                    "num_local_experts",
                                    "n_routed_experts",
                                    "moe_num_experts",
                                    "num_routed_experts",
                                    "moe_num_primary_experts",
                                    "ffn_config/moe_num_experts",
                                    "moe/num_experts"};
constexpr const char* kExpertsPerToken[] = {"num_experts_per_tok",
                                            "num_experts_per_token",
                                            "experts_per_token",
                                            "moe_topk",
                                            "moe_top_k",
                                            "moe_k",
                                            "top_k_experts",
                                            "num_selected_experts",
                                            "moe_num_active_primary_experts",
                                            "ffn_config/moe_top_k",
                                            "moe/num_experts_per_tok"};
constexpr const char* kExpertWidth[] = {"moe_intermediate_size", "expert_ffn_hidden_size",
                                        "moe_ffn_hidden_size", "ffn_config/ffn_hidden_size"};
constexpr const char* kAnyWidth[] = {"intermediate_size", "d_ff"};
constexpr const char* kZeroExperts[] = {"zero_expert_num"};
constexpr const char* kHidden[] = {"hidden_size", "d_model", "n_embd", "dim"};
constexpr const char* kLatent[] = {"moe_latent_size"};
constexpr const char* kLayers[] = {"num_hidden_layers", "n_layer", "n_layers", "num_layers"};

const json* At(const json& object, std::string_view path) {
  const size_t slash = path.find('/');
  const auto found = object.find(std::string(path.substr(0, slash)));
  if (found == object.end()) return nullptr;
  if (slash == std::string_view::npos) return &*found;
  return found->is_object() ? At(*found, path.substr(slash + 1)) : nullptr;
}

// Of the first key that says anything. A list (one number a layer or a modality) is a number only
// where all of it is one, and never a reason to ask the next key, which may mean something else.
std::optional<uint64_t> NumberOf(const json& config, std::span<const char* const> keys) {
  for (const char* key : keys) {
    const json* value = At(config, key);
    if (value == nullptr) continue;
    if (value->is_number_unsigned()) return value->get<uint64_t>();
    if (!value->is_array() || value->empty()) continue;
    const json& first = value->front();
    const bool one =
        std::all_of(value->begin(), value->end(), [&](const json& item) { return item == first; });
    return one && first.is_number_unsigned() ? std::optional(first.get<uint64_t>()) : std::nullopt;
  }
  return std::nullopt;
}

// How many there are of what is counted one by one; a number no model can have is none.
std::optional<uint64_t> CountOf(const json& config, std::span<const char* const> keys) {
  const auto count = NumberOf(config, keys);
  return count && *count <= INT32_MAX ? count : std::nullopt;
}

// The object that describes the text model.
const json& TextConfig(const json& config) {
  for (const char* path :
       {"text_config", "llm_config", "language_config", "thinker_config/text_config"}) {
    const json* nested = At(config, path);
    if (nested != nullptr && nested->is_object()) return *nested;
  }
  return config;
}

std::optional<int64_t> IntegerOf(const json& config, std::span<const char* const> keys) {
  const auto number = NumberOf(config, keys);
  if (!number || *number > INT32_MAX) return std::nullopt;
  return static_cast<int64_t>(*number);
}

// One entry for each layer: "dense" or another text, 0 or 1.
std::optional<std::set<int64_t>> LayersOfMask(const json& config, const char* key) {
  const json* mask = At(config, key);
  if (mask == nullptr || !mask->is_array() || mask->empty()) return std::nullopt;
  std::set<int64_t> layers;
  for (size_t i = 0; i < mask->size(); ++i) {
    const json& entry = (*mask)[i];
    if (!entry.is_string() && !entry.is_number_integer() && !entry.is_boolean()) return {};
    const bool dense = entry == "dense" || entry == 0 || entry == false;
    if (!dense) layers.insert(static_cast<int64_t>(i));
  }
  return layers;
}

std::optional<int64_t> IntegerIn(std::string_view text) {
  int32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

// A list, or a text with commas (Step-3).
std::optional<std::set<int64_t>> IntegersAt(const json& config, const char* key) {
  const json* list = At(config, key);
  std::set<int64_t> numbers;
  if (list != nullptr && list->is_string()) {
    std::string text = list->get<std::string>();
    std::replace(text.begin(), text.end(), ',', '.');
    for (const std::string_view part : NameComponents(text)) {
      if (const auto number = IntegerIn(part)) numbers.insert(*number);
    }
    return numbers;
  }
  if (list == nullptr || !list->is_array()) return std::nullopt;
  for (const json& entry : *list) {
    if (entry.is_number_integer()) numbers.insert(entry.get<int64_t>());
  }
  return numbers;
}

// Nemotron: one letter for each layer, 'E' for experts.
std::set<int64_t> LayersOfPattern(const json& config) {
  const json* pattern = At(config, "hybrid_override_pattern");
  std::set<int64_t> layers;
  if (pattern == nullptr || !pattern->is_string()) return layers;
  const std::string letters = pattern->get<std::string>();
  for (size_t i = 0; i < letters.size(); ++i) {
    if (letters[i] == 'E') layers.insert(static_cast<int64_t>(i));
  }
  return layers;
}

// Which layers the config says to be MoE (formats.md 10.2, column "MoE layers"): a mask, a list, or
// a dense prefix, a period and exceptions.
std::optional<std::set<int64_t>> MoeLayersOf(const json& config, std::optional<uint64_t> count) {
  constexpr uint64_t kMostLayers = 100'000;
  for (const char* mask : {"mlp_layer_types", "moe_layer_freq", "is_moe_layer"}) {
    if (auto layers = LayersOfMask(config, mask)) return layers;
  }
  for (const char* list : {"moe_layers", "moe_layers_enum"}) {
    if (auto layers = IntegersAt(config, list); layers && !layers->empty()) return layers;
  }
  if (auto layers = LayersOfPattern(config); !layers.empty()) return layers;
  constexpr const char* kPrefix[] = {"first_k_dense_replace", "num_dense_layers",
                                     "moe_layer_start_index"};
  constexpr const char* kStep[] = {"decoder_sparse_step", "interleave_moe_layer_step",
                                   "moe_layer_interval", "moe_layer_frequency"};
  constexpr const char* kLast[] = {"moe_layer_end_index"};
  constexpr const char* kFrequency[] = {"moe_layer_freq"};
  constexpr const char* kPeriod[] = {"expert_layer_period"};
  constexpr const char* kOffset[] = {"expert_layer_offset"};
  const auto prefix = IntegerOf(config, kPrefix), step = IntegerOf(config, kStep);
  const auto frequency = IntegerOf(config, kFrequency), period = IntegerOf(config, kPeriod);
  const auto dense = IntegersAt(config, "mlp_only_layers");
  const bool says = prefix || step || frequency || period || dense;
  if (!says || !count || *count > kMostLayers || step == 0 || frequency == 0 || period == 0) {
    return std::nullopt;
  }
  std::set<int64_t> layers;
  for (int64_t layer = 0; layer < static_cast<int64_t>(*count); ++layer) {
    const bool moe = layer >= prefix.value_or(0) &&
                     layer <= IntegerOf(config, kLast).value_or(layer) &&
                     (layer + 1) % step.value_or(1) == 0 && layer % frequency.value_or(1) == 0 &&
                     (!period || layer % *period == IntegerOf(config, kOffset).value_or(0)) &&
                     (!dense || !dense->contains(layer));
    if (moe) layers.insert(layer);
  }
  return layers;
}

// ERNIE-4.5-VL: text and vision experts are numbered one after the other.
std::optional<uint64_t> SumOverModalities(const json& config) {
  const json* counts = At(config, "moe_num_experts");
  if (counts == nullptr || !counts->is_array()) return std::nullopt;
  uint64_t sum = 0;
  for (const json& count : *counts) {
    if (!count.is_number_unsigned() || count.get<uint64_t>() > INT16_MAX) return std::nullopt;
    sum += count.get<uint64_t>();
  }
  return sum;
}

bool HasAny(const json& config, std::span<const char* const> keys) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](const char* key) { return At(config, key) != nullptr; });
}

std::string TextAt(const json& object, const char* key) {
  const json* value = At(object, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}

}  // namespace

ModelFacts FactsOfConfig(std::string_view config_json) {
  const json config = json::parse(config_json, nullptr, false);
  if (!config.is_object()) return {};
  const json& text = TextConfig(config);
  ModelFacts facts;
  facts.model_type = TextAt(text, "model_type");
  if (facts.model_type.empty()) facts.model_type = TextAt(config, "model_type");
  facts.expert_input = NumberOf(text, kLatent);
  facts.layers = NumberOf(text, kLayers);
  facts.hidden = NumberOf(text, kHidden);
  facts.moe_layers = MoeLayersOf(text, facts.layers);
  if (facts.moe_layers && facts.layers && *facts.layers <= INT32_MAX) {
    const auto beyond = facts.moe_layers->lower_bound(static_cast<int64_t>(*facts.layers));
    facts.moe_layers->erase(beyond, facts.moe_layers->end());
  }
  facts.expert_width = NumberOf(text, kExpertWidth);
  facts.width_is_of_experts = facts.expert_width.has_value();
  if (!facts.expert_width && !HasAny(text, kExpertWidth)) {
    facts.expert_width = NumberOf(text, kAnyWidth);
  }
  facts.experts = CountOf(text, kExperts);
  if (const auto sum = SumOverModalities(text)) facts.experts = sum;
  facts.zero_experts = CountOf(text, kZeroExperts).value_or(0);
  facts.experts_per_token = NumberOf(text, kExpertsPerToken);
  return facts;
}

ModelFacts FactsOfGguf(const std::map<std::string, std::string>& metadata) {
  const auto value = [&](const std::string& key) -> json {
    const auto found = metadata.find(key);
    return found == metadata.end() ? json() : json::parse(found->second, nullptr, false);
  };
  ModelFacts facts;
  const json arch = value("general.architecture");
  if (!arch.is_string()) return facts;
  facts.gguf_arch = arch.get<std::string>();
  const auto number = [&](const char* key) -> std::optional<uint64_t> {
    const json found = value(facts.gguf_arch + key);
    if (!found.is_number_unsigned()) return std::nullopt;
    return found.get<uint64_t>();
  };
  facts.layers = number(".block_count");
  const uint64_t nextn = number(".nextn_predict_layers").value_or(0);
  if (facts.layers && nextn < *facts.layers) *facts.layers -= nextn;
  facts.hidden = number(".embedding_length");
  facts.expert_input = number(".moe_latent_size");
  facts.expert_width = number(".expert_feed_forward_length");
  facts.width_is_of_experts = facts.expert_width.has_value();
  facts.experts = number(".expert_count");
  if (facts.experts > INT32_MAX) facts.experts.reset();
  facts.experts_per_token = number(".expert_used_count");
  facts.moe_layers =
      MoeLayersOf({{"first_k_dense_replace", value(facts.gguf_arch + ".leading_dense_block_count")},
                   {"decoder_sparse_step", value(facts.gguf_arch + ".interleave_moe_layer_step")}},
                  facts.layers);
  return facts;
}

void LearnFromTensors(std::span<const WeightShape> weights, ModelFacts& facts) {
  // From the hidden size into the latent one, [latent, hidden].
  constexpr std::string_view kIntoLatent[] = {
      ".fc1_latent_proj.weight", ".routed_expert_down_proj.weight", ".ffn_latent_down.weight"};
  for (const WeightShape& weight : weights) {
    const std::string_view name = weight.name;
    if (name.starts_with("blk.") && name.find(".nextn.") != std::string_view::npos) {
      if (const auto layer = LayerNumber(name)) facts.mtp_layers.insert(*layer);
    }
    const bool latent = std::any_of(std::begin(kIntoLatent), std::end(kIntoLatent),
                                    [&](std::string_view end) { return name.ends_with(end); });
    if (latent && !facts.expert_input && weight.shape.size() == 2) {
      facts.expert_input = weight.shape.front();
    }
  }
}

std::optional<int64_t> LayerNumber(std::string_view name) {
  for (const std::string_view part : NameComponents(name)) {
    if (const auto number = IntegerIn(part)) return number;
  }
  return std::nullopt;
}

}  // namespace moe
