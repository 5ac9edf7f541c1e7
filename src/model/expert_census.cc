#include "model/expert_census.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "model/expert_promise.h"

namespace moe {
namespace {

template <class Layers>
std::pair<uint64_t, uint64_t> CountRange(const Layers& layers) {
  uint64_t least = UINT64_MAX, most = 0;
  for (const auto& [layer, ids] : layers) {
    least = std::min<uint64_t>(least, ids.size());
    most = std::max<uint64_t>(most, ids.size());
  }
  return {layers.empty() ? 0 : least, most};
}

std::string NameOf(const std::string& stack, const std::string& proj) {
  return stack.empty() ? proj : stack + " " + proj;
}

/// The [rows, cols] that the config gives a projection; nullopt: it doesn't say.
std::optional<std::pair<uint64_t, uint64_t>> ConfigShape(const std::string& proj,
                                                         const ModelFacts& facts) {
  const auto& input = facts.expert_input ? facts.expert_input : facts.hidden;
  if (!facts.expert_width || !input) return std::nullopt;
  if (proj == "down_proj") return std::pair(*input, *facts.expert_width);
  if (proj == "gate_proj" || proj == "up_proj") return std::pair(*facts.expert_width, *input);
  return std::nullopt;
}

}  // namespace

void ExpertCensus::Add(const ExpertBank& bank, const std::string& storage, double bits_per_weight) {
  Group& group = groups_[{bank.stack.value_or(""), bank.is_shared_expert, bank.proj}];
  group.shapes.insert({bank.rows, bank.cols});
  group.storage[storage] = bits_per_weight;
  group.matrices += bank.matrices();
  for (uint64_t l = 0; l < bank.layers; ++l) {
    auto& ids = group.layers[bank.LayerAt(l)];
    for (uint64_t e = 0; e < bank.experts; ++e) ids.insert(bank.ExpertIdAt(e));
  }
}

std::optional<std::string> ExpertCensus::Misfit(const Key& key, const Group& group) const {
  const auto& [stack, shared, proj] = key;
  const auto down = groups_.find({stack, shared, "down_proj"});
  if (shared || proj == "down_proj" || down == groups_.end()) return std::nullopt;
  if (group.shapes.size() != 1 || down->second.shapes.size() != 1) return std::nullopt;
  const auto [rows, cols] = *group.shapes.begin();
  const auto [down_rows, down_cols] = *down->second.shapes.begin();
  if (rows == down_cols && cols == down_rows) return std::nullopt;
  return fmt::format("[experts] {} {} x {} and down_proj {} x {} don't fit each other",
                     NameOf(stack, proj), rows, cols, down_rows, down_cols);
}

std::vector<std::string> ExpertCensus::Warnings(const ModelFacts& facts,
                                                std::string_view family) const {
  std::vector<std::string> lines;
  for (const std::string& key : facts.unreadable) {
    lines.push_back(
        fmt::format("[experts] the config's {} is no whole number, so nobody knows "
                    "whether all is there",
                    key));
  }
  for (const std::string& preset : presets_) {
    if (family.empty() || preset.empty() || preset == "any" || preset == family) continue;
    lines.push_back(
        fmt::format("[experts] the config says the family is {}, but tensors are named "
                    "as those of {}, and were read so",
                    family, preset));
  }
  for (const auto& [key, group] : groups_) {
    const auto& [stack, shared, proj] = key;
    if (shared) continue;
    const std::string name = NameOf(stack, proj);
    const auto [least, most] = CountRange(group.layers);
    if (facts.experts && stack.empty() && least == most && most < *facts.experts) {
      lines.push_back(
          fmt::format("[experts] {}: the config says {} experts a layer, the tensors "
                      "hold {}",
                      name, *facts.experts, most));
    }
    std::set<int64_t> layers;
    for (const auto& [layer, ids] : group.layers) layers.insert(layer);
    if (facts.moe_layers && stack.empty() && layers != *facts.moe_layers) {
      lines.push_back(
          fmt::format("[experts] {}: the config says experts in layers {}, the tensors "
                      "have them in {}",
                      name, Ranges(*facts.moe_layers), Ranges(layers)));
    }
    if (auto misfit = Misfit(key, group)) lines.push_back(std::move(*misfit));
    const auto wanted = ConfigShape(proj, facts);
    if (!wanted || !stack.empty()) continue;
    for (const auto& [rows, cols] : group.shapes) {
      if (std::pair(rows, cols) == *wanted) continue;
      lines.push_back(fmt::format("[experts] {}: the config says {} x {}, the tensors hold {} x {}",
                                  name, wanted->first, wanted->second, rows, cols));
    }
  }
  return lines;
}

bool ExpertCensus::ContradictsConfig(const ModelFacts& facts) const {
  if (!facts.unreadable.empty()) return true;
  return std::any_of(groups_.begin(), groups_.end(), [&](const auto& entry) {
    const auto& [stack, shared, proj] = entry.first;
    const auto wanted = ConfigShape(proj, facts);
    if (!wanted || shared || !stack.empty()) return false;
    const auto& shapes = entry.second.shapes;
    const bool sure = proj != "down_proj" || facts.width_is_of_experts;
    const bool mixed = shapes.size() > 1 && shapes.contains(*wanted);
    return mixed || std::any_of(shapes.begin(), shapes.end(), [&](const auto& shape) {
             return sure && shape.second != wanted->second;
           });
  });
}

std::vector<ExpertGroup> ExpertCensus::Groups(const ModelFacts& facts) const {
  std::vector<ExpertGroup> list;
  for (const auto& [key, group] : groups_) {
    ExpertGroup& out = list.emplace_back();
    std::tie(out.stack, out.shared, out.proj) = key;
    out.shapes = group.shapes;
    out.storage = group.storage;
    out.matrices = group.matrices;
    for (const auto& [layer, ids] : group.layers) out.layers.insert(layer);
    std::tie(out.experts_min, out.experts_max) = CountRange(group.layers);
    if (!out.shared) out.experts_in_config = facts.experts;
  }
  return list;
}

Json ExpertGroupsJson(const std::vector<ExpertGroup>& groups) {
  Json list = Json::Array();
  for (const ExpertGroup& group : groups) {
    Json shapes = Json::Array(), storage = Json::Array();
    for (const auto& [rows, cols] : group.shapes) shapes.push_back(Json::Array({rows, cols}));
    for (const auto& [scheme, bits] : group.storage) {
      storage.push_back({{"scheme", scheme}, {"bits_per_weight", bits}});
    }
    list.push_back({{"stack", group.stack.empty() ? Json() : Json(group.stack)},
                    {"shared", group.shared},
                    {"proj", group.proj},
                    {"shapes", shapes},
                    {"storage", storage},
                    {"matrices", group.matrices},
                    {"layers", group.layers.size()},
                    {"layer_ranges", Ranges(group.layers)},
                    {"experts_per_layer_min", group.experts_min},
                    {"experts_per_layer_max", group.experts_max},
                    {"experts_in_config", OrNull(group.experts_in_config)}});
  }
  return list;
}

}  // namespace moe
