#include "evidence/model_inputs.h"

#include <fmt/format.h>

#include <algorithm>

#include "codec/companions.h"
#include "evidence/module_inputs.h"
#include "experts/families.h"
#include "model/model_parts.h"

namespace moe {
namespace {

using Kind = InputKey::Kind;

/// Weights outside the experts that a runtime multiplies with: no norms, vectors, scales.
bool IsModule(const ModelTensor& tensor) {
  return tensor.weight != nullptr && tensor.found.banks.empty() &&
         tensor.found.role != Role::kNorm && tensor.weight->shape.size() >= 2;
}

}  // namespace

std::string InputKey::Text() const {
  std::string text = stack.empty() ? "" : stack + " ";
  if (layer >= 0) text += fmt::format("layer {} ", layer);
  if (kind == Kind::kShared) text += "shared ";
  if (expert >= 0) text += fmt::format("expert {} ", expert);
  return text + weight;
}

InputKey InputOf(const MatrixKey& key) {
  if (key.shared) return {Kind::kShared, key.stack, key.layer, key.proj, -1};
  return {Kind::kRouted, key.stack, key.layer, key.proj, key.expert};
}

Result<ModelInputs> ModelInputs::Of(const Model& model) {
  ModelInputs inputs(model);
  ExtractOptions options = DefaultExtractOptions();
  options.model = model.facts();
  auto extractor = Extractor::Create(std::move(options));
  if (!extractor) return tl::make_unexpected(std::move(extractor.error()));
  inputs.by_default_.emplace(std::move(*extractor));
  inputs.AddExperts();
  if (auto done = inputs.AddModules(); !done) return tl::make_unexpected(std::move(done.error()));
  return inputs;
}

void ModelInputs::AddExperts() {
  for (uint64_t i = 0; i < model_->matrices(); ++i) {
    const ExpertMatrix matrix = model_->matrix(i);
    const InputKey key = InputOf(matrix.key());
    Facts& facts = facts_.try_emplace(key.OfAll(), Facts{matrix.cols(), 0}).first->second;
    if (facts.columns != matrix.cols()) facts.columns = 0;
    facts.experts = std::max(facts.experts, static_cast<uint64_t>(key.expert + 1));
    layers_.emplace(key.stack, key.layer);
  }
}

Result<void> ModelInputs::AddModules() {
  for (const ModelTensor& tensor : model_->tensors()) {
    if (!IsModule(tensor)) continue;
    const std::string module(ModuleOf(tensor.weight->name));
    ModuleName name = ModuleNameOf(module);
    InputKey key = {Kind::kModule, tensor.found.stack.value_or(""), name.layer,
                    std::move(name.name), -1};
    layers_.emplace(key.stack, key.layer);
    facts_.try_emplace(key, Facts{tensor.weight->shape.back(), 0});
    by_module_.try_emplace(module, std::move(key));
  }
  const auto alone = [&](const char* name) {
    const auto [stack, layer] = Placed("", -1);
    return facts_.contains({Kind::kModule, stack, layer, name, -1});
  };
  own_head_ = alone("output") && alone("token_embd");
  return {};
}

/// llama.cpp counts blocks for multi-token prediction on from the model's layers, where others
/// number them apart; and of models with a talker its files hold the thinker alone.
std::pair<std::string, int64_t> ModelInputs::Placed(const std::string& stack, int64_t layer) const {
  const auto first = static_cast<int64_t>(model_->facts().layers.value_or(0));
  const std::pair<std::string, int64_t> places[] = {
      {stack, layer},
      {"mtp", stack == "mtp" || stack.empty() ? layer : -1},
      {"mtp", stack == "mtp" && layer >= first ? layer - first : -1},
      {"thinker", stack.empty() ? layer : -1},
  };
  const auto found = std::ranges::find_if(places, [&](const auto& place) {
    return layers_.contains(place) && (place.second >= 0 || layer < 0);
  });
  return found == std::end(places) ? places[0] : *found;
}

Result<std::vector<InputKey>> ModelInputs::ExpertKeys(const std::string& name) const {
  for (const Extractor* extractor : {&*model_->parts().extractor, &*by_default_}) {
    const auto claims = extractor->ClaimsOf(name);
    if (!claims) return tl::make_unexpected(claims.error());
    std::vector<InputKey> keys;
    for (const ExpertClaim& claim : *claims) {
      const auto [stack, layer] = Placed(claim.stack.value_or(""), claim.layer);
      const bool shared = claim.is_shared_expert;
      keys.push_back({shared ? Kind::kShared : Kind::kRouted, stack, layer, claim.proj,
                      shared ? -1 : claim.expert.value_or(-1)});
    }
    if (!keys.empty()) return keys;
  }
  return std::vector<InputKey>{};
}

Result<std::vector<InputKey>> ModelInputs::KeysOf(const std::string& name) const {
  const std::string weight = name.ends_with(".weight") ? name : name + ".weight";
  for (const std::string& text : {name, weight}) {
    auto keys = ExpertKeys(text);
    if (!keys || !keys->empty()) return keys;
  }
  if (const auto key = OfModule(name)) return std::vector<InputKey>{*key};
  ModuleName module = ModuleNameOf(name);
  const auto found = by_default_->Extract({weight, {}, "", ""});
  if (!found) return tl::make_unexpected(found.error());
  const auto [stack, layer] = Placed(found->stack.value_or(""), module.layer);
  return std::vector<InputKey>{{Kind::kModule, stack, layer, std::move(module.name), -1}};
}

std::optional<InputKey> ModelInputs::OfModule(std::string_view name) const {
  const auto found = by_module_.find(ModuleOf(name));
  if (found == by_module_.end()) return std::nullopt;
  return found->second;
}

std::vector<InputKey> ModelInputs::SameInput(const InputKey& key) const {
  std::vector<InputKey> keys = {key};
  if (key.kind == Kind::kModule) {
    if (key.layer < 0 && own_head_) return keys;
    for (std::string& name : WithSameInput(key.weight)) {
      if (name == key.weight) continue;
      keys.push_back(key);
      keys.back().weight = std::move(name);
    }
  } else if (key.weight == kGateProj || key.weight == kUpProj) {
    keys.push_back(key);
    keys.back().weight = key.weight == kGateProj ? kUpProj : kGateProj;
  }
  return keys;
}

const ModelInputs::Facts* ModelInputs::Find(const InputKey& key) const {
  for (const InputKey& same : SameInput(key.OfAll())) {
    const auto found = facts_.find(same);
    if (found != facts_.end() && found->second.columns > 0) return &found->second;
  }
  return nullptr;
}

}  // namespace moe
