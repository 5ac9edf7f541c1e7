#include "pairs/weight_key.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "codec/companions.h"
#include "codec/module_names.h"
#include "evidence/module_inputs.h"

namespace moe {
namespace {

using Kind = WeightKey::Kind;

constexpr std::string_view kBias = ".bias";

/// llama.cpp's names of what is no matrix, and those of HF and MLX, below the layer's number or
/// alone. Those that mean different norms in different families are told apart by NameNorms().
constexpr std::pair<std::string_view, std::string_view> kOtherNames[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"attn_q_a_norm", "self_attn.q_a_layernorm"},
    {"attn_kv_a_norm", "self_attn.kv_a_layernorm"},
    {"attn_sinks", "self_attn.sinks"},
    {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"},
    {"output_norm", "norm"},
};

/// Biases of all experts of a layer, [experts, outputs], below the layer's number: Hugging Face's
/// (gpt-oss; gate and up take turns), MLX's and llama.cpp's.
struct ExpertBias {
  std::string_view name;
  std::string_view projection;
  std::string_view second = {};  ///< of every second output
};
constexpr ExpertBias kExpertBiases[] = {
    {"mlp.experts.gate_up_proj_bias", "gate_proj", "up_proj"},
    {"mlp.experts.down_proj_bias", "down_proj"},
    {"mlp.experts.gate_proj.bias", "gate_proj"},
    {"mlp.experts.up_proj.bias", "up_proj"},
    {"mlp.experts.down_proj.bias", "down_proj"},
    {"ffn_gate_exps.bias", "gate_proj"},
    {"ffn_up_exps.bias", "up_proj"},
    {"ffn_down_exps.bias", "down_proj"},
};

ModuleName CanonicalName(std::string_view weight) {
  const bool bias = weight.ends_with(kBias);
  if (bias) weight.remove_suffix(kBias.size());
  ModuleName name = ModuleNameOf(weight);
  if (name.layer < 0) name.name = std::string(WithoutWrappers(name.name));
  if (bias) name.name += kBias;
  for (const auto& [gguf, other] : kOtherNames) {
    if (name.name == gguf) name.name = other;
  }
  return name;
}

WeightItem Item(Kind kind, const ModelTensor& tensor, std::string_view name,
                const MatrixView& view) {
  ModuleName canonical = CanonicalName(name);
  return {{kind, tensor.found.stack.value_or(""), canonical.layer, std::move(canonical.name), -1},
          &tensor,
          view,
          std::string(name)};
}

/// Weights that stay floats, which are neither experts' nor in Model::dense().
bool IsOther(const ModelTensor& tensor) {
  return tensor.weight && tensor.weight->is_plain() && !tensor.companion &&
         tensor.left_out == ModelTensor::LeftOut::kNo && tensor.found.banks.empty() &&
         tensor.elements() > 0;
}

/// The biases of each expert in a tensor that holds those of all; none: it does not.
std::vector<WeightItem> ExpertBiases(const ModelTensor& tensor) {
  const std::string module(ModuleOf(tensor.info().name));
  const ModuleName name = CanonicalName(module);
  const auto row = std::ranges::find(kExpertBiases, name.name, &ExpertBias::name);
  const std::vector<uint64_t>& shape = tensor.weight->shape;
  if (row == std::end(kExpertBiases) || shape.size() != 2) return {};
  const uint64_t parts = row->second.empty() ? 1 : 2, outputs = shape[1] / parts;
  std::vector<WeightItem> items;
  for (uint64_t expert = 0; expert < shape[0]; ++expert) {
    for (uint64_t part = 0; part < parts; ++part) {
      const auto projection = part == 0 ? row->projection : row->second;
      items.push_back({{Kind::kOther, tensor.found.stack.value_or(""), name.layer,
                        std::string(projection).append(kBias), static_cast<int64_t>(expert)},
                       &tensor,
                       {1, outputs, expert * shape[1] + part, shape[1], parts},
                       module});
    }
  }
  return items;
}

/// llama.cpp has one norm behind the attention in most families, ffn_norm or post_attention_norm,
/// which is HF's post_attention_layernorm. Where it has both they keep their names: which of them
/// that is depends on the family.
void NameNorms(std::vector<WeightItem>& items) {
  using Layer = std::pair<std::string, int64_t>;
  std::map<Layer, std::vector<WeightItem*>> norms;
  for (WeightItem& item : items) {
    const bool ours = item.key.name == "ffn_norm" || item.key.name == "post_attention_norm";
    if (ours && item.key.kind == Kind::kOther) {
      norms[{item.key.stack, item.key.layer}].push_back(&item);
    }
  }
  for (const auto& [layer, found] : norms) {
    if (found.size() == 1) found.front()->key.name = "post_attention_layernorm";
  }
}

/// Matrices that differ and would have one key get their whole names.
void TellApart(std::vector<WeightItem>& items) {
  std::map<WeightKey, uint64_t> counts;
  for (const WeightItem& item : items) ++counts[item.key];
  for (WeightItem& item : items) {
    const bool of_expert = item.key.kind == Kind::kRouted || item.key.kind == Kind::kShared;
    if (!of_expert && counts[item.key] > 1) item.key.name = item.module;
  }
}

}  // namespace

std::string WeightKey::Text() const {
  std::string text = stack.empty() ? "" : stack + " ";
  if (layer >= 0) text += fmt::format("layer {} ", layer);
  if (kind == Kind::kShared) text += "shared expert ";
  if (kind != Kind::kMatrix && kind != Kind::kShared && number >= 0)
    text += fmt::format("expert {} ", number);
  text += name;
  if (kind == Kind::kMatrix && number >= 0) text += fmt::format(" head {}", number);
  return text;
}

std::string_view RoleText(const WeightItem& item) { return RoleName(item.tensor->found.role); }

std::vector<WeightItem> WeightsOf(const Model& model) {
  std::vector<WeightItem> items;
  const auto dense = model.dense();
  size_t next_dense = 0;
  uint64_t next_matrix = 0;
  for (const ModelTensor& tensor : model.tensors()) {
    for (; next_matrix < model.matrices() && model.matrix(next_matrix).tensor == &tensor;
         ++next_matrix) {
      const ExpertMatrix matrix = model.matrix(next_matrix);
      MatrixKey key = matrix.key();
      items.push_back({{key.shared ? Kind::kShared : Kind::kRouted, std::move(key.stack), key.layer,
                        std::move(key.proj), key.expert},
                       &tensor,
                       matrix.view(),
                       std::string(ModuleOf(tensor.info().name))});
    }
    if (next_dense < dense.size() && dense[next_dense].tensor == &tensor) {
      const DenseWeight& weight = dense[next_dense++];
      items.push_back(Item(Kind::kMatrix, tensor, weight.module, weight.view()));
    } else if (IsOther(tensor)) {
      const uint64_t elements = tensor.elements();
      const MatrixView all{1, elements, 0, elements, 1};
      auto biases = ExpertBiases(tensor);
      if (biases.empty()) biases = {Item(Kind::kOther, tensor, ModuleOf(tensor.info().name), all)};
      std::ranges::move(biases, std::back_inserter(items));
    }
  }
  NameNorms(items);
  TellApart(items);
  return items;
}

}  // namespace moe
