#include "model/expert_promise.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace moe {
namespace {

constexpr size_t kMostLines = 12;
constexpr const char* kIndex = "the index";
constexpr uint64_t kMostLayers = 100'000;  // more are no model's, and would fill the memory

void AddRange(int64_t first, int64_t last, std::string& text) {
  text += text.empty() ? "" : ", ";
  text += first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
}

// Ids from 0 to count - 1 that are not in `ids`, as ranges, and how many. Never counts one by one.
std::pair<std::string, uint64_t> Gaps(const std::set<int64_t>& ids, int64_t count) {
  std::pair<std::string, uint64_t> gaps;
  int64_t next = 0;
  const auto close = [&](int64_t end) {
    if (next < end) {
      AddRange(next, end - 1, gaps.first);
      gaps.second += static_cast<uint64_t>(end - next);
    }
  };
  for (const int64_t id : ids) {
    if (id >= count) break;
    close(id);
    next = id + 1;
  }
  close(count);
  return gaps;
}

bool IsSecondRouter(const std::string& name) { return name.ends_with(".weight_1"); }

// A router's matrix: [experts, hidden] or, seldom, [hidden, experts].
bool IsRouter(const WeightShape& weight, const Extraction& extraction) {
  const std::string& name = weight.name;
  return extraction.role == Role::kRouter && weight.shape.size() == 2 &&
         (name.ends_with(".weight") || IsSecondRouter(name)) &&
         name.find("shared_expert") == std::string::npos &&
         name.find("_shexp") == std::string::npos;
}

// "model.layers." of "model.layers.3.mlp.gate.weight": vision towers count their layers elsewhere.
std::string ModuleOfLayers(const std::string& name, int64_t layer) {
  const std::string number = fmt::format("{}.", layer);
  for (size_t at = name.find(number); at != std::string::npos; at = name.find(number, at + 1)) {
    if (at == 0 || name[at - 1] == '.') return name.substr(0, at);
  }
  return "";
}

bool IsExpert(const Extraction& extraction) {
  return extraction.role == Role::kRoutedExpert || extraction.role == Role::kSharedExpert;
}

/// "expert 7", "experts 1, 3-7".
std::string ExpertsText(const std::string& ids) {
  return (ids.find_first_of(",-") == std::string::npos ? "expert " : "experts ") + ids;
}

}  // namespace

void ExpertPromise::Ids::Add(const ExpertClaim& claim) {
  if (claim.expert) {
    ids.insert(*claim.expert);
  } else {
    all = true;
  }
}

void ExpertPromise::Add(const WeightShape& weight, const Extraction& extraction) {
  const std::string module = extraction.layer ? ModuleOfLayers(weight.name, *extraction.layer) : "";
  if (extraction.layer) seen_layers_[module].insert(*extraction.layer);
  if (IsRouter(weight, extraction) && extraction.layer) {
    Stack& stack = stacks_[extraction.stack.value_or("")];
    stack.modules.insert(module);
    stack.blocks[*extraction.layer].routers[IsSecondRouter(weight.name)] =
        std::pair(weight.shape[0], weight.shape[1]);
  }
  if (!IsExpert(extraction)) return;
  stacks_[extraction.stack.value_or("")].modules.insert(module);
  for (const ExpertBank& bank : extraction.banks) {
    Stack& stack = stacks_[bank.stack.value_or("")];
    stack.inputs.insert(bank.proj == "down_proj" ? bank.rows : bank.cols);
    (bank.is_shared_expert ? stack.shared_weights : stack.routed_weights) =
        static_cast<double>(bank.rows) * static_cast<double>(bank.cols);
    for (uint64_t l = 0; l < bank.layers; ++l) {
      Block& block = stack.blocks[bank.LayerAt(l)];
      if (bank.is_shared_expert) {
        block.shared.insert(bank.proj);
        continue;
      }
      auto& ids = block.routed[bank.proj].ids;
      for (uint64_t e = 0; e < bank.experts; ++e) {
        ids.insert(ids.end(), bank.ExpertIdAt(e));
        block.read.insert(bank.ExpertIdAt(e));
      }
    }
  }
}

void ExpertPromise::AddUnread(const std::vector<ExpertClaim>& claims) {
  for (const ExpertClaim& claim : claims) {
    Block& block = stacks_[claim.stack.value_or("")].blocks[claim.layer];
    if (claim.is_shared_expert) {
      block.shared.insert(claim.proj);
    } else {
      block.routed[claim.proj].Add(claim);
    }
  }
}

void ExpertPromise::AddListed(const std::vector<ExpertClaim>& claims) {
  for (const ExpertClaim& claim : claims) {
    Block& block = stacks_[claim.stack.value_or("")].blocks[claim.layer];
    if (claim.is_shared_expert) {
      block.shared_listed.insert(claim.proj);
    } else {
      block.listed[claim.proj].Add(claim);
    }
  }
}

/// What one stack promises.
class ExpertPromise::Account {
 public:
  Account(const std::string& name, const Stack& stack, const ModelFacts& facts)
      : name_(name), stack_(stack), facts_(facts), config_(facts.OfStack(name)) {
    for (const auto& [layer, block] : stack.blocks) {
      for (const auto* projs : {&block.routed, &block.listed}) {
        for (const auto& [proj, ids] : *projs) {
          projs_.insert(proj);
          if (!ids.ids.empty()) most_ = std::max(most_, *ids.ids.rbegin() + 1);
        }
      }
      shared_.insert(block.shared.begin(), block.shared.end());
    }
    found_any_ = !projs_.empty();
    const bool usual = projs_.contains("gate_proj") || projs_.contains("up_proj") ||
                       projs_.contains("down_proj") || !found_any_;
    const std::vector<std::string> whole =
        facts.gated ? std::vector<std::string>{"gate_proj", "up_proj", "down_proj"}
                    : std::vector<std::string>{"up_proj", "down_proj"};
    if (!config_) return;
    if (usual && (config_->promise_experts() || facts.gated)) {
      projs_.insert(whole.begin(), whole.end());
    }
    if (config_->shared_experts) shared_.insert(whole.begin(), whole.end());
  }

  std::vector<MissingExperts> Missing(const std::set<int64_t>& seen_layers) {
    const bool promised = config_ && config_->promise_experts();
    if (!found_any_ && !promised) return {};  // a router without experts: of something else
    std::set<int64_t> layers = LayersOfConfig(promised, seen_layers);
    for (const auto& [layer, block] : stack_.blocks) {
      const bool listed = !block.listed.empty() || !block.shared_listed.empty();
      if (!block.routed.empty() || listed || !block.routers.empty()) layers.insert(layer);
    }
    for (const int64_t layer : layers) AddLayer(layer);
    std::vector<MissingExperts> list;
    for (auto& [key, missing] : missing_) list.push_back(std::move(missing));
    std::stable_sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
      return *a.layers.begin() < *b.layers.begin();
    });
    return list;
  }

  // Layers with the same surplus make one line. (Of identity experts ShapeJudge tells.)
  std::vector<std::string> Surplus() const {
    std::map<std::pair<std::string, std::string>, std::set<int64_t>> layers;
    for (const auto& [layer, block] : stack_.blocks) {
      for (const auto& [count, by] : Statements(layer, &block)) {
        std::set<int64_t> beyond(block.read.lower_bound(count), block.read.end());
        if (!beyond.empty()) layers[{Ranges(beyond), by}].insert(layer);
      }
    }
    std::vector<std::string> lines;
    for (const auto& [what, of] : layers) {
      lines.push_back(fmt::format("[experts] layer{} {}: {}, the tensors hold {}{} too",
                                  of.size() == 1 ? "" : "s", Ranges(of), what.second,
                                  name_.empty() ? "" : name_ + " ", ExpertsText(what.first)));
    }
    return lines;
  }

 private:
  // No key about layers: all of them, if the family is so or every one that was seen has experts;
  // else those that are lost, of which no tensor tells whether it was dense. Some models count
  // their layers from 1.
  std::set<int64_t> LayersOfConfig(bool promised, const std::set<int64_t>& seen_layers) {
    if (promised && config_->moe_layers) return *config_->moe_layers;
    const bool says = config_ && config_->layers && *config_->layers <= kMostLayers;
    if (!says || config_->experts == 0 || (!promised && seen_layers.empty())) return {};
    const auto count = static_cast<int64_t>(*config_->layers);
    const bool dense = std::any_of(seen_layers.begin(), seen_layers.end(), [&](int64_t layer) {
      return layer < count && !stack_.blocks.contains(layer);
    });
    const bool from_one = !seen_layers.contains(0) && seen_layers.contains(count);
    std::set<int64_t> layers;
    for (int64_t layer = 0; layer < count; ++layer) {
      const bool seen =
          seen_layers.contains(layer) || stack_.blocks.contains(layer) || (layer == 0 && from_one);
      if (!seen) lost_.insert(layer);
      if (!seen || (promised && (facts_.every_layer || !dense))) layers.insert(layer);
    }
    return layers;
  }

  // By the layer's routers, one for each modality; 0: they don't say.
  uint64_t CountOfRouter(const Block* block) const {
    if (block == nullptr || facts_.router_has_more) return 0;
    const auto known = [&](uint64_t size) {
      return size == facts_.hidden || stack_.inputs.contains(size);
    };
    uint64_t experts = 0;
    for (const auto& [second, shape] : block->routers) {
      const auto [rows, cols] = shape;
      const uint64_t own = known(cols) ? rows : known(rows) ? cols : 0;
      if (own == 0 || own > INT32_MAX) return 0;
      experts += own;
    }
    return experts <= INT32_MAX ? experts : 0;
  }

  // How many experts the layer has, and who says so: the config for this very layer; else the
  // config for all, and the layer's router.
  std::vector<std::pair<int64_t, std::string>> Statements(int64_t layer, const Block* block) const {
    if (config_ && config_->experts_of_layer.contains(layer)) {
      const uint64_t count = config_->experts_of_layer.at(layer);
      return {
          {static_cast<int64_t>(count), fmt::format("the config says {} in this layer", count)}};
    }
    std::vector<std::pair<int64_t, std::string>> statements;
    const uint64_t config = config_ ? config_->experts.value_or(0) : 0;
    const uint64_t router = CountOfRouter(block);
    if (config > 0) {
      statements.push_back({config, fmt::format("the config says {} a layer", config)});
    }
    if (router > 0) statements.push_back({router, fmt::format("the router knows {}", router)});
    return statements;
  }

  // The first of the highest counts.
  std::pair<int64_t, std::string> Count(int64_t layer, const Block* block) const {
    const auto statements = Statements(layer, block);
    if (statements.empty()) {
      return {most_, fmt::format("another layer or projection has {}", most_)};
    }
    return *std::max_element(statements.begin(), statements.end(),
                             [](const auto& a, const auto& b) { return a.first < b.first; });
  }

  void AddLayer(int64_t layer) {
    const auto found = stack_.blocks.find(layer);
    const Block* block = found == stack_.blocks.end() ? nullptr : &found->second;
    auto [count, by] = Count(layer, block);
    if (lost_.contains(layer)) by = "no tensor of the layer is there";
    for (const std::string& proj : projs_) {
      Ids there, listed;
      if (block != nullptr && block->routed.contains(proj)) there = block->routed.at(proj);
      if (block != nullptr && block->listed.contains(proj)) listed = block->listed.at(proj);
      if (there.all) continue;
      int64_t promised = count;
      if (!listed.ids.empty()) promised = std::max(promised, *listed.ids.rbegin() + 1);
      const auto [experts, matrices] = Gaps(there.ids, promised);
      const bool of_index = listed.all || !listed.ids.empty();
      if (matrices > 0) Note(layer, false, proj, experts, matrices, of_index ? kIndex : by);
    }
    AddShared(layer, block);
  }

  void AddShared(int64_t layer, const Block* block) {
    std::map<std::string, std::string> promised;  // projection -> by whom
    if (block != nullptr) {
      for (const std::string& proj : block->shared_listed) promised.emplace(proj, kIndex);
    }
    if (!config_ || !config_->without_shared.contains(layer)) {
      const bool by_config = config_ && config_->shared_experts;
      for (const std::string& proj : shared_) {
        promised.emplace(proj, by_config ? "the config says so" : "other layers have it");
      }
    }
    for (const auto& [proj, by] : promised) {
      const bool there = block != nullptr && block->shared.contains(proj);
      if (!there) Note(layer, true, proj, "", 1, by);
    }
  }

  void Note(int64_t layer, bool shared, const std::string& proj, const std::string& experts,
            uint64_t matrices, const std::string& by) {
    MissingExperts& missing = missing_[{shared, proj, experts, by}];
    missing.stack = name_;
    missing.is_shared_expert = shared;
    missing.proj = proj;
    missing.experts = experts;
    missing.promised_by = by;
    missing.layers.insert(layer);
    missing.matrices += matrices;
    missing.parameters += static_cast<double>(matrices) * WeightsOfOne(shared);
  }

  // At least one, so that what is missing is never nothing.
  double WeightsOfOne(bool shared) const {
    const double found = shared ? stack_.shared_weights : stack_.routed_weights;
    if (found > 0) return found;
    const auto& input = !shared && facts_.expert_input ? facts_.expert_input : facts_.hidden;
    const auto width = !shared   ? facts_.expert_width
                       : config_ ? config_->shared_width
                                 : std::nullopt;
    if (input && width) return static_cast<double>(*input) * static_cast<double>(*width);
    return shared ? WeightsOfOne(false) : 1;
  }

  const std::string& name_;
  const Stack& stack_;
  const ModelFacts& facts_;
  const std::optional<LayerFacts> config_;  // of this stack
  std::set<std::string> projs_, shared_;
  bool found_any_ = false;
  std::set<int64_t> lost_;  // layers that the config counts and that have no tensor
  int64_t most_ = 0;        // the highest id of an expert that is there or listed, and one
  std::map<std::tuple<bool, std::string, std::string, std::string>, MissingExperts> missing_;
};

std::set<int64_t> ExpertPromise::SeenLayers(const Stack& stack) const {
  std::set<int64_t> seen;
  for (const std::string& module : stack.modules) {
    const auto layers = seen_layers_.find(module);
    if (layers != seen_layers_.end()) seen.insert(layers->second.begin(), layers->second.end());
  }
  return seen;
}

std::vector<std::string> ExpertPromise::Surplus(const ModelFacts& facts) const {
  std::vector<std::string> lines;
  for (const auto& [name, stack] : stacks_) {
    for (std::string& line : Account(name, stack, facts).Surplus()) {
      lines.push_back(std::move(line));
    }
  }
  return lines;
}

std::vector<MissingExperts> ExpertPromise::Missing(const ModelFacts& facts) const {
  std::vector<MissingExperts> list;
  for (const auto& [name, stack] : stacks_) {
    auto missing = Account(name, stack, facts).Missing(SeenLayers(stack));
    std::move(missing.begin(), missing.end(), std::back_inserter(list));
  }
  return list;
}

bool ExpertPromise::ConfigTellsAll(const ModelFacts& facts) const {
  if (!facts.promise_experts() || !facts.layers) return false;
  if (facts.moe_layers) return true;
  const auto stack = stacks_.find(stacks_.contains("thinker") ? "thinker" : "");
  if (stack == stacks_.end()) return false;
  const std::set<int64_t> layers = SeenLayers(stack->second);
  const auto end = layers.lower_bound(static_cast<int64_t>(*facts.layers));
  return static_cast<uint64_t>(std::distance(layers.lower_bound(0), end)) == *facts.layers;
}

uint64_t ListedMatrices(const std::vector<MissingExperts>& missing) {
  uint64_t matrices = 0;
  for (const MissingExperts& row : missing) {
    if (row.promised_by == kIndex) matrices += row.matrices;
  }
  return matrices;
}

uint64_t MissingParameters(const std::vector<MissingExperts>& missing) {
  constexpr double kMost = 1e18;  // a hostile config may promise more than can be counted
  double sum = 0;
  for (const MissingExperts& row : missing) sum += row.parameters;
  return static_cast<uint64_t>(std::min(sum, kMost));
}

std::vector<std::string> MissingWarnings(const std::vector<MissingExperts>& missing) {
  std::vector<std::string> lines;
  for (const MissingExperts& row : missing) {
    if (lines.size() == kMostLines) {
      lines.push_back(
          fmt::format("[experts] {} more lines of missing experts are in missing_experts",
                      missing.size() - kMostLines));
      break;
    }
    lines.push_back(fmt::format(
        "[experts] layer{} {}: {}{} of {} is missing ({})", row.layers.size() == 1 ? "" : "s",
        Ranges(row.layers), row.stack.empty() ? "" : row.stack + " ", row.proj,
        row.is_shared_expert ? "the shared expert" : ExpertsText(row.experts), row.promised_by));
  }
  return lines;
}

Json MissingJson(const std::vector<MissingExperts>& missing) {
  Json list = Json::Array();
  for (const MissingExperts& row : missing) {
    list.push_back({{"stack", row.stack.empty() ? Json() : Json(row.stack)},
                    {"shared", row.is_shared_expert},
                    {"proj", row.proj},
                    {"layers", Ranges(row.layers)},
                    {"experts", row.is_shared_expert ? Json() : Json(row.experts)},
                    {"matrices", row.matrices},
                    {"promised_by", row.promised_by}});
  }
  return list;
}

std::string Ranges(const std::set<int64_t>& numbers) {
  std::string text;
  for (auto it = numbers.begin(); it != numbers.end();) {
    const int64_t first = *it;
    int64_t last = first;
    for (++it; it != numbers.end() && *it == last + 1; ++it) last = *it;
    AddRange(first, last, text);
  }
  return text;
}

}  // namespace moe
