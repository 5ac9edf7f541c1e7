// One tiny model for each row of checkpoints.md 10.2, for each MLX class of 10.1 and for the GGUF
// names of 8.4: what stands on the hub, and the matrices that must come out. Written from what is
// published (transformers, mlx-lm, mlx-vlm, gguf), never from the engine's tables.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "experts/model_facts.h"
#include "moescope/experts.h"

namespace moe::preset_cases {

using Shape = std::vector<uint64_t>;
using Names = std::vector<std::string>;

/// Matrices [rows, cols] = [out, in] of `weight`; element (e, r, c) is its row-major element
/// offset + e * expert_stride + r * row_stride + c * col_stride.
struct WantBank {
  std::string weight;
  int64_t layer = 0;
  std::string proj;
  uint64_t experts = 1, rows = 0, cols = 0;
  bool shared = false;
  int64_t expert_id = -1;  ///< -1: a stack (ids from 0) or shared
  uint64_t offset = 0, expert_stride = 0, row_stride = 0, col_stride = 1;
};

struct PresetCase {
  std::string row;  ///< of checkpoints.md 10.2: "1", "1b"; the class or "gguf" in the other lists
  std::string variant;  ///< where a row has several ways to lie; "" the usual
  std::string model_type, gguf_arch, config_json;
  std::vector<std::pair<std::string, Shape>> weights;
  std::vector<WantBank> want;
  Names routers;         ///< their role is router
  Names not_experts;     ///< look like experts, are none
  bool by_names = true;  ///< names and shapes suffice; else only the config can tell
};

/// What a caller knows of the case's model before it sees the tensors.
inline ExtractOptions OptionsOf(const PresetCase& c) {
  ExtractOptions options = DefaultExtractOptions();
  std::map<std::string, std::string> gguf;
  if (!c.gguf_arch.empty()) gguf["general.architecture"] = c.gguf_arch;
  options.model = FactsOfModel(c.config_json, gguf);
  options.model.model_type = c.model_type;
  return options;
}

// Sizes differ pairwise, also doubled, so that no axis can be taken for another.
constexpr uint64_t kHidden = 12, kWidth = 10, kExperts = 3;
constexpr uint64_t kShared = 14, kDense = 18, kLatent = 8, kVocab = 32;

/// Names of the three projections; "" where the family has none.
struct Trio {
  std::string gate, up, down;
};
inline const Trio kGud = {"gate_proj", "up_proj", "down_proj"};
inline const Trio kW123 = {"w1", "w3", "w2"};
inline const Trio kUd = {"", "up_proj", "down_proj"};

enum class Order { kOutIn, kInOut };  ///< [.., n * rows, cols] or [.., cols, n * rows]
enum class Parts { kHalves, kInterleaved };

/// A case under construction; each call adds tensors and what they must give.
struct Model : PresetCase {
  Model(std::string the_row, std::string type, std::string config) {
    row = std::move(the_row);
    model_type = std::move(type);
    config_json = std::move(config);
  }

  Model& Variant(std::string text) {
    variant = std::move(text);
    return *this;
  }

  /// A tensor that is no expert: only "no bank" is demanded.
  Model& Plain(const std::string& name, Shape shape) {
    weights.emplace_back(name, std::move(shape));
    return *this;
  }

  Model& Router(const std::string& name, Shape shape = {kExperts, kHidden}) {
    routers.push_back(name);
    return Plain(name, std::move(shape));
  }

  Model& Not(const std::string& name, Shape shape) {
    not_experts.push_back(name);
    return Plain(name, std::move(shape));
  }

  Model& Dense(const std::string& prefix, const Trio& trio = kGud, uint64_t hidden = kHidden) {
    if (!trio.gate.empty()) Not(prefix + trio.gate + ".weight", {kDense, hidden});
    Not(prefix + trio.up + ".weight", {kDense, hidden});
    return Not(prefix + trio.down + ".weight", {hidden, kDense});
  }

  /// Embedding, norms, attention as nearly all decoders call them; `prefix` ends before "layers".
  Model& Body(const std::string& prefix = "model.", int layer = 0) {
    const std::string p = prefix + "layers." + std::to_string(layer) + ".";
    Plain(prefix + "embed_tokens.weight", {kVocab, kHidden});
    Plain(p + "input_layernorm.weight", {kHidden});
    Plain(p + "post_attention_layernorm.weight", {kHidden});
    Plain(p + "self_attn.q_proj.weight", {16, kHidden});
    return Plain(p + "self_attn.o_proj.weight", {kHidden, 16});
  }

  /// A matrix [rows, cols] of its own.
  Model& Matrix(int64_t layer, const std::string& name, const std::string& proj, int64_t expert_id,
                bool is_shared, uint64_t rows, uint64_t cols) {
    want.push_back({name, layer, proj, 1, rows, cols, is_shared, expert_id, 0, 0, cols, 1});
    return Plain(name, {rows, cols});
  }

  /// NAMEs of one expert: prefix + proj + suffix.
  Model& Expert(int64_t layer, const std::string& prefix, const Trio& trio, int64_t id,
                uint64_t width = kWidth, uint64_t hidden = kHidden, bool is_shared = false,
                const std::string& suffix = ".weight") {
    if (!trio.gate.empty()) {
      Matrix(layer, prefix + trio.gate + suffix, "gate_proj", id, is_shared, width, hidden);
    }
    Matrix(layer, prefix + trio.up + suffix, "up_proj", id, is_shared, width, hidden);
    return Matrix(layer, prefix + trio.down + suffix, "down_proj", id, is_shared, hidden, width);
  }

  /// prefix + E + "." + proj + ".weight" for each expert; `prefix` ends before the number.
  Model& PerExpert(int64_t layer, const std::string& prefix, const Trio& trio = kGud,
                   uint64_t width = kWidth, uint64_t hidden = kHidden, int64_t first = 0) {
    for (int64_t e = first; e < first + static_cast<int64_t>(kExperts); ++e) {
      Expert(layer, prefix + std::to_string(e) + ".", trio, e, width, hidden);
    }
    return *this;
  }

  Model& Shared(int64_t layer, const std::string& prefix, const Trio& trio = kGud,
                uint64_t width = kShared) {
    return Expert(layer, prefix, trio, -1, width, kHidden, true);
  }

  /// Matrices of `projs` in one tensor, each [rows, cols] for each of `experts`; experts == 0: no
  /// expert axis.
  Model& Stack(int64_t layer, const std::string& name, const Names& projs, uint64_t experts,
               uint64_t rows, uint64_t cols, Order order = Order::kOutIn,
               Parts parts = Parts::kHalves, bool is_shared = false, int64_t expert_id = -1) {
    const uint64_t n = projs.size();
    const bool halves = parts == Parts::kHalves;
    for (uint64_t p = 0; p < n; ++p) {
      WantBank bank = {name, layer, projs[p],  experts == 0 ? 1 : experts,
                       rows, cols,  is_shared, expert_id};
      bank.expert_stride = n * rows * cols;
      if (order == Order::kOutIn) {
        bank.offset = halves ? p * rows * cols : p * cols;
        bank.row_stride = halves ? cols : n * cols;
        bank.col_stride = 1;
      } else {
        bank.offset = halves ? p * rows : p;
        bank.row_stride = halves ? 1 : n;
        bank.col_stride = n * rows;
      }
      want.push_back(std::move(bank));
    }
    Shape shape = {n * rows, cols};
    if (order == Order::kInOut) std::swap(shape[0], shape[1]);
    if (experts > 0) shape.insert(shape.begin(), experts);
    return Plain(name, std::move(shape));
  }

  /// ST-oi, ST-io, ST-io-il: gate and up in one tensor, down in another.
  Model& Fused(int64_t layer, const std::string& gate_up, const std::string& down,
               Order order = Order::kOutIn, Parts parts = Parts::kHalves, uint64_t width = kWidth,
               uint64_t hidden = kHidden, uint64_t experts = kExperts) {
    Stack(layer, gate_up, {"gate_proj", "up_proj"}, experts, width, hidden, order, parts);
    return Stack(layer, down, {"down_proj"}, experts, hidden, width, order);
  }

  /// Each projection a stack [E, out, in] of its own: prefix + proj + suffix.
  Model& Stacks(int64_t layer, const std::string& prefix, const Trio& trio = kGud,
                const std::string& suffix = ".weight", uint64_t width = kWidth,
                uint64_t hidden = kHidden, uint64_t experts = kExperts, bool is_shared = false) {
    const auto add = [&](const std::string& token, const char* proj, uint64_t rows, uint64_t cols) {
      if (token.empty()) return;
      Stack(layer, prefix + token + suffix, {proj}, experts, rows, cols, Order::kOutIn,
            Parts::kHalves, is_shared);
    };
    add(trio.gate, "gate_proj", width, hidden);
    add(trio.up, "up_proj", width, hidden);
    add(trio.down, "down_proj", hidden, width);
    return *this;
  }
};

// Rows that lie the same way up to the model_type: PE-gud under model.layers.1.mlp, dense layer 0,
// shared experts, a selection bias at the gate; with `mtp`, the layer behind the last is MoE too.
inline Model DeepSeekLike(const std::string& row, const std::string& type, bool bias, bool mtp,
                          const std::string& prefix = "model.", bool nested = false) {
  std::string text = R"("model_type":")" + type +
                     R"(","hidden_size":12,"intermediate_size":18,"moe_intermediate_size":10,)"
                     R"("n_routed_experts":3,"num_experts_per_tok":2,"n_shared_experts":2,)"
                     R"("first_k_dense_replace":1,"moe_layer_freq":1,"num_hidden_layers":2)";
  if (mtp) text += R"(,"num_nextn_predict_layers":1)";
  const std::string outer = R"({"model_type":")" + type + R"(","text_config":{)";
  const std::string config = nested ? outer + text + "}}" : "{" + text + "}";
  Model model(row, type, config);
  model.Body(prefix).Dense(prefix + "layers.0.mlp.");
  for (int64_t layer = 1; layer <= (mtp ? 2 : 1); ++layer) {
    const std::string m = prefix + "layers." + std::to_string(layer) + ".mlp.";
    model.PerExpert(layer, m + "experts.").Router(m + "gate.weight");
    if (bias) model.Router(m + "gate.e_score_correction_bias", {kExperts});
    model.Shared(layer, m + "shared_experts.", kGud, 2 * kWidth);
  }
  if (mtp) {
    model.Plain(prefix + "layers.2.eh_proj.weight", {kHidden, 2 * kHidden});
    model.Plain(prefix + "layers.2.enorm.weight", {kHidden});
  }
  return model;
}

// PE-gud or PE-w123 in every layer, a gate and nothing else.
inline Model Simple(const std::string& row, const std::string& type, const std::string& config,
                    const std::string& module = "mlp", const Trio& trio = kGud) {
  const std::string m = "model.layers.0." + module + ".";
  return Model(row, type, config)
      .Body()
      .PerExpert(0, m + "experts.", trio)
      .Router(m + "gate.weight");
}

/// Rows 1 to 18: Mixtral, Qwen, DeepSeek, Kimi, GLM.
inline void AddRows1To18(std::vector<PresetCase>& cases) {
  const std::string mixtral =
      R"({"model_type":"mixtral","hidden_size":12,"intermediate_size":10,"num_local_experts":3,)"
      R"("num_experts_per_tok":2,"num_hidden_layers":1})";
  cases.push_back(Simple("1", "mixtral", mixtral, "block_sparse_moe", kW123));
  cases.push_back(Model("1", "mixtral", mixtral)
                      .Variant("fused")
                      .Body()
                      .Fused(0, "model.layers.0.mlp.experts.gate_up_proj",
                             "model.layers.0.mlp.experts.down_proj")
                      .Router("model.layers.0.mlp.gate.weight"));
  cases.push_back(Model("1b", "",
                        R"({"dim":12,"hidden_dim":10,"n_layers":1,)"
                        R"("moe":{"num_experts":3,"num_experts_per_tok":2}})")
                      .Plain("tok_embeddings.weight", {kVocab, kHidden})
                      .Plain("layers.0.attention_norm.weight", {kHidden})
                      .Plain("layers.0.ffn_norm.weight", {kHidden})
                      .Plain("layers.0.attention.wq.weight", {16, kHidden})
                      .Plain("layers.0.attention.wo.weight", {kHidden, 16})
                      .Plain("norm.weight", {kHidden})
                      .Plain("output.weight", {kVocab, kHidden})
                      .PerExpert(0, "layers.0.feed_forward.experts.", kW123)
                      .Router("layers.0.feed_forward.gate.weight"));

  const std::string qwen =
      R"("hidden_size":12,"intermediate_size":18,"moe_intermediate_size":10,)"
      R"("num_experts":3,"num_experts_per_tok":2,"decoder_sparse_step":1,"mlp_only_layers":[1],)"
      R"("num_hidden_layers":2)";
  const std::string with_shared = qwen + R"(,"shared_expert_intermediate_size":14)";
  cases.push_back(Simple("2", "qwen2_moe", R"({"model_type":"qwen2_moe",)" + with_shared + "}")
                      .Plain("model.layers.0.self_attn.q_proj.bias", {16})
                      .Shared(0, "model.layers.0.mlp.shared_expert.")
                      .Router("model.layers.0.mlp.shared_expert_gate.weight", {1, kHidden})
                      .Dense("model.layers.1.mlp."));
  cases.push_back(Simple("3", "qwen3_moe", R"({"model_type":"qwen3_moe",)" + qwen + "}")
                      .Plain("model.layers.0.self_attn.q_norm.weight", {4})
                      .Dense("model.layers.1.mlp."));
  cases.push_back(Simple("4", "qwen3_next", R"({"model_type":"qwen3_next",)" + with_shared + "}")
                      .Plain("model.layers.0.linear_attn.in_proj_qkvz.weight", {40, kHidden})
                      .Shared(0, "model.layers.0.mlp.shared_expert.")
                      .Router("model.layers.0.mlp.shared_expert_gate.weight", {1, kHidden})
                      .Plain("mtp.fc.weight", {kHidden, 2 * kHidden})
                      .Plain("mtp.layers.0.input_layernorm.weight", {kHidden})
                      .PerExpert(0, "mtp.layers.0.mlp.experts.")
                      .Router("mtp.layers.0.mlp.gate.weight")
                      .Shared(0, "mtp.layers.0.mlp.shared_expert.")
                      .Router("mtp.layers.0.mlp.shared_expert_gate.weight", {1, kHidden}));

  const std::string v = "model.language_model.layers.0.mlp.";
  const std::string qwen35 = R"({"model_type":"qwen3_5_moe","text_config":)"
                             R"({"model_type":"qwen3_5_moe_text",)" +
                             with_shared + "}}";
  const auto qwen35_model = [&](const char* variant) {
    return Model("5", "qwen3_5_moe", qwen35)
        .Variant(variant)
        .Body("model.language_model.")
        .Router(v + "gate.weight")
        .Shared(0, v + "shared_expert.")
        .Router(v + "shared_expert_gate.weight", {1, kHidden})
        .Not("model.visual.blocks.0.mlp.linear_fc1.weight", {20, 16})
        .Not("model.visual.blocks.0.mlp.linear_fc2.weight", {16, 20});
  };
  cases.push_back(qwen35_model("").Fused(0, v + "experts.gate_up_proj", v + "experts.down_proj"));
  cases.push_back(qwen35_model("fp8").PerExpert(0, v + "experts."));
  // H == 2I: gate_up is square, only down [E, H, I] tells.
  cases.push_back(Model("5", "qwen3_5_moe",
                        R"({"model_type":"qwen3_5_moe","text_config":{"hidden_size":12,)"
                        R"("moe_intermediate_size":6,"num_experts":3,"num_experts_per_tok":2}})")
                      .Variant("hidden_is_twice_width")
                      .Body("model.language_model.")
                      .Router(v + "gate.weight")
                      .Fused(0, v + "experts.gate_up_proj", v + "experts.down_proj", Order::kOutIn,
                             Parts::kHalves, kHidden / 2));

  const std::string qwen3_vl = R"({"model_type":"qwen3_vl_moe","text_config":)"
                               R"({"model_type":"qwen3_vl_moe_text",)" +
                               qwen + "}}";
  const auto qwen3_vl_model = [&](const char* variant) {
    return Model("6", "qwen3_vl_moe", qwen3_vl)
        .Variant(variant)
        .Body("model.language_model.")
        .Router(v + "gate.weight")
        .Not("model.visual.blocks.0.mlp.linear_fc1.weight", {20, 16});
  };
  cases.push_back(qwen3_vl_model("").Fused(0, v + "experts.gate_up_proj", v + "experts.down_proj",
                                           Order::kInOut));
  cases.push_back(qwen3_vl_model("resaved_by_transformers_5")
                      .Fused(0, v + "experts.gate_up_proj", v + "experts.down_proj"));
  cases.push_back(qwen3_vl_model("linearized").PerExpert(0, v + "experts."));
  cases.push_back(Model("6", "qwen3_vl_moe",
                        R"({"model_type":"qwen3_vl_moe","text_config":{"hidden_size":12,)"
                        R"("moe_intermediate_size":6,"num_experts":3,"num_experts_per_tok":2}})")
                      .Variant("hidden_is_twice_width")
                      .Body("model.language_model.")
                      .Router(v + "gate.weight")
                      .Fused(0, v + "experts.gate_up_proj", v + "experts.down_proj", Order::kInOut,
                             Parts::kHalves, kHidden / 2));

  cases.push_back(Model("7", "qwen3_omni_moe",
                        R"({"model_type":"qwen3_omni_moe","thinker_config":)"
                        R"({"text_config":{)" +
                            qwen + "}}}")
                      .Body("thinker.model.")
                      .PerExpert(0, "thinker.model.layers.0.mlp.experts.")
                      .Router("thinker.model.layers.0.mlp.gate.weight")
                      .Body("talker.model.")
                      .PerExpert(0, "talker.model.layers.0.mlp.experts.")
                      .Router("talker.model.layers.0.mlp.gate.weight")
                      .Shared(0, "talker.model.layers.0.mlp.shared_expert.")
                      .Router("talker.model.layers.0.mlp.shared_expert_gate.weight", {1, kHidden}));

  cases.push_back(DeepSeekLike("8", "deepseek", false, false));
  cases.push_back(DeepSeekLike("9", "deepseek_v2", false, false));
  cases.push_back(DeepSeekLike("10", "deepseek_v3", true, true));
  cases.push_back(
      Model("10", "deepseek_v3",
            R"({"model_type":"deepseek_v3","hidden_size":12,"moe_intermediate_size":10,)"
            R"("n_routed_experts":3,"num_experts_per_tok":2,"n_shared_experts":1,)"
            R"("first_k_dense_replace":1,"num_hidden_layers":2})")
          .Variant("fused")
          .Body()
          .Dense("model.layers.0.mlp.")
          .Fused(1, "model.layers.1.mlp.experts.gate_up_proj",
                 "model.layers.1.mlp.experts.down_proj")
          .Router("model.layers.1.mlp.gate.weight")
          .Router("model.layers.1.mlp.gate.e_score_correction_bias", {kExperts})
          .Shared(1, "model.layers.1.mlp.shared_experts."));
  cases.push_back(DeepSeekLike("11", "deepseek_v32", true, true)
                      .Plain("model.layers.0.self_attn.indexer.wq_b.weight", {8, kHidden}));
  cases.push_back(DeepSeekLike("11", "glm_moe_dsa", true, true).Variant("glm5"));
  cases.push_back(
      Model("12", "deepseek_v4",
            R"({"model_type":"deepseek_v4","hidden_size":12,"moe_intermediate_size":10,)"
            R"("n_routed_experts":3,"num_experts_per_tok":2,"n_shared_experts":1,)"
            R"("num_hash_layers":1,"num_hidden_layers":2,"mlp_layer_types":["hash_moe","moe"]})")
          .Plain("embed.weight", {kVocab, kHidden})
          .Plain("norm.weight", {kHidden})
          .Plain("layers.0.attn_norm.weight", {kHidden})
          .Plain("layers.0.ffn_norm.weight", {kHidden})
          .Plain("layers.0.attn.wq_a.weight", {8, kHidden})
          .PerExpert(0, "layers.0.ffn.experts.", kW123)
          .Router("layers.0.ffn.gate.weight")
          .Router("layers.0.ffn.gate.tid2eid", {kVocab, 2})
          .Shared(0, "layers.0.ffn.shared_experts.", kW123)
          .PerExpert(1, "layers.1.ffn.experts.", kW123)
          .Router("layers.1.ffn.gate.weight")
          .Router("layers.1.ffn.gate.bias", {kExperts})
          .Shared(1, "layers.1.ffn.shared_experts.", kW123));
  cases.push_back(DeepSeekLike("13", "kimi_k2", true, false));
  cases.push_back(DeepSeekLike("14", "kimi_k2", true, false));
  cases.push_back(DeepSeekLike("14", "kimi_k25", true, false, "language_model.model.", true)
                      .Variant("k25")
                      .Not("vision_tower.encoder.blocks.0.mlp.fc0.weight", {20, 16})
                      .Not("vision_tower.encoder.blocks.0.mlp.fc1.weight", {16, 20}));

  const auto kimi = [](const char* row, const char* type, uint64_t hidden) {
    const std::string m = "model.layers.1.block_sparse_moe.";
    return Model(row, type,
                 std::string(R"({"model_type":")") + type +
                     R"(","hidden_size":12,"moe_intermediate_size":10,"num_experts":3,)"
                     R"("num_experts_per_token":2,"num_shared_experts":1,)"
                     R"("first_k_dense_replace":1,"moe_layer_freq":1,"num_hidden_layers":2})")
        .Body()
        .Dense("model.layers.0.mlp.")
        .PerExpert(1, m + "experts.", kW123, kWidth, hidden)
        .Router(m + "gate.weight")
        .Router(m + "gate.e_score_correction_bias", {kExperts})
        .Shared(1, m + "shared_experts.");
  };
  cases.push_back(kimi("15", "kimi_linear", kHidden));
  const std::string latent = "model.layers.1.block_sparse_moe.routed_expert_";
  cases.push_back(kimi("15b", "kimi_k3", kLatent)
                      .Not(latent + "down_proj.weight", {kLatent, kHidden})
                      .Not(latent + "up_proj.weight", {kHidden, kLatent}));
  cases.push_back(DeepSeekLike("16", "glm4_moe", true, true));
  cases.push_back(DeepSeekLike("17", "glm4v_moe", true, false, "model.language_model.", true)
                      .Not("model.visual.blocks.0.mlp.gate_proj.weight", {20, 16})
                      .Not("model.visual.blocks.0.mlp.down_proj.weight", {16, 20}));
  cases.push_back(DeepSeekLike("18", "glm4_moe_lite", true, true));
}

/// Rows 19 to 30: gpt-oss, Llama 4, OLMoE, Granite, Jamba, DBRX, Grok, JetMoE.
inline void AddRows19To30(std::vector<PresetCase>& cases) {
  const std::string local =
      R"("num_local_experts":3,"num_experts_per_tok":2,"num_hidden_layers":1)";
  const std::string sizes = R"("hidden_size":12,"intermediate_size":10,)" + local;
  const std::string m = "model.layers.0.mlp.";
  const std::string gpt_oss = R"({"model_type":"gpt_oss",)" + sizes + "}";
  const auto gpt_oss_model = [&](const char* variant, const std::string& config, uint64_t width) {
    return Model("19", "gpt_oss", config)
        .Variant(variant)
        .Body()
        .Plain("model.layers.0.self_attn.sinks", {4})
        .Router(m + "router.weight")
        .Router(m + "router.bias", {kExperts})
        .Plain(m + "experts.gate_up_proj_bias", {kExperts, 2 * width})
        .Plain(m + "experts.down_proj_bias", {kExperts, kHidden});
  };
  // Decoded from blocks: [E, 2I, H], rows interleaved, down [E, H, I].
  cases.push_back(gpt_oss_model("mxfp4", gpt_oss, kWidth)
                      .Fused(0, m + "experts.gate_up_proj", m + "experts.down_proj", Order::kOutIn,
                             Parts::kInterleaved));
  cases.push_back(gpt_oss_model("bf16", gpt_oss, kWidth)
                      .Fused(0, m + "experts.gate_up_proj", m + "experts.down_proj", Order::kInOut,
                             Parts::kInterleaved));
  // As the published sizes (2880, 2880): down is square, gate_up tells.
  const std::string square =
      R"({"model_type":"gpt_oss","hidden_size":12,"intermediate_size":12,)" + local + "}";
  cases.push_back(gpt_oss_model("mxfp4_square", square, kHidden)
                      .Fused(0, m + "experts.gate_up_proj", m + "experts.down_proj", Order::kOutIn,
                             Parts::kInterleaved, kHidden));
  cases.push_back(gpt_oss_model("bf16_square", square, kHidden)
                      .Fused(0, m + "experts.gate_up_proj", m + "experts.down_proj", Order::kInOut,
                             Parts::kInterleaved, kHidden));
  cases.push_back(Model("19", "gpt_oss", gpt_oss)
                      .Variant("linearized")
                      .Body()
                      .PerExpert(0, m + "experts.")
                      .Router(m + "router.weight")
                      .Router(m + "router.bias", {kExperts}));

  const std::string l = "language_model.model.layers.0.feed_forward.";
  const std::string d = "language_model.model.layers.1.feed_forward.";
  const auto llama4 = [&](const char* variant) {
    return Model("20", "llama4",
                 R"({"model_type":"llama4","text_config":{"model_type":"llama4_text",)"
                 R"("intermediate_size_mlp":18,"moe_layers":[0],)" +
                     sizes + "}}")
        .Variant(variant)
        .Body("language_model.model.")
        .Router(l + "router.weight")
        .Shared(0, l + "shared_expert.")
        .Dense(d)
        .Not("vision_model.model.layers.0.mlp.fc1.weight", {20, 16})
        .Not("vision_model.model.layers.0.mlp.fc2.weight", {16, 20});
  };
  cases.push_back(
      llama4("").Fused(0, l + "experts.gate_up_proj", l + "experts.down_proj", Order::kInOut));
  cases.push_back(llama4("linearized").PerExpert(0, l + "experts."));

  const std::string experts3 =
      R"("hidden_size":12,"intermediate_size":10,"num_experts":3,"num_experts_per_tok":2,)"
      R"("num_hidden_layers":1})";
  cases.push_back(Simple("21", "olmoe", R"({"model_type":"olmoe",)" + experts3)
                      .Plain("model.layers.0.self_attn.q_norm.weight", {16}));
  cases.push_back(Simple("22", "flex_olmo", R"({"model_type":"flex_olmo",)" + experts3)
                      .Plain("model.layers.0.post_feedforward_layernorm.weight", {kHidden}));
  cases.push_back(
      Simple("23", "phimoe", R"({"model_type":"phimoe",)" + sizes + "}", "block_sparse_moe", kW123)
          .Plain("model.layers.0.input_layernorm.bias", {kHidden}));

  const auto granite = [&](const char* row, const char* type) {
    const std::string b = "model.layers.0.block_sparse_moe.";
    return Model(row, type,
                 std::string(R"({"model_type":")") + type + R"(","shared_intermediate_size":14,)" +
                     sizes + "}")
        .Body()
        .Fused(0, b + "input_linear.weight", b + "output_linear.weight")
        .Router(b + "router.layer.weight");
  };
  cases.push_back(granite("24", "granitemoe"));
  for (const char* type : {"granitemoeshared", "granitemoehybrid"}) {
    Model model = granite("25", type);
    model.Variant(type)
        .Stack(0, "model.layers.0.shared_mlp.input_linear.weight", {"gate_proj", "up_proj"}, 0,
               kShared, kHidden, Order::kOutIn, Parts::kHalves, true)
        .Stack(0, "model.layers.0.shared_mlp.output_linear.weight", {"down_proj"}, 0, kHidden,
               kShared, Order::kOutIn, Parts::kHalves, true);
    if (std::string(type) == "granitemoehybrid") {
      model.Plain("model.layers.1.mamba.in_proj.weight", {40, kHidden});
    }
    cases.push_back(std::move(model));
  }
  cases.push_back(Model("26", "jamba",
                        R"({"model_type":"jamba","hidden_size":12,"intermediate_size":10,)"
                        R"("num_experts":3,"num_experts_per_tok":2,"expert_layer_period":2,)"
                        R"("expert_layer_offset":1,"num_hidden_layers":2})")
                      .Body()
                      .Plain("model.layers.0.mamba.in_proj.weight", {40, kHidden})
                      .Plain("model.layers.1.pre_ff_layernorm.weight", {kHidden})
                      .Dense("model.layers.0.feed_forward.")
                      .PerExpert(1, "model.layers.1.feed_forward.experts.")
                      .Router("model.layers.1.feed_forward.router.weight"));

  // w1, v1, w2 are [E * I, H] each; an expert's slice of w2 is [I, H], the transpose of down.
  const std::string dbrx = "transformer.blocks.0.ffn.";
  Model dbrx_model("27", "dbrx",
                   R"({"model_type":"dbrx","d_model":12,"n_layers":1,)"
                   R"("ffn_config":{"moe_num_experts":3,"moe_top_k":2,"ffn_hidden_size":10}})");
  dbrx_model.Plain("transformer.wte.weight", {kVocab, kHidden})
      .Plain("transformer.blocks.0.norm_attn_norm.norm_1.weight", {kHidden})
      .Plain("transformer.blocks.0.norm_attn_norm.attn.Wqkv.weight", {28, kHidden})
      .Plain(dbrx + "experts.mlp.w1", {kExperts * kWidth, kHidden})
      .Plain(dbrx + "experts.mlp.v1", {kExperts * kWidth, kHidden})
      .Plain(dbrx + "experts.mlp.w2", {kExperts * kWidth, kHidden})
      .Router(dbrx + "router.layer.weight");
  constexpr uint64_t kSlice = kWidth * kHidden;
  dbrx_model.want = {
      {dbrx + "experts.mlp.w1", 0, "gate_proj", kExperts, kWidth, kHidden, false, -1, 0, kSlice,
       kHidden, 1},
      {dbrx + "experts.mlp.v1", 0, "up_proj", kExperts, kWidth, kHidden, false, -1, 0, kSlice,
       kHidden, 1},
      {dbrx + "experts.mlp.w2", 0, "down_proj", kExperts, kHidden, kWidth, false, -1, 0, kSlice, 1,
       kHidden},
  };
  cases.push_back(std::move(dbrx_model));

  const std::string g = "transformer.decoder_layer.0.";
  cases.push_back(Model("28", "grok-1", R"({"model_type":"grok-1",)" + sizes + "}")
                      .Plain("transformer.in_out_embed.weight", {kVocab, kHidden})
                      .Plain(g + "rms_norm.weight", {kHidden})
                      .Plain(g + "multi_head_attention.query.weight", {16, kHidden})
                      .PerExpert(0, g + "moe.", {"linear", "linear_v", "linear_1"})
                      .Router(g + "router.weight"));
  // The reader joins the tensor-parallel pieces; the extractor sees whole tensors.
  cases.push_back(Simple("29", "",
                         R"({"architectures":["Grok1ForCausalLM"],"hidden_size":12,)"
                         R"("intermediate_size":18,"moe_intermediate_size":10,)"
                         R"("residual_moe":true,)" +
                             local + "}",
                         "block_sparse_moe", kW123)
                      .Dense("model.layers.0.mlp."));
  cases.push_back(
      Model("30", "jetmoe", R"({"model_type":"jetmoe",)" + sizes + "}")
          .Plain("model.embed_tokens.weight", {kVocab, kHidden})
          .Plain("model.layers.0.input_layernorm.weight", {kHidden})
          .Plain("model.layers.0.self_attention.kv_proj.weight", {16, kHidden})
          .Not("model.layers.0.self_attention.experts.input_linear.weight", {kExperts, 8, kHidden})
          .Not("model.layers.0.self_attention.experts.output_linear.weight", {kExperts, kHidden, 8})
          .Plain("model.layers.0.self_attention.experts.bias", {kHidden})
          .Not("model.layers.0.self_attention.experts.router.layer.weight", {kExperts, kHidden})
          .Fused(0, m + "input_linear.weight", m + "output_linear.weight")
          .Plain(m + "bias", {kHidden})
          .Router(m + "router.layer.weight"));
}

/// Rows 31 to 46: ERNIE, Hunyuan, dots, MiniMax, Ling, LongCat, Arctic, Nemotron, LFM2, Step.
inline void AddRows31To46(std::vector<PresetCase>& cases) {
  const std::string m = "model.layers.1.mlp.";
  const std::string local =
      R"("hidden_size":12,"intermediate_size":10,"num_local_experts":3,"num_experts_per_tok":2,)"
      R"("num_hidden_layers":2)";
  const std::string wide =
      R"("hidden_size":12,"intermediate_size":18,"moe_intermediate_size":10,"num_experts":3,)"
      R"("num_experts_per_tok":2,"num_hidden_layers":2)";
  cases.push_back(Model("31", "ernie4_5_moe",
                        R"({"model_type":"ernie4_5_moe","hidden_size":12,"intermediate_size":18,)"
                        R"("moe_num_experts":3,"moe_k":2,"moe_num_shared_experts":2,)"
                        R"("moe_intermediate_size":10,"moe_layer_start_index":1,)"
                        R"("moe_layer_end_index":1,"moe_layer_interval":1,"num_hidden_layers":2})")
                      .Body()
                      .Dense("model.layers.0.mlp.")
                      .PerExpert(1, m + "experts.")
                      .Router(m + "gate.weight")
                      .Router(m + "moe_statics.e_score_correction_bias", {1, kExperts})
                      .Shared(1, m + "shared_experts.", kGud, 2 * kWidth)
                      .Plain("model.mtp_linear_proj.0.weight", {kHidden, 2 * kHidden})
                      .Plain("model.mtp_block.0.input_layernorm.weight", {kHidden})
                      .PerExpert(0, "model.mtp_block.0.mlp.experts.")
                      .Router("model.mtp_block.0.mlp.gate.weight"));
  // Ragged: three text experts of width 10, then three vision experts of width 6; gates [H, E].
  cases.push_back(Model("32", "ernie4_5_vl_moe",
                        R"({"model_type":"ernie4_5_vl_moe","hidden_size":12,)"
                        R"("intermediate_size":18,"moe_num_experts":[3,3],"moe_k":2,)"
                        R"("moe_intermediate_size":[10,6],"moe_num_shared_experts":1,)"
                        R"("mlp_layer_types":["dense","sparse"],"num_hidden_layers":2})")
                      .Body()
                      .Dense("model.layers.0.mlp.")
                      .PerExpert(1, m + "experts.", kGud, 10, kHidden, 0)
                      .PerExpert(1, m + "experts.", kGud, 6, kHidden, 3)
                      .Router(m + "gate.weight", {kHidden, kExperts})
                      .Router(m + "gate.weight_1", {kHidden, kExperts})
                      .Router(m + "moe_statics.e_score_correction_bias", {2, kExperts})
                      .Shared(1, m + "shared_experts."));

  // gate_and_up_proj holds up first, then gate.
  const std::string h = "model.layers.0.mlp.";
  Model hunyuan("33", "hunyuan",
                R"({"model_type":"hunyuan","hidden_size":12,"intermediate_size":18,)"
                R"("num_experts":3,"moe_topk":[2],"num_shared_expert":[1],)"
                R"("moe_intermediate_size":[10],"num_hidden_layers":1})");
  hunyuan.Body().Router(h + "gate.wg.weight");
  for (int64_t e = 0; e < static_cast<int64_t>(kExperts); ++e) {
    const std::string expert = h + "experts." + std::to_string(e) + ".";
    hunyuan.Stack(0, expert + "gate_and_up_proj.weight", {"up_proj", "gate_proj"}, 0, kWidth,
                  kHidden, Order::kOutIn, Parts::kHalves, false, e);
    hunyuan.Matrix(0, expert + "down_proj.weight", "down_proj", e, false, kHidden, kWidth);
  }
  hunyuan
      .Stack(0, h + "shared_mlp.gate_and_up_proj.weight", {"up_proj", "gate_proj"}, 0, kShared,
             kHidden, Order::kOutIn, Parts::kHalves, true)
      .Matrix(0, h + "shared_mlp.down_proj.weight", "down_proj", -1, true, kHidden, kShared);
  cases.push_back(std::move(hunyuan));
  cases.push_back(Model("34", "hunyuan_v1_moe",
                        R"({"model_type":"hunyuan_v1_moe","hidden_size":12,"num_experts":3,)"
                        R"("moe_topk":2,"num_shared_expert":1,"moe_intermediate_size":10,)"
                        R"("num_hidden_layers":1})")
                      .Body()
                      .PerExpert(0, h + "experts.")
                      .Router(h + "gate.wg.weight")
                      .Shared(0, h + "shared_mlp."));
  cases.push_back(Model("35", "hy_v3",
                        R"({"model_type":"hy_v3","num_shared_experts":1,)"
                        R"("mlp_layer_types":["dense","sparse"],)" +
                            wide + "}")
                      .Body()
                      .Dense("model.layers.0.mlp.")
                      .PerExpert(1, m + "experts.")
                      .Router(m + "router.gate.weight")
                      .Router(m + "expert_bias", {kExperts})
                      .Shared(1, m + "shared_mlp."));
  cases.push_back(DeepSeekLike("36", "dots1", true, false));
  cases.push_back(Simple("37", "minimax", R"({"model_type":"minimax",)" + local + "}",
                         "block_sparse_moe", kW123));
  cases.push_back(
      Simple("38", "minimax_m2", R"({"model_type":"minimax_m2",)" + local + "}", "block_sparse_moe",
             kW123)
          .Router("model.layers.0.block_sparse_moe.e_score_correction_bias", {kExperts}));
  const std::string m3 = "language_model.model.layers.1.block_sparse_moe.";
  cases.push_back(Model("39", "minimax_m3_vl",
                        R"({"model_type":"minimax_m3_vl","text_config":{"moe_layer_freq":[0,1],)" +
                            local + "}}")
                      .Body("language_model.model.")
                      .Dense("language_model.model.layers.0.mlp.")
                      .PerExpert(1, m3 + "experts.", kW123)
                      .Router(m3 + "gate.weight")
                      .Router(m3 + "e_score_correction_bias", {kExperts})
                      .Shared(1, m3 + "shared_experts.")
                      .Not("vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", {20, 16}));

  const auto bailing = [&](const char* row, const char* type, bool bias) {
    Model model(row, type,
                std::string(R"({"model_type":")") + type +
                    R"(","num_shared_experts":1,"first_k_dense_replace":1,)" + wide + "}");
    model.Variant(type)
        .Plain("model.word_embeddings.weight", {kVocab, kHidden})
        .Plain("model.layers.0.input_layernorm.weight", {kHidden})
        .Plain("model.layers.0.attention.query_key_value.weight", {16, kHidden})
        .Plain("model.layers.0.attention.dense.weight", {kHidden, 16})
        .Dense("model.layers.0.mlp.")
        .PerExpert(1, m + "experts.")
        .Router(m + "gate.weight")
        .Shared(1, m + "shared_experts.");
    if (bias) model.Router(m + "gate.expert_bias", {kExperts});
    return model;
  };
  cases.push_back(bailing("40", "bailing_moe", false));
  cases.push_back(bailing("40", "bailing_moe_v2", true));
  cases.push_back(bailing("41", "bailing_hybrid", true));
  cases.push_back(bailing("41", "bailing_moe_linear", true));
  // One zero expert behind the three real ones: the router has it, no weight does.
  cases.push_back(Model("42", "longcat_flash",
                        R"({"model_type":"longcat_flash","hidden_size":12,"ffn_hidden_size":18,)"
                        R"("expert_ffn_hidden_size":10,"n_routed_experts":3,"zero_expert_num":1,)"
                        R"("moe_topk":2,"num_layers":1})")
                      .Plain("model.embed_tokens.weight", {kVocab, kHidden})
                      .Plain("model.layers.0.input_layernorm.0.weight", {kHidden})
                      .Plain("model.layers.0.input_layernorm.1.weight", {kHidden})
                      .Plain("model.layers.0.self_attn.0.q_a_proj.weight", {8, kHidden})
                      .Plain("model.layers.0.self_attn.1.q_a_proj.weight", {8, kHidden})
                      .Dense("model.layers.0.mlps.0.")
                      .Dense("model.layers.0.mlps.1.")
                      .PerExpert(0, h + "experts.")
                      .Router(h + "router.classifier.weight", {kExperts + 1, kHidden})
                      .Router(h + "router.e_score_correction_bias", {kExperts + 1})
                      .Plain("model.mtp.layers.0.eh_proj.weight", {kHidden, 2 * kHidden}));
  cases.push_back(
      Model("43", "arctic", R"({"model_type":"arctic","moe_layer_frequency":2,)" + local + "}")
          .Body()
          .Dense("model.layers.0.block_sparse_moe.mlp.", kW123)
          .PerExpert(1, "model.layers.1.block_sparse_moe.experts.", kW123)
          .Router("model.layers.1.block_sparse_moe.gate.weight")
          .Dense("model.layers.1.residual_mlp.", kW123)
          .Plain("model.layers.1.residual_layernorm.weight", {kHidden}));

  const std::string n = "backbone.layers.1.mixer.";
  const auto nemotron = [&](const char* variant, const std::string& latent, uint64_t hidden) {
    return Model("44", "nemotron_h",
                 R"({"model_type":"nemotron_h","hidden_size":12,"intermediate_size":18,)"
                 R"("n_routed_experts":3,"num_experts_per_tok":2,"n_shared_experts":1,)"
                 R"("moe_intermediate_size":10,"moe_shared_expert_intermediate_size":14,)"
                 R"("hybrid_override_pattern":"ME*-","num_hidden_layers":4)" +
                     latent + "}")
        .Variant(variant)
        .Plain("backbone.embeddings.weight", {kVocab, kHidden})
        .Plain("backbone.layers.0.norm.weight", {kHidden})
        .Plain("backbone.layers.1.norm.weight", {kHidden})
        .Plain("backbone.layers.0.mixer.in_proj.weight", {40, kHidden})
        .Plain("backbone.layers.2.mixer.q_proj.weight", {16, kHidden})
        .Dense("backbone.layers.3.mixer.", kUd)
        .PerExpert(1, n + "experts.", kUd, kWidth, hidden)
        .Router(n + "gate.weight")
        .Router(n + "gate.e_score_correction_bias", {kExperts})
        .Shared(1, n + "shared_experts.", kUd);
  };
  cases.push_back(nemotron("", "", kHidden));
  cases.push_back(nemotron("latent", R"(,"moe_latent_size":8)", kLatent)
                      .Not(n + "fc1_latent_proj.weight", {kLatent, kHidden})
                      .Not(n + "fc2_latent_proj.weight", {kHidden, kLatent}));
  const std::string n5 = "model.layers.1.mixer.";
  cases.push_back(Model("44", "nemotron_h", nemotron("", "", kHidden).config_json)
                      .Variant("fused")
                      .Plain("model.layers.1.norm.weight", {kHidden})
                      .Stacks(1, n5 + "experts.", kUd, "")
                      .Router(n5 + "gate.weight")
                      .Router(n5 + "gate.e_score_correction_bias", {kExperts})
                      .Shared(1, n5 + "shared_experts.", kUd));

  const std::string f = "model.layers.1.feed_forward.";
  cases.push_back(
      Model("45", "lfm2_moe", R"({"model_type":"lfm2_moe","num_dense_layers":1,)" + wide + "}")
          .Plain("model.embed_tokens.weight", {kVocab, kHidden})
          .Plain("model.layers.0.ffn_norm.weight", {kHidden})
          .Plain("model.layers.0.operator_norm.weight", {kHidden})
          .Plain("model.layers.0.conv.in_proj.weight", {36, kHidden})
          .Plain("model.layers.1.self_attn.q_proj.weight", {16, kHidden})
          .Dense("model.layers.0.feed_forward.", kW123)
          .PerExpert(1, f + "experts.", kW123)
          .Router(f + "gate.weight")
          .Router(f + "expert_bias", {kExperts}));
  for (const char* type : {"step3_text", "step3p5", "step3p7"}) {
    cases.push_back(Model("46", type,
                          std::string(R"({"model_type":")") + type +
                              R"(","hidden_size":12,"intermediate_size":18,"moe_num_experts":3,)"
                              R"("moe_top_k":2,"share_expert_dim":14,"moe_intermediate_size":10,)"
                              R"("moe_layers_enum":"1","num_hidden_layers":2})")
                        .Variant(type)
                        .Body()
                        .Dense("model.layers.0.mlp.")
                        .Stacks(1, "model.layers.1.moe.")
                        .Router("model.layers.1.moe.gate.weight")
                        .Router("model.layers.1.moe.router_bias", {kExperts})
                        .Shared(1, "model.layers.1.share_expert."));
  }
}

/// Rows 47 to 62: Gemma 4 and the rest.
inline void AddRows47To62(std::vector<PresetCase>& cases) {
  const std::string m = "model.layers.1.mlp.";
  const std::string h = "model.layers.0.mlp.";
  const std::string wide =
      R"("hidden_size":12,"intermediate_size":18,"moe_intermediate_size":10,"num_experts":3,)"
      R"("num_experts_per_tok":2,"num_hidden_layers":2)";
  const std::string g = "model.language_model.layers.0.";
  cases.push_back(Model("47", "gemma4",
                        R"({"model_type":"gemma4","text_config":{"model_type":"gemma4_text",)"
                        R"("hidden_size":12,"intermediate_size":18,"moe_intermediate_size":10,)"
                        R"("num_experts":3,"top_k_experts":2,"enable_moe_block":true,)"
                        R"("num_hidden_layers":1}})")
                      .Body("model.language_model.")
                      .Plain(g + "pre_feedforward_layernorm_2.weight", {kHidden})
                      .Dense(g + "mlp.")
                      .Fused(0, g + "experts.gate_up_proj", g + "experts.down_proj")
                      .Router(g + "router.proj.weight")
                      .Router(g + "router.scale", {kHidden})
                      .Router(g + "router.per_expert_scale", {kExperts}));

  // Dense layer 0, MoE layer 1 with PE-gud and `shared`; what differs is where the router is.
  const auto moe1 = [&](const char* row, const char* type, const std::string& keys,
                        const std::string& shared) {
    Model model(row, type, std::string(R"({"model_type":")") + type + "\"," + keys + wide + "}");
    model.Body().Dense("model.layers.0.mlp.").PerExpert(1, m + "experts.");
    if (!shared.empty()) model.Shared(1, m + shared + ".");
    return model;
  };
  const std::string shared1 = R"("num_shared_experts":1,)";
  cases.push_back(moe1("48", "afmoe", shared1 + R"("num_dense_layers":1,)", "shared_experts")
                      .Router(m + "router.gate.weight")
                      .Router(m + "expert_bias", {kExperts}));
  const std::string mtp = "mtp.layers.0.mlp.";
  cases.push_back(
      moe1("49", "exaone_moe", shared1 + R"("is_moe_layer":[false,true],)", "shared_experts")
          .Router(m + "gate.weight")
          .Router(m + "e_score_correction_bias", {kExperts})
          .Plain("mtp.fc.weight", {kHidden, 2 * kHidden})
          .PerExpert(0, mtp + "experts.")
          .Router(mtp + "gate.weight")
          .Shared(0, mtp + "shared_experts."));
  cases.push_back(DeepSeekLike("50", "solar_open", true, false));
  cases.push_back(moe1("51", "mimo_v2_flash", R"("n_routed_experts":3,"moe_layer_freq":[0,1],)", "")
                      .Router(m + "gate.weight")
                      .Router(m + "gate.e_score_correction_bias", {kExperts}));

  const std::string mistral =
      R"("n_routed_experts":3,"n_shared_experts":1,"first_k_dense_replace":1,)";
  cases.push_back(moe1("52", "mistral4", mistral, "shared_experts").Router(m + "gate.weight"));
  cases.push_back(Model("52", "mistral4", R"({"model_type":"mistral4",)" + mistral + wide + "}")
                      .Variant("fused")
                      .Body()
                      .Dense("model.layers.0.mlp.")
                      .Fused(1, m + "experts.gate_up_proj", m + "experts.down_proj")
                      .Router(m + "gate.weight")
                      .Shared(1, m + "shared_experts."));
  cases.push_back(
      Model("52", "mistral_large4", R"({"model_type":"mistral_large4",)" + mistral + wide + "}")
          .Variant("consolidated")
          .Plain("tok_embeddings.weight", {kVocab, kHidden})
          .Plain("layers.0.attention_norm.weight", {kHidden})
          .Plain("layers.0.attention.wq_a.weight", {8, kHidden})
          .Dense("layers.0.feed_forward.", kW123)
          .PerExpert(1, "layers.1.experts.", kW123)
          .Router("layers.1.gate.weight")
          .Shared(1, "layers.1.shared_experts.", kW123));
  cases.push_back(moe1("53", "laguna",
                       R"("shared_expert_intermediate_size":14,)"
                       R"("mlp_layer_types":["dense","sparse"],)",
                       "shared_expert")
                      .Router(m + "gate.weight")
                      .Router(m + "experts.e_score_correction_bias", {kExperts}));
  cases.push_back(moe1("54", "Klear",
                       R"("n_shared_experts":1,"decoder_sparse_step":1,)"
                       R"("mlp_only_layers":[0],)",
                       "shared_experts")
                      .Router(m + "gate.weight")
                      .Router(m + "expert_bias", {kExperts})
                      .Plain(m + "coefficient.weight", {2, kHidden})
                      .Plain(m + "coefficient.bias", {2}));
  cases.push_back(
      moe1("55", "cohere2_moe", shared1 + R"("first_k_dense_replace":1,)", "shared_experts")
          .Router(m + "gate.weight"));

  const std::string aria = "language_model.model.layers.0.mlp.";
  cases.push_back(
      Model("56", "aria",
            R"({"model_type":"aria","text_config":{"model_type":"aria_text",)"
            R"("hidden_size":12,"intermediate_size":10,"moe_num_experts":3,)"
            R"("moe_topk":2,"moe_num_shared_experts":2,"num_hidden_layers":1}})")
          .Body("language_model.model.")
          .Fused(0, aria + "experts.fc1.weight", aria + "experts.fc2.weight", Order::kInOut)
          .Router(aria + "router.weight")
          .Shared(0, aria + "shared_experts.", kGud, 2 * kWidth)
          .Not("vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", {20, 16})
          .Not("vision_tower.vision_model.encoder.layers.0.mlp.fc2.weight", {16, 20}));

  Model switch_model("57", "switch_transformers",
                     R"({"model_type":"switch_transformers","d_model":12,"d_ff":10,)"
                     R"("num_experts":3,"encoder_sparse_step":2,"decoder_sparse_step":2,)"
                     R"("num_layers":4,"num_decoder_layers":4})");
  const Trio wi_wo = {"", "wi", "wo"};
  switch_model.Plain("shared.weight", {kVocab, kHidden});
  for (const std::string stack : {"encoder", "decoder"}) {
    const std::string ff = stack == "encoder" ? ".layer.1." : ".layer.2.";
    const std::string sparse = stack + ".block.3" + ff;
    switch_model.Plain(stack + ".block.0.layer.0.SelfAttention.q.weight", {16, kHidden})
        .Plain(sparse + "layer_norm.weight", {kHidden})
        .Dense(stack + ".block.0" + ff + "mlp.", wi_wo)
        .PerExpert(3, sparse + "mlp.experts.expert_", wi_wo)
        .Router(sparse + "mlp.router.classifier.weight");
  }
  cases.push_back(std::move(switch_model));

  Model nllb("58", "nllb-moe",
             R"({"model_type":"nllb-moe","d_model":12,"encoder_ffn_dim":10,"decoder_ffn_dim":10,)"
             R"("num_experts":3,"encoder_sparse_step":4,"decoder_sparse_step":4,)"
             R"("encoder_layers":4,"decoder_layers":4})");
  const Trio fc = {"", "fc1", "fc2"};
  nllb.Plain("model.shared.weight", {kVocab, kHidden});
  for (const std::string stack : {"encoder", "decoder"}) {
    const std::string p = "model." + stack + ".layers.";
    nllb.Plain(p + "0.self_attn.q_proj.weight", {16, kHidden})
        .Plain(p + "0.self_attn_layer_norm.weight", {kHidden})
        .Dense(p + "0.ffn.", fc)
        .PerExpert(3, p + "3.ffn.experts.expert_", fc)
        .Plain(p + "3.ffn.experts.expert_0.fc1.bias", {kWidth})
        .Plain(p + "3.ffn.experts.expert_0.fc2.bias", {kHidden})
        .Router(p + "3.ffn.router.classifier.weight");
  }
  cases.push_back(std::move(nllb));

  cases.push_back(Model("59", "phi-msft",
                        R"({"model_type":"phi-msft","n_embd":12,"num_local_experts":3,)"
                        R"("num_experts_per_tok":2,"n_layer":1})")
                      .Plain("transformer.embd.wte.weight", {kVocab, kHidden})
                      .Plain("transformer.h.0.ln.weight", {kHidden})
                      .Plain("transformer.h.0.mixer.Wqkv.weight", {28, kHidden})
                      .PerExpert(0, "transformer.h.0.moe.mlp.", fc)
                      .Plain("transformer.h.0.moe.mlp.0.fc1.bias", {kWidth})
                      .Plain("transformer.h.0.moe.mlp.0.fc2.bias", {kHidden})
                      .Router("transformer.h.0.moe.gate.weight"));
  // A chunk expert serves a group of experts, so it's a shared one.
  cases.push_back(
      Simple("60", "grove_moe", R"({"model_type":"grove_moe","experts_per_group":2,)" + wide + "}")
          .Shared(0, h + "chunk_experts.0.", kGud, 6)
          .Shared(0, h + "chunk_experts.1.", kGud, 6));
  const std::string s = "model.layers.0.block_sparse_moe.";
  cases.push_back(Model("61", "smallthinker",
                        R"({"model_type":"smallthinker","hidden_size":12,)"
                        R"("moe_num_primary_experts":3,"moe_num_active_primary_experts":2,)"
                        R"("moe_ffn_hidden_size":10,"num_hidden_layers":1})")
                      .Body()
                      .PerExpert(0, s + "experts.", {"gate", "up", "down"})
                      .Router(s + "primary_router.weight"));

  // Two shared experts in one stack; the router knows them behind the routed ones.
  const std::string i = "model.llm.layers.1.mlp.";
  const std::string si = i + "shared_experts.";
  cases.push_back(Model("62", "inkling_mm_model",
                        R"({"model_type":"inkling_mm_model",)"
                        R"("text_config":{"hidden_size":12}})")
                      .Plain("model.llm.layers.0.mlp_norm.weight", {kHidden})
                      .Plain("model.llm.layers.1.mlp_norm.weight", {kHidden})
                      .Plain("model.llm.layers.0.attn.wq.weight", {16, kHidden})
                      .Not("model.llm.layers.0.mlp.w13_dn.weight", {2 * kDense, kHidden})
                      .Not("model.llm.layers.0.mlp.w2_md.weight", {kHidden, kDense})
                      .Fused(1, i + "experts.w13_weight", i + "experts.w2_weight", Order::kOutIn,
                             Parts::kInterleaved)
                      .Stack(1, si + "shared_w13_weight", {"gate_proj", "up_proj"}, 2, kWidth,
                             kHidden, Order::kOutIn, Parts::kInterleaved, true)
                      .Stack(1, si + "shared_w2_weight", {"down_proj"}, 2, kHidden, kWidth,
                             Order::kOutIn, Parts::kHalves, true)
                      .Router(i + "gate.weight", {kExperts + 2, kHidden})
                      .Router(i + "gate.bias", {kExperts}));
}

/// At least one case for each row of checkpoints.md 10.2.
inline const std::vector<PresetCase>& PresetCases() {
  static const std::vector<PresetCase> cases = [] {
    std::vector<PresetCase> all;
    AddRows1To18(all);
    AddRows19To30(all);
    AddRows31To46(all);
    AddRows47To62(all);
    return all;
  }();
  return cases;
}

/// What mlx-lm and mlx-vlm write (checkpoints.md 10.1): `row` is the class,
/// `variant` the family.
inline const std::vector<PresetCase>& MlxCases() {
  static const std::vector<PresetCase> cases = [] {
    std::vector<PresetCase> all;
    const std::string keys =
        R"("hidden_size":12,"moe_intermediate_size":10,"num_experts":3,"num_hidden_layers":2)";
    const auto model = [&](const char* row, const char* type) {
      Model made(row, type, std::string(R"({"model_type":")") + type + "\"," + keys + "}");
      made.Variant(type);
      return made;
    };
    const std::string p0 = "model.layers.0.", p1 = "model.layers.1.";
    const std::string v0 = "language_model.model.layers.0.";

    for (const char* type : {"mixtral", "phimoe", "minimax_m2"}) {
      all.push_back(model("MX-s", type)
                        .Body()
                        .Stacks(0, p0 + "block_sparse_moe.switch_mlp.")
                        .Router(p0 + "block_sparse_moe.gate.weight"));
    }
    for (const char* type : {"qwen3_moe", "olmoe"}) {
      all.push_back(model("MX-s", type)
                        .Body()
                        .Stacks(0, p0 + "mlp.switch_mlp.")
                        .Router(p0 + "mlp.gate.weight"));
    }
    all.push_back(model("MX-s", "qwen3_5_moe")
                      .Body("language_model.model.")
                      .Stacks(0, v0 + "mlp.switch_mlp.")
                      .Router(v0 + "mlp.gate.weight")
                      .Shared(0, v0 + "mlp.shared_expert.")
                      .Router(v0 + "mlp.shared_expert_gate.weight", {1, kHidden}));
    for (const char* type : {"deepseek_v3", "kimi_k2", "glm4_moe", "kimi_linear"}) {
      all.push_back(model("MX-s", type)
                        .Body()
                        .Dense(p0 + "mlp.")
                        .Stacks(1, p1 + "mlp.switch_mlp.")
                        .Router(p1 + "mlp.gate.weight")
                        .Router(p1 + "mlp.gate.e_score_correction_bias", {kExperts})
                        .Shared(1, p1 + "mlp.shared_experts."));
    }
    all.push_back(model("MX-s", "deepseek_v41")
                      .Body()
                      .Stacks(0, p0 + "mlp.experts.switch_mlp.")
                      .Router(p0 + "mlp.gate.weight"));
    all.push_back(model("MX-s", "granitemoehybrid")
                      .Body()
                      .Stacks(0, p0 + "block_sparse_moe.switch_mlp.")
                      .Router(p0 + "block_sparse_moe.router.layer.weight")
                      .Stack(0, p0 + "shared_mlp.input_linear.weight", {"gate_proj", "up_proj"}, 0,
                             kShared, kHidden, Order::kOutIn, Parts::kHalves, true)
                      .Stack(0, p0 + "shared_mlp.output_linear.weight", {"down_proj"}, 0, kHidden,
                             kShared, Order::kOutIn, Parts::kHalves, true));
    all.push_back(model("MX-s", "jamba")
                      .Body()
                      .Dense(p0 + "feed_forward.")
                      .Stacks(1, p1 + "feed_forward.switch_mlp.")
                      .Router(p1 + "feed_forward.router.weight"));
    all.push_back(model("MX-s", "bailing_moe")
                      .Body()
                      .Stacks(0, p0 + "mlp.switch_mlp.")
                      .Router(p0 + "mlp.gate.gate_proj.weight")
                      .Router(p0 + "mlp.gate.expert_bias", {kExperts})
                      .Shared(0, p0 + "mlp.shared_experts."));
    all.push_back(model("MX-s", "step3p5")
                      .Body()
                      .Dense(p0 + "mlp.")
                      .Stacks(1, p1 + "mlp.switch_mlp.")
                      .Router(p1 + "mlp.gate.gate.weight")
                      .Shared(1, p1 + "mlp.share_expert."));
    all.push_back(model("MX-s", "hunyuan")
                      .Body()
                      .Stacks(0, p0 + "mlp.switch_mlp.")
                      .Router(p0 + "mlp.gate.wg.weight")
                      .Shared(0, p0 + "mlp.shared_mlp."));
    all.push_back(model("MX-s", "longcat_flash")
                      .Body()
                      .Dense(p0 + "mlps.0.")
                      .Dense(p0 + "mlps.1.")
                      .Stacks(0, p0 + "mlp.switch_mlp.")
                      .Router(p0 + "mlp.router.classifier.weight", {kExperts + 1, kHidden}));

    all.push_back(model("MX-e", "gpt_oss")
                      .Body()
                      .Stacks(0, p0 + "mlp.experts.")
                      .Plain(p0 + "mlp.experts.gate_proj.bias", {kExperts, kWidth})
                      .Plain(p0 + "mlp.experts.up_proj.bias", {kExperts, kWidth})
                      .Plain(p0 + "mlp.experts.down_proj.bias", {kExperts, kHidden})
                      .Router(p0 + "mlp.router.weight")
                      .Router(p0 + "mlp.router.bias", {kExperts}));
    all.push_back(model("MX-e", "llama4")
                      .Body("language_model.model.")
                      .Stacks(0, v0 + "feed_forward.experts.")
                      .Router(v0 + "feed_forward.router.weight")
                      .Shared(0, v0 + "feed_forward.shared_expert."));
    for (const char* type : {"dots1", "Klear"}) {
      all.push_back(model("MX-e", type)
                        .Body()
                        .Dense(p0 + "mlp.")
                        .Stacks(1, p1 + "mlp.experts.")
                        .Router(p1 + "mlp.gate.weight")
                        .Shared(1, p1 + "mlp.shared_experts."));
    }
    all.push_back(model("MX-e", "afmoe")
                      .Body()
                      .Dense(p0 + "mlp.")
                      .Stacks(1, p1 + "mlp.experts.")
                      .Router(p1 + "mlp.router.gate.weight")
                      .Router(p1 + "mlp.expert_bias", {kExperts})
                      .Shared(1, p1 + "mlp.shared_experts."));

    all.push_back(model("MX-g", "gemma4")
                      .Body("language_model.model.")
                      .Dense(v0 + "mlp.")
                      .Stacks(0, v0 + "experts.switch_glu.")
                      .Router(v0 + "router.proj.weight")
                      .Router(v0 + "router.scale", {kHidden})
                      .Router(v0 + "router.per_expert_scale", {kExperts}));

    const Trio fc = {"", "fc1", "fc2"};
    const std::string n = "backbone.layers.1.mixer.";
    all.push_back(model("MX-fc", "nemotron_h")
                      .Plain("backbone.embeddings.weight", {kVocab, kHidden})
                      .Plain("backbone.layers.1.norm.weight", {kHidden})
                      .Stacks(1, n + "switch_mlp.", fc, ".weight", kWidth, kLatent)
                      .Not(n + "fc1_latent_proj.weight", {kLatent, kHidden})
                      .Not(n + "fc2_latent_proj.weight", {kHidden, kLatent})
                      .Router(n + "gate.weight")
                      .Shared(1, n + "shared_experts.", kUd));
    all.push_back(model("MX-fc", "phixtral")
                      .Plain("transformer.embd.wte.weight", {kVocab, kHidden})
                      .Plain("transformer.h.0.ln.weight", {kHidden})
                      .Stacks(0, "transformer.h.0.moe.switch_mlp.", fc)
                      .Plain("transformer.h.0.moe.switch_mlp.fc1.bias", {kExperts, kWidth})
                      .Plain("transformer.h.0.moe.switch_mlp.fc2.bias", {kExperts, kHidden})
                      .Router("transformer.h.0.moe.gate.weight"));

    for (const char* type : {"laguna", "hy_v4"}) {
      all.push_back(model("MX-f", type)
                        .Body()
                        .Fused(0, p0 + "mlp.switch_mlp.gate_up_proj.weight",
                               p0 + "mlp.switch_mlp.down_proj.weight")
                        .Router(p0 + "mlp.gate.proj.weight"));
    }
    all.push_back(model("MX-f", "diffusion_gemma")
                      .Body("language_model.model.")
                      .Dense(v0 + "mlp.")
                      .Fused(0, v0 + "experts.gate_up_proj.weight", v0 + "experts.down_proj.weight")
                      .Router(v0 + "router.proj.weight"));
    // The shared expert is row E of the stacks: one more than the router knows.
    const std::string s = v0 + "block_sparse_moe.switch_mlp.";
    Model m3 = model("MX-f", "minimax_m3_vl");
    m3.config_json = R"({"model_type":"minimax_m3_vl","text_config":{"hidden_size":12,)"
                     R"("intermediate_size":10,"num_local_experts":3,"n_shared_experts":1}})";
    m3.Body("language_model.model.")
        .Fused(0, s + "gate_up_proj.weight", s + "down_proj.weight", Order::kOutIn, Parts::kHalves,
               kWidth, kHidden, kExperts + 1)
        .Router(v0 + "block_sparse_moe.gate.weight")
        .Router(v0 + "block_sparse_moe.e_score_correction_bias", {kExperts});
    for (size_t bank = 0; bank < 3; ++bank) {
      WantBank last = m3.want[bank];
      last.offset += kExperts * last.expert_stride;
      last.experts = 1;
      last.shared = true;
      m3.want[bank].experts = kExperts;
      m3.want.push_back(std::move(last));
    }
    all.push_back(std::move(m3));

    // mlx-lm leaves DBRX unstacked, with w2 turned to [H, I].
    const std::string d = "transformer.blocks.0.ffn.";
    all.push_back(model("unstacked", "dbrx")
                      .Plain("transformer.wte.weight", {kVocab, kHidden})
                      .Plain("transformer.blocks.0.norm_attn_norm.norm_1.weight", {kHidden})
                      .PerExpert(0, d + "experts.", {"w1", "v1", "w2"})
                      .Router(d + "router.layer.weight"));
    return all;
  }();
  return cases;
}

/// GGUF names (checkpoints.md 8.4); shapes outermost first. `variant` is the architecture.
inline const std::vector<PresetCase>& GgufCases() {
  static const std::vector<PresetCase> cases = [] {
    std::vector<PresetCase> all;
    const Trio exps = {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"};
    const Trio shexp = {"ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"};
    const Trio dense = {"ffn_gate", "ffn_up", "ffn_down"};
    const auto model = [](const char* arch, const char* variant = "") {
      Model made("gguf", "", "");
      made.Variant(std::string(arch) + variant)
          .Plain("token_embd.weight", {kVocab, kHidden})
          .Plain("output_norm.weight", {kHidden})
          .Plain("output.weight", {kVocab, kHidden})
          .Plain("blk.0.attn_norm.weight", {kHidden})
          .Plain("blk.0.ffn_norm.weight", {kHidden})
          .Plain("blk.0.attn_q.weight", {16, kHidden})
          .Plain("blk.0.attn_output.weight", {kHidden, 16});
      made.gguf_arch = arch;
      return made;
    };
    for (const char* arch : {"llama", "qwen3moe", "olmoe", "dbrx", "grok", "phimoe", "granitemoe",
                             "jamba", "minimax-m2", "lfm2moe", "smallthinker"}) {
      all.push_back(model(arch).Stacks(0, "blk.0.", exps).Router("blk.0.ffn_gate_inp.weight"));
    }
    all.push_back(model("llama", "_before_2024")
                      .Router("blk.0.ffn_gate_inp.weight")
                      .Expert(0, "blk.0.", {"ffn_gate.0", "ffn_up.0", "ffn_down.0"}, 0)
                      .Expert(0, "blk.0.", {"ffn_gate.1", "ffn_up.1", "ffn_down.1"}, 1)
                      .Expert(0, "blk.0.", {"ffn_gate.2", "ffn_up.2", "ffn_down.2"}, 2));
    for (const char* arch : {"qwen2moe", "qwen3next", "qwen35moe"}) {
      all.push_back(model(arch)
                        .Stacks(0, "blk.0.", exps)
                        .Router("blk.0.ffn_gate_inp.weight")
                        .Shared(0, "blk.0.", shexp)
                        .Router("blk.0.ffn_gate_inp_shexp.weight", {kHidden}));
    }
    for (const char* arch : {"deepseek2", "glm4moe", "dots1", "bailingmoe2", "step35", "afmoe",
                             "exaone-moe", "mimo2", "hunyuan-moe", "ernie4_5-moe", "llama4"}) {
      all.push_back(model(arch)
                        .Dense("blk.0.", dense)
                        .Stacks(1, "blk.1.", exps)
                        .Router("blk.1.ffn_gate_inp.weight")
                        .Router("blk.1.exp_probs_b.bias", {kExperts})
                        .Shared(1, "blk.1.", shexp));
    }
    all.push_back(model("deepseek2", "_fused")
                      .Dense("blk.0.", dense)
                      .Fused(1, "blk.1.ffn_gate_up_exps.weight", "blk.1.ffn_down_exps.weight")
                      .Router("blk.1.ffn_gate_inp.weight")
                      .Shared(1, "blk.1.", shexp));
    all.push_back(model("gpt-oss")
                      .Stacks(0, "blk.0.", exps)
                      .Plain("blk.0.ffn_gate_exps.bias", {kExperts, kWidth})
                      .Plain("blk.0.ffn_up_exps.bias", {kExperts, kWidth})
                      .Plain("blk.0.ffn_down_exps.bias", {kExperts, kHidden})
                      .Router("blk.0.ffn_gate_inp.weight")
                      .Router("blk.0.ffn_gate_inp.bias", {kExperts}));
    all.push_back(model("gemma4")
                      .Dense("blk.0.", dense)
                      .Fused(0, "blk.0.ffn_gate_up_exps.weight", "blk.0.ffn_down_exps.weight")
                      .Plain("blk.0.ffn_down_exps.scale", {kExperts})
                      .Router("blk.0.ffn_gate_inp.weight")
                      .Plain("blk.0.ffn_gate_inp.scale", {kHidden}));
    all.push_back(model("arctic")
                      .Dense("blk.0.", dense)
                      .Stacks(0, "blk.0.", exps)
                      .Plain("blk.0.ffn_norm_exps.weight", {kHidden})
                      .Router("blk.0.ffn_gate_inp.weight"));
    all.push_back(model("grovemoe")
                      .Stacks(0, "blk.0.", exps)
                      .Stacks(0, "blk.0.", {"ffn_gate_chexps", "ffn_up_chexps", "ffn_down_chexps"},
                              ".weight", 6, kHidden, 2, true)
                      .Router("blk.0.ffn_gate_inp.weight"));
    all.push_back(
        model("nemotron_h_moe")
            .Not("blk.0.ffn_up.weight", {kDense, kHidden})
            .Not("blk.0.ffn_down.weight", {kHidden, kDense})
            .Stacks(1, "blk.1.", {"", "ffn_up_exps", "ffn_down_exps"}, ".weight", kWidth, kLatent)
            .Not("blk.1.ffn_latent_down.weight", {kLatent, kHidden})
            .Not("blk.1.ffn_latent_up.weight", {kHidden, kLatent})
            .Router("blk.1.ffn_gate_inp.weight")
            .Router("blk.1.exp_probs_b.bias", {kExperts})
            .Shared(1, "blk.1.", {"", "ffn_up_shexp", "ffn_down_shexp"}));
    return all;
  }();
  return cases;
}

}  // namespace moe::preset_cases
