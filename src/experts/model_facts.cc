#include "experts/model_facts.h"

#include <algorithm>
#include <vector>

#include "base/json.h"
#include "experts/config_numbers.h"
#include "experts/layer_facts.h"
#include "experts/roles.h"

namespace moe {
namespace {

// checkpoints.md 10.3; '/' goes into an object.
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
// What GGUF's keys are in config.json.
constexpr std::pair<const char*, const char*> kGgufWords[] = {
    {".block_count", "num_hidden_layers"},
    {".expert_count", "num_experts"},
    {".leading_dense_block_count", "first_k_dense_replace"},
    {".interleave_moe_layer_step", "decoder_sparse_step"},
    {".expert_feed_forward_length", "moe_intermediate_size"},
    {".expert_shared_count", "n_shared_experts"},
    {".expert_shared_feed_forward_length", "shared_expert_intermediate_size"},
};
constexpr const char* kHidden[] = {"hidden_size", "d_model", "n_embd", "dim"};
constexpr const char* kLatent[] = {"moe_latent_size"};

// The object that describes the text model.
const Json& TextConfig(const Json& config) {
  for (const char* path :
       {"text_config", "llm_config", "language_config", "thinker_config/text_config"}) {
    const Json* nested = At(config, path);
    if (nested != nullptr && nested->is_object()) return *nested;
  }
  return config;
}

void AddUnreadable(const std::vector<std::string>& keys, ModelFacts& facts) {
  facts.unreadable.insert(facts.unreadable.end(), keys.begin(), keys.end());
}

void AddWidth(const Json& text, ModelFacts& facts) {
  facts.expert_width = NumberOf(text, kExpertWidth);
  facts.width_is_of_experts = facts.expert_width.has_value();
  if (!facts.expert_width && !HasAny(text, kExpertWidth)) {
    facts.expert_width = NumberOf(text, kAnyWidth);
  }
  if (At(text, "block_configs") != nullptr) {  // each block has its own
    facts.expert_width.reset();
    facts.width_is_of_experts = false;
  }
  facts.widths_are_listed = !facts.expert_width && HasAny(text, kExpertWidth);
}

}  // namespace

ModelFacts FactsOfModel(std::string_view config_json,
                        const std::map<std::string, std::string>& gguf_metadata) {
  ModelFacts facts = FactsOfConfig(config_json);
  return facts.empty() ? FactsOfGguf(gguf_metadata) : facts;
}

ModelFacts FactsOfConfig(std::string_view config_json) {
  const Json config = Json::Parse(config_json).value_or(Json());
  if (!config.is_object()) return {};
  const Json& text = TextConfig(config);
  ModelFacts facts;
  static_cast<LayerFacts&>(facts) = LayerFactsOf(text, config);
  facts.stacks = EncoderAndDecoderFacts(text);
  if (const Json* talker = At(config, "talker_config/text_config"); talker && talker->is_object()) {
    facts.stacks["talker"] = LayerFactsOf(*talker, config);
    AddUnreadable(facts.stacks["talker"].unreadable, facts);
  }
  // Of Qwen-Omni's two stacks only the talker has them.
  if (At(config, "thinker_config") != nullptr) facts.shared_experts = false;
  facts.expert_input = NumberOf(text, kLatent);
  facts.hidden = NumberOf(text, kHidden);
  AddUnreadable(UnreadableKeys(text, kHidden), facts);
  AddUnreadable(UnreadableKeys(text, kExpertWidth), facts);
  AddWidth(text, facts);
  facts.zero_experts = CountOf(text, kZeroExperts).value_or(0);
  facts.experts_per_token = NumberOf(text, kExpertsPerToken);
  return facts;
}

ModelFacts FactsOfGguf(const std::map<std::string, std::string>& metadata) {
  const auto value = [&](const std::string& key) -> Json {
    const auto found = metadata.find(key);
    return found == metadata.end() ? Json() : Json::Parse(found->second).value_or(Json());
  };
  ModelFacts facts;
  const Json arch = value("general.architecture");
  if (!arch.is_string()) return facts;
  facts.gguf_arch = arch.get<std::string>();
  const auto number = [&](const char* key) -> std::optional<uint64_t> {
    return WholeNumber(value(facts.gguf_arch + key));
  };
  Json layers = Json::Object();
  for (const auto& [key, word] : kGgufWords) {
    if (Json found = value(facts.gguf_arch + key); !found.is_null()) layers[word] = found;
  }
  const uint64_t blocks = number(".block_count").value_or(0);
  const uint64_t nextn = number(".nextn_predict_layers").value_or(0);
  if (nextn < blocks) layers["num_hidden_layers"] = blocks - nextn;
  static_cast<LayerFacts&>(facts) = LayerFactsOf(layers, layers);
  facts.hidden = number(".embedding_length");
  facts.expert_input = number(".moe_latent_size");
  facts.expert_width = number(".expert_feed_forward_length");
  facts.width_is_of_experts = facts.expert_width.has_value();
  facts.experts_per_token = number(".expert_used_count");
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

std::optional<LayerFacts> ModelFacts::OfStack(const std::string& stack) const {
  if (stack.empty() || stack == "thinker") return *this;
  if (const auto found = stacks.find(stack); found != stacks.end()) return found->second;
  if (stack != "mtp" && stack != "encoder" && stack != "decoder") return std::nullopt;
  LayerFacts facts;
  facts.experts = experts;
  facts.shared_width = shared_width;
  return facts;
}

std::optional<int64_t> LayerNumber(std::string_view name) {
  for (const std::string_view part : NameComponents(name)) {
    if (const auto number = IntegerIn(part)) return number;
  }
  return std::nullopt;
}

}  // namespace moe
