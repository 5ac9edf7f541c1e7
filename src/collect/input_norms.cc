#include "collect/input_norms.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>

#include "evidence/module_inputs.h"

namespace moe {
namespace {

// The norms before weights of a layer, after its name. Of several that there are, the first.
constexpr std::string_view kExpertNorms[] = {
    "pre_feedforward_layernorm_2.weight",  // Gemma 4: of the experts, beside the dense MLP's
    "pre_feedforward_layernorm.weight",
    "pre_mlp_layernorm.weight",
    "pre_ff_layernorm.weight",
    "post_attention_layernorm.weight",
    "ffn_norm.weight",
    "post_attention_norm.weight",
    "mlp_norm.weight",
    "ln_2.weight",
    "norm2.weight",
    "norm.weight"};  // Nemotron-H: one norm a block
constexpr std::string_view kAttentionNorms[] = {"input_layernorm.weight",
                                                "attention_norm.weight",
                                                "attn_norm.weight",
                                                "operator_norm.weight",
                                                "norm_attn_norm.norm_1.weight",
                                                "ln_1.weight",
                                                "norm1.weight",
                                                "norm.weight"};
constexpr std::string_view kLatentNorms[] = {"self_attn.kv_a_layernorm.weight",
                                             "attn_kv_a_norm.weight"};

constexpr auto kMlpNorms = std::span(kExpertNorms).subspan(1);

/// What makes attention's values and the hidden values of dense MLPs, as ModuleName has it, and the
/// norms before it.
struct InputRow {
  std::string_view module;
  std::span<const std::string_view> norms;
};
constexpr InputRow kInputs[] = {{"attn_v", kAttentionNorms}, {"attn_qkv", kAttentionNorms},
                                {"attn_kv_b", kLatentNorms}, {"attn_v_b", kLatentNorms},
                                {"ffn_gate", kMlpNorms},     {"ffn_up", kMlpNorms}};

/// Families whose norms add 1 to their weight, as transformers writes it; MLX and GGUF store the
/// sum.
constexpr std::string_view kOffsetFamilies[] = {"qwen3_next", "qwen3_5_moe"};

}  // namespace

InputNorms::InputNorms(const Model& model) : model_(model) {
  for (const ModelTensor& tensor : model.tensors()) {
    if (tensor.info().name.ends_with(".weight") && tensor.weight) tensors_.Add(tensor.ref);
  }
}

const std::vector<double>& InputNorms::Of(const ExpertMatrix& matrix) const {
  return First(kExpertNorms, matrix.weight().name, matrix.key().layer, matrix.cols());
}

const std::vector<double>& InputNorms::Of(const DenseWeight& weight) const {
  const std::string name = ModuleNameOf(weight.module).name;
  const auto* row = std::ranges::find(kInputs, name, &InputRow::module);
  const auto norms = row == std::end(kInputs) ? std::span<const std::string_view>() : row->norms;
  return First(norms, weight.module, weight.layer(), weight.cols);
}

const std::vector<double>& InputNorms::First(std::span<const std::string_view> names,
                                             std::string_view weight, int64_t layer,
                                             uint64_t cols) const {
  static const std::vector<double> kNone;
  const std::string_view prefix = LayerPrefix(weight, layer);
  if (prefix.empty()) return kNone;
  for (const std::string_view name : names) {
    const auto norm = tensors_.Find(prefix, name);
    if (norm && norm->info().shape == std::vector<uint64_t>{cols}) return Squares(*norm);
  }
  return kNone;
}

const std::vector<double>& InputNorms::Squares(const TensorRef& norm) const {
  const std::lock_guard lock(mutex_);
  const auto [place, is_new] = squares_.try_emplace(norm.info().name);
  std::vector<double>& squares = place->second;
  if (!is_new) return squares;
  const auto weight = FindWeight(norm, tensors_);
  if (!weight || !*weight) return squares;
  const uint64_t cols = norm.info().shape[0];
  std::vector<float> values(cols);
  const auto read = OpenMatrix(**weight, MatrixView{1, cols, 0, cols, 1})
                        .and_then([&](const std::unique_ptr<MatrixSource>& row) {
                          return row->Read({0, 0, 1, cols}, values.data());
                        });
  if (!read) return squares;
  std::vector<float> sorted = values;
  std::ranges::nth_element(sorted, sorted.begin() + static_cast<ptrdiff_t>(cols / 2));
  const bool offset =
      std::ranges::count(kOffsetFamilies, model_.family()) > 0 && std::abs(sorted[cols / 2]) < 0.5F;
  for (const float value : values) {
    const double factor = value + (offset ? 1.0 : 0.0);
    if (!std::isfinite(factor)) {
      squares.clear();
      break;
    }
    squares.push_back(factor * factor);
  }
  return squares;
}

}  // namespace moe
