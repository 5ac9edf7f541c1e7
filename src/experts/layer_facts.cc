#include "experts/layer_facts.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "experts/config_numbers.h"
#include "experts/roles.h"

namespace moe {
namespace {

using Layers = std::set<int64_t>;
using Counts = std::map<int64_t, uint64_t>;

constexpr uint64_t kMostLayers = 100'000;

// checkpoints.md 10.3; '/' goes into an object.
constexpr const char* kExperts[] = {"num_experts",
                                    "num_local_experts",
                                    "n_routed_experts",
                                    "moe_num_experts",
                                    "num_routed_experts",
                                    "moe_num_primary_experts",
                                    "ffn_config/moe_num_experts",
                                    "moe/num_experts"};
constexpr const char* kModalities = "moe_num_experts";  // a list of it is no list of layers
constexpr const char* kSharedCount[] = {"n_shared_experts", "num_shared_experts",
                                        "num_shared_expert", "moe_num_shared_experts"};
constexpr const char* kSharedWidth[] = {
    "shared_expert_intermediate_size", "moe_shared_expert_intermediate_size",
    "shared_intermediate_size", "share_expert_dim", "share_expert_dims"};
constexpr const char* kWidth[] = {"moe_intermediate_size", "intermediate_size"};
constexpr const char* kLayers[] = {"num_hidden_layers", "n_layer", "n_layers", "num_layers"};

std::optional<int64_t> IntegerOf(const Json& config, std::span<const char* const> keys) {
  const auto number = CountOf(config, keys);
  return number ? std::optional(static_cast<int64_t>(*number)) : std::nullopt;
}

bool Countable(const std::optional<uint64_t>& layers) { return layers && *layers <= kMostLayers; }

// The layers below `count` of which `has` says so.
Layers LayersWhere(uint64_t count, const std::function<bool(int64_t)>& has) {
  Layers layers;
  for (int64_t layer = 0; layer < static_cast<int64_t>(count); ++layer) {
    if (has(layer)) layers.insert(layers.end(), layer);
  }
  return layers;
}

// One entry for each layer: "dense" or another text, 0 or 1.
std::optional<Layers> LayersOfMask(const Json& config, const char* key) {
  const Json* mask = At(config, key);
  if (mask == nullptr || !mask->is_array() || mask->empty()) return std::nullopt;
  const auto is_entry = [](const Json& entry) {
    return entry.is_string() || entry.is_number_integer() || entry.is_boolean();
  };
  if (!std::all_of(mask->begin(), mask->end(), is_entry)) return std::nullopt;
  return LayersWhere(mask->size(), [&](int64_t layer) {
    const Json& entry = (*mask)[static_cast<size_t>(layer)];
    return !(entry == "dense" || entry == 0 || entry == false);
  });
}

// A list, or a text with commas (Step-3).
std::optional<Layers> IntegersAt(const Json& config, const char* key) {
  const Json* list = At(config, key);
  Layers numbers;
  if (list != nullptr && list->is_string()) {
    std::string text = list->get<std::string>();
    std::replace(text.begin(), text.end(), ',', '.');
    for (std::string_view part : NameComponents(text)) {
      while (part.starts_with(' ')) part.remove_prefix(1);
      while (part.ends_with(' ')) part.remove_suffix(1);
      if (const auto number = IntegerIn(part)) numbers.insert(*number);
    }
    return numbers;
  }
  if (list == nullptr || !list->is_array()) return std::nullopt;
  for (const Json& entry : *list) {
    if (const auto number = WholeNumber(entry)) numbers.insert(static_cast<int64_t>(*number));
  }
  return numbers;
}

// Nemotron: one letter for each layer, 'E' for experts, or one word, "moe".
Layers LayersOfPattern(const Json& config) {
  const Json* words = At(config, "layers_block_type");
  if (words != nullptr && words->is_array()) {
    return LayersWhere(words->size(), [&](int64_t layer) {
      return (*words)[static_cast<size_t>(layer)] == "moe";
    });
  }
  const Json* pattern = At(config, "hybrid_override_pattern");
  if (pattern == nullptr || !pattern->is_string()) return {};
  const std::string letters = pattern->get<std::string>();
  return LayersWhere(letters.size(),
                     [&](int64_t layer) { return letters[static_cast<size_t>(layer)] == 'E'; });
}

// A number, or one for each modality (ERNIE-4.5-VL); empty: it doesn't say.
std::vector<int64_t> OfModalities(const Json& config, const char* key) {
  const Json* value = At(config, key);
  std::vector<int64_t> numbers;
  if (value == nullptr) return numbers;
  for (const Json& entry : value->is_array() ? *value : Json::Array({*value})) {
    const auto number = WholeNumber(entry);
    if (!number || *number > kMostLayers) return {};
    numbers.push_back(static_cast<int64_t>(*number));
  }
  return numbers;
}

// A dense prefix, a period and exceptions.
std::optional<Layers> LayersOfPeriod(const Json& config, std::optional<uint64_t> count) {
  constexpr const char* kPrefix[] = {"first_k_dense_replace", "num_dense_layers",
                                     "moe_layer_num_skipped"};
  constexpr const char* kStep[] = {"decoder_sparse_step", "interleave_moe_layer_step",
                                   "moe_layer_interval", "moe_layer_frequency"};
  constexpr const char* kFrequency[] = {"moe_layer_freq"};
  constexpr const char* kPeriod[] = {"expert_layer_period"};
  constexpr const char* kOffset[] = {"expert_layer_offset"};
  const auto prefix = IntegerOf(config, kPrefix), step = IntegerOf(config, kStep);
  const auto frequency = IntegerOf(config, kFrequency), period = IntegerOf(config, kPeriod);
  const auto dense = IntegersAt(config, "mlp_only_layers");
  const auto starts = OfModalities(config, "moe_layer_start_index");
  const auto ends = OfModalities(config, "moe_layer_end_index");
  const bool says = prefix || step || frequency || period || dense || !starts.empty();
  if (!says || !Countable(count) || step == 0 || frequency == 0 || period == 0) return std::nullopt;
  const int64_t start = starts.empty() ? 0 : *std::min_element(starts.begin(), starts.end());
  const int64_t end = ends.empty() ? INT64_MAX : *std::max_element(ends.begin(), ends.end());
  return LayersWhere(*count, [&](int64_t layer) {
    return layer >= prefix.value_or(0) && layer >= start && layer <= end &&
           (layer + 1) % step.value_or(1) == 0 && layer % frequency.value_or(1) == 0 &&
           (!period || layer % *period == IntegerOf(config, kOffset).value_or(0)) &&
           (!dense || !dense->contains(layer));
  });
}

// Which layers the config says to be MoE (checkpoints.md 10.3).
std::optional<Layers> MoeLayersOf(const Json& config, std::optional<uint64_t> count) {
  for (const char* mask :
       {"mlp_layer_types", "moe_layer_freq", "is_moe_layer", "moe_layer_layout"}) {
    if (auto layers = LayersOfMask(config, mask)) return layers;
  }
  for (const char* list : {"moe_layers", "moe_layers_enum"}) {
    if (auto layers = IntegersAt(config, list); layers && !layers->empty()) return layers;
  }
  if (auto layers = LayersOfPattern(config); !layers.empty()) return layers;
  return LayersOfPeriod(config, count);
}

// One number for each layer, or for each of those with experts; empty: neither.
Counts CountsOfList(const Json& list, const LayerFacts& facts) {
  Counts counts;
  const auto add = [&](int64_t layer, const Json& entry) {
    const auto count = WholeNumber(entry);
    if (count && *count <= INT32_MAX) counts[layer] = *count;
  };
  if (!list.is_array()) return counts;
  if (list.size() == facts.layers) {
    for (size_t i = 0; i < list.size(); ++i) add(static_cast<int64_t>(i), list[i]);
  } else if (facts.moe_layers && list.size() == facts.moe_layers->size()) {
    size_t i = 0;
    for (const int64_t layer : *facts.moe_layers) add(layer, list[i++]);
  }
  return counts;
}

// ERNIE-4.5-VL numbers its text and vision experts one after the other; in a layer that only one
// modality has experts in, there are only those.
Counts CountsOfModalities(const Json& config, const LayerFacts& facts) {
  const auto experts = OfModalities(config, kModalities);
  const auto starts = OfModalities(config, "moe_layer_start_index");
  const auto ends = OfModalities(config, "moe_layer_end_index");
  Counts counts;
  if (experts.size() < 2 || !facts.moe_layers) return counts;
  for (const int64_t layer : *facts.moe_layers) {
    for (size_t m = 0; m < experts.size(); ++m) {
      const bool begun = m >= starts.size() || layer >= starts[m];
      if (begun && (m >= ends.size() || layer <= ends[m])) {
        counts[layer] += static_cast<uint64_t>(experts[m]);
      }
    }
  }
  return counts;
}

// Pruned models: one object for each layer (Nemotron's puzzles); "moe" null is a dense one.
Counts CountsOfBlocks(const Json& config, LayerFacts& facts) {
  constexpr const char* kShared[] = {"ffn/moe/shared_expert_intermediate_dim"};
  constexpr const char* kOfBlock[] = {"ffn/moe/num_local_experts", "n_routed_experts",
                                      "num_local_experts", "num_experts"};
  const Json* blocks = At(config, "block_configs");
  Counts counts;
  if (blocks == nullptr || !blocks->is_array() || blocks->size() > kMostLayers) return counts;
  for (size_t i = 0; i < blocks->size(); ++i) {
    const Json& block = (*blocks)[i];
    const auto layer = static_cast<int64_t>(i);
    if (!block.is_object()) return {};
    counts[layer] = CountOf(block, kOfBlock).value_or(0);
    if (NumberOf(block, kShared).value_or(0) == 0) {
      facts.without_shared.insert(layer);
    } else {
      facts.shared_experts = true;
    }
  }
  if (!facts.shared_experts) facts.without_shared.clear();
  return counts;
}

Counts CountsByLayer(const Json& config, const Json& whole, LayerFacts& facts) {
  for (const Json* object : {&config, &whole}) {
    for (const char* path :
         {"moe_sparsity_config/num_experts", "quantization_config/moe_sparsity_config/num_experts",
          "compression_config/moe_sparsity_config/num_experts"}) {
      const Json* list = At(*object, path);
      if (list == nullptr) continue;
      if (auto counts = CountsOfList(*list, facts); !counts.empty()) return counts;
    }
  }
  if (auto counts = CountsOfBlocks(config, facts); !counts.empty()) return counts;
  if (auto counts = CountsOfModalities(config, facts); !counts.empty()) return counts;
  for (const char* key : kExperts) {
    const Json* list = At(config, key);
    if (list == nullptr || std::string_view(key) == kModalities) continue;
    if (auto counts = CountsOfList(*list, facts); !counts.empty()) return counts;
  }
  return {};
}

// One number where all layers with experts have the same; a layer with none is dense. Those that
// the list says nothing about have the config's one number.
void AddCounts(Counts counts, LayerFacts& facts) {
  if (counts.empty()) return;
  std::set<uint64_t> numbers;
  if (facts.moe_layers && facts.experts) {
    for (const int64_t layer : *facts.moe_layers) counts.emplace(layer, *facts.experts);
  }
  for (const auto& [layer, count] : counts) {
    if (count > 0) numbers.insert(count);
    if (count == 0 && facts.moe_layers) facts.moe_layers->erase(layer);
  }
  const bool all = counts.size() == facts.layers;
  if (!facts.moe_layers && all) {
    facts.moe_layers = LayersWhere(*facts.layers, [&](int64_t layer) { return counts[layer] > 0; });
  }
  facts.experts = numbers.size() == 1 ? std::optional(*numbers.begin()) : std::nullopt;
  facts.experts_of_layer = std::move(counts);
}

// A count of 0 says no, whatever the width; a list may say so of single layers.
void AddShared(const Json& config, LayerFacts& facts) {
  facts.shared_width = NumberOf(config, kSharedWidth);
  if (facts.shared_width.value_or(0) == 0) {
    const auto count = CountOf(config, kSharedCount), width = CountOf(config, kWidth);
    facts.shared_width = count && width ? std::optional(*count * *width) : std::nullopt;
  }
  for (const auto& keys : {std::span<const char* const>(kSharedCount), {kSharedWidth}}) {
    for (const char* key : keys) {
      const Json* value = At(config, key);
      if (value == nullptr || !(value->is_number() || value->is_array())) continue;
      const auto counts = CountsOfList(*value, facts);
      for (const auto& [layer, count] : counts) {
        if (count == 0) facts.without_shared.insert(layer);
      }
      const Json& list = value->is_array() ? *value : Json::Array({*value});
      facts.shared_experts = std::any_of(list.begin(), list.end(), [](const Json& entry) {
        return entry.is_number() && entry.get<double>() > 0;
      });
      const Json* mixed = At(config, "use_mixed_mlp_moe");  // Hunyuan
      if (mixed != nullptr && *mixed == false) facts.shared_experts = false;
      return;
    }
  }
}

}  // namespace

LayerFacts LayerFactsOf(const Json& config, const Json& whole) {
  LayerFacts facts;
  // LongCat has two attention blocks a layer; transformers saves their number as well.
  constexpr const char* kOfPairs[] = {"num_layers"};
  facts.layers = NumberOf(config, kOfPairs);
  if (!facts.layers || !HasAny(config, kZeroExperts)) facts.layers = NumberOf(config, kLayers);
  facts.experts = CountOf(config, kExperts);
  for (const auto& keys : {std::span<const char* const>(kLayers), {kExperts}}) {
    const auto unreadable = UnreadableKeys(config, keys);
    facts.unreadable.insert(facts.unreadable.end(), unreadable.begin(), unreadable.end());
  }
  if (const auto modalities = OfModalities(config, kModalities); modalities.size() > 1) {
    facts.experts =
        std::accumulate(modalities.begin(), modalities.end(), uint64_t{0},
                        [](uint64_t sum, int64_t n) { return sum + static_cast<uint64_t>(n); });
  }
  facts.moe_layers = MoeLayersOf(config, facts.layers);
  if (facts.moe_layers && Countable(facts.layers)) {
    const auto beyond = facts.moe_layers->lower_bound(static_cast<int64_t>(*facts.layers));
    facts.moe_layers->erase(beyond, facts.moe_layers->end());
  }
  AddShared(config, facts);
  AddCounts(CountsByLayer(config, whole, facts), facts);
  return facts;
}

std::map<std::string, LayerFacts> EncoderAndDecoderFacts(const Json& config) {
  std::map<std::string, LayerFacts> stacks;
  const bool is_switch = At(config, "num_sparse_encoder_layers") != nullptr ||
                         At(config, "num_decoder_layers") != nullptr;
  for (const std::string stack : {"encoder", "decoder"}) {
    const std::string own = stack + "_layers", sparse_step = stack + "_sparse_step";
    const char* in_switch = stack == "encoder" ? "num_layers" : "num_decoder_layers";
    const char* const layer_keys[] = {own.c_str(), in_switch};
    const char* const step_keys[] = {sparse_step.c_str()};
    LayerFacts facts;
    facts.layers = NumberOf(config, layer_keys);
    facts.experts = CountOf(config, kExperts);
    const auto step = IntegerOf(config, step_keys);
    if (!Countable(facts.layers) || !step || *step == 0) continue;
    facts.moe_layers = LayersWhere(*facts.layers, [&](int64_t layer) {
      return is_switch ? *step == 1 || layer % *step == 1 : (layer + 1) % *step == 0;
    });
    stacks.emplace(stack, std::move(facts));
  }
  return stacks;
}

}  // namespace moe
