#include "evidence/module_inputs.h"

#include <algorithm>
#include <span>
#include <vector>

#include "codec/companions.h"
#include "experts/model_facts.h"

namespace moe {
namespace {

/// What one weight is called.
struct Row {
  const char* gguf;                ///< below "blk.L.", or alone
  const char* input;               ///< the same for weights with the same input; "": its own
  std::vector<const char*> names;  ///< in HF's and MLX's models, below the layer's number, or alone
};

// After the tensor map of llama.cpp's gguf package (0.19.0), and MLX's names of split weights.
// Qwen3-Next's and 3.5's linear_attn.out_proj (ssm_out) is not here: llama.cpp reorders its
// columns.
const std::vector<Row>& InLayers() {
  static const std::vector<Row> rows = {
      {"attn_q",
       "attn",
       {"self_attn.q_proj", "attention.wq", "mixer.q_proj", "multi_head_attention.query"}},
      {"attn_k",
       "attn",
       {"self_attn.k_proj", "attention.wk", "mixer.k_proj", "multi_head_attention.key"}},
      {"attn_v",
       "attn",
       {"self_attn.v_proj", "attention.wv", "mixer.v_proj", "multi_head_attention.value"}},
      {"attn_qkv",
       "attn",
       {"self_attn.qkv_proj", "self_attn.query_key_value", "attention.query_key_value", "attn.Wqkv",
        "norm_attn_norm.attn.Wqkv", "mixer.Wqkv", "linear_attn.in_proj_qkv"}},
      {"attn_gate", "attn", {"self_attn.gate_proj", "self_attn.g_proj", "linear_attn.in_proj_z"}},
      {"attn_q_a", "attn", {"self_attn.q_a_proj", "attention.wq_a"}},
      {"attn_kv_a_mqa", "attn", {"self_attn.kv_a_proj_with_mqa", "attention.wkv_a_with_mqa"}},
      {"ssm_in", "attn", {"linear_attn.in_proj_qkvz", "mamba.in_proj", "mixer.in_proj"}},
      {"ssm_ba", "attn", {"linear_attn.in_proj_ba"}},
      {"ssm_alpha", "attn", {"linear_attn.in_proj_a"}},
      {"ssm_beta", "attn", {"linear_attn.in_proj_b"}},
      {"shortconv.in_proj", "attn", {"conv.in_proj"}},
      {"attn_q_b", "", {"self_attn.q_b_proj", "attention.wq_b"}},
      {"attn_kv_b", "", {"self_attn.kv_b_proj"}},
      {"attn_k_b", "", {"self_attn.k_b_proj", "self_attn.embed_q"}},
      {"attn_v_b", "", {"self_attn.v_b_proj", "self_attn.unembed_out"}},
      {"attn_output",
       "",
       {"self_attn.o_proj", "self_attn.out_proj", "self_attn.dense", "attention.dense",
        "attention.wo", "mixer.o_proj", "norm_attn_norm.attn.out_proj",
        "multi_head_attention.linear"}},
      {"indexer.proj", "", {"self_attn.indexer.weights_proj"}},
      {"indexer.attn_k", "", {"self_attn.indexer.wk"}},
      {"indexer.attn_q_b", "", {"self_attn.indexer.wq_b"}},
      {"ssm_x", "", {"mamba.x_proj"}},
      {"ssm_dt", "", {"mamba.dt_proj"}},
      {"ssm_out", "", {"mamba.out_proj", "mixer.out_proj"}},
      {"shortconv.out_proj", "", {"conv.out_proj"}},
      {"ffn_gate_inp",
       "",
       {"mlp.gate", "mlp.gate.gate_proj", "mlp.router", "mlp.gate.wg", "mlp.router.gate",
        "block_sparse_moe.gate", "block_sparse_moe.router.layer", "block_sparse_moe.primary_router",
        "feed_forward.gate", "feed_forward.router", "ffn.router.layer", "mixer.gate", "moe.gate",
        "router", "router.proj", "gate"}},
      {"ffn_gate_inp_shexp", "", {"mlp.shared_expert_gate"}},
      {"ffn_latent_down", "", {"mixer.fc1_latent_proj"}},
      {"ffn_latent_up", "", {"mixer.fc2_latent_proj"}},
      {"ffn_gate",
       "ffn",
       {"mlp.gate_proj", "feed_forward.gate_proj", "feed_forward.w1", "residual_mlp.w1"}},
      {"ffn_up",
       "ffn",
       {"mlp.up_proj", "feed_forward.up_proj", "feed_forward.w3", "residual_mlp.w3",
        "mixer.up_proj", "mlp.gate_up_proj"}},
      {"ffn_down",
       "",
       {"mlp.down_proj", "feed_forward.down_proj", "feed_forward.w2", "residual_mlp.w2",
        "mixer.down_proj"}},
      {"nextn.eh_proj", "", {"eh_proj"}},
      {"nextn.shared_head_head", "", {"shared_head.head"}},
  };
  return rows;
}

// Known by the last part of the name. A tied head may stand under either.
const std::vector<Row>& Alone() {
  static const std::vector<Row> rows = {
      {"output", "head", {"lm_head", "embed_out", "output_layer"}},
      {"token_embd",
       "head",
       {"embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embeddings", "embedding"}},
  };
  return rows;
}

bool IsCalled(const Row& row, std::string_view name) {
  return name == row.gguf || std::ranges::find(row.names, name) != row.names.end();
}

const Row* Find(std::span<const Row> rows, std::string_view name) {
  const auto found =
      std::ranges::find_if(rows, [&](const Row& row) { return IsCalled(row, name); });
  return found == rows.end() ? nullptr : &*found;
}

}  // namespace

std::string_view LayerPrefix(std::string_view name, int64_t layer) {
  const std::string number = "." + std::to_string(layer) + ".";
  const size_t at = name.find(number);
  return at == std::string_view::npos ? "" : name.substr(0, at + number.size());
}

ModuleName ModuleNameOf(std::string_view weight) {
  const std::string_view module = ModuleOf(weight);
  if (const auto layer = LayerNumber(module)) {
    const std::string_view below = module.substr(LayerPrefix(module, *layer).size());
    if (const Row* row = Find(InLayers(), below)) return {*layer, row->gguf};
    return {*layer, std::string(below)};
  }
  const Row* row = Find(Alone(), module.substr(module.rfind('.') + 1));
  return {-1, row == nullptr ? std::string(module) : row->gguf};
}

std::vector<std::string> WithSameInput(const std::string& name) {
  std::vector<std::string> names = {name};
  for (const std::vector<Row>* rows : {&InLayers(), &Alone()}) {
    const Row* self = Find(*rows, name);
    if (self == nullptr || *self->input == '\0') continue;
    for (const Row& row : *rows) {
      if (&row != self && std::string_view(row.input) == self->input) names.emplace_back(row.gguf);
    }
  }
  return names;
}

}  // namespace moe
