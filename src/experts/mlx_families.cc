#include "experts/mlx_families.h"

namespace moe {
namespace {

using What = MlxEdit::What;
using Source = MlxFamily::Source;
using Head = MlxFamily::Head;
using Wrapped = MlxFamily::Wrapped;

constexpr std::string_view kSparse = "block_sparse_moe.switch_mlp";
constexpr std::string_view kMtp = "for multi-token prediction, which mlx-lm's model hasn't";
constexpr std::string_view kTower = "of images or sound, which mlx-lm's model hasn't";

constexpr MlxEdit kKeepCorrection = {"e_score_correction_bias", What::kKeepType};
constexpr MlxEdit kKeepExpertBias = {"expert_bias", What::kKeepType};
constexpr MlxEdit kKeepALog = {"A_log", What::kKeepType};

// RMS norms of Qwen3-Next and later are stored less one.
std::vector<MlxEdit> NormsPlusOne(std::vector<MlxEdit> edits) {
  for (const std::string_view norm : {"input_layernorm.weight", "post_attention_layernorm.weight",
                                      "model.norm.weight", "q_norm.weight", "k_norm.weight"}) {
    edits.push_back({norm, What::kPlusOne});
  }
  return edits;
}

MlxFamily Latent(MlxFamily family) {
  family.raw_router = "mlp.gate";
  family.edits.push_back(kKeepCorrection);
  family.head = Head::kAlways;
  family.latent = true;
  return family;
}

// A family is here when its tensors were compared with mlx-lm's own (tests/data/mlx_modules).
std::vector<MlxFamily> Families() {
  return {
      {.name = "mixtral",
       .experts = kSparse,
       .edits = {{"mlp.gate.", What::kRename, "block_sparse_moe.gate."}},  // of transformers 5
       .experts_in_all_layers = true},
      {.name = "qwen2_moe",
       .experts_in_all_layers = true,
       .head = Head::kAlways,
       .same_in_gguf = true},
      {.name = "qwen3_moe", .eight_bits = {"mlp.gate"}, .same_in_gguf = true},
      {.name = "qwen3_next",
       .eight_bits = {"mlp.gate", "shared_expert_gate"},
       .edits = NormsPlusOne({})},
      {.name = "qwen3_5_moe",
       .eight_bits = {"mlp.gate", "shared_expert_gate"},
       .edits = NormsPlusOne({kKeepALog}),
       .source = Source::kOutIn,
       .experts_in_all_layers = true,
       .wrapped = Wrapped::kAlways},
      Latent({.name = "deepseek_v3", .storages = {"fp8_block128", "int4_g32"}}),
      Latent({.name = "deepseek_v32",
              .model_types = {"deepseek_v32", "glm_moe_dsa"},
              .storages = {"fp8_block128"}}),
      Latent({.name = "kimi_k2", .storages = {"fp8_block128", "int4_g32"}}),
      Latent({.name = "kimi_k25",
              .storages = {"fp8_block128", "int4_g32"},
              .wrapped = Wrapped::kAlways}),
      Latent({.name = "glm4_moe_lite"}),
      {.name = "glm4_moe",
       .raw_router = "mlp.gate",
       .edits = {kKeepCorrection},
       .head = Head::kAlways},
      {.name = "solar_open",
       .raw_router = "mlp.gate",
       .edits = {kKeepCorrection},
       .head = Head::kAlways},
      {.name = "deepseek", .raw_router = "mlp.gate", .head = Head::kAlways},
      {.name = "deepseek_v2", .raw_router = "mlp.gate", .head = Head::kAlways},
      {.name = "dots1", .experts = "mlp.experts", .raw_router = "mlp.gate"},
      {.name = "exaone_moe",
       .raw_router = "mlp.gate",
       .edits = {kKeepCorrection,
                 {"mlp.e_score_correction_bias", What::kRename,
                  "mlp.gate.e_score_correction_bias"}}},
      {.name = "afmoe",
       .experts = "mlp.experts",
       .eight_bits = {"router.gate"},
       .edits = {kKeepExpertBias}},
      {.name = "mimo_v2_flash",
       .raw_router = "mlp.gate",
       .edits = {kKeepCorrection},
       .storages = {"fp8_block128"},
       .head = Head::kAlways},
      {.name = "gpt_oss",
       .experts = "mlp.experts",
       .eight_bits = {"router"},
       .edits = {{"experts.gate_up_proj_bias", What::kEvenOdd,
                  "experts.gate_proj.bias experts.up_proj.bias"},
                 {"experts.down_proj_bias", What::kRename, "experts.down_proj.bias"}},
       .source = Source::kBlocks,
       .storages = {"mxfp4"},
       .keeps_mxfp4 = true,
       .experts_in_all_layers = true,
       .head = Head::kAlways},
      {.name = "olmoe",
       .experts_in_all_layers = true,
       .head = Head::kUntiedIfTold,
       .same_in_gguf = true},
      {.name = "phimoe", .experts = kSparse, .experts_in_all_layers = true, .head = Head::kAlways},
      {.name = "minimax_m2",
       .experts = kSparse,
       .eight_bits = {"block_sparse_moe.gate"},
       .edits = {kKeepCorrection},
       .storages = {"fp8_block128"},
       .experts_in_all_layers = true},
      {.name = "granitemoe",
       .experts = kSparse,
       .eight_bits = {"block_sparse_moe.router.layer", "self_attn.o_proj", "mlp.down_proj",
                      "lm_head"},
       .source = Source::kOutIn,
       .experts_in_all_layers = true,
       .head = Head::kUntiedIfTold},
      {.name = "granitemoehybrid",
       .experts = kSparse,
       .eight_bits = {"router.layer"},
       .source = Source::kOutIn,
       .experts_in_all_layers = true,
       .head = Head::kUntiedIfTold},
      {.name = "jamba",
       .experts = "feed_forward.switch_mlp",
       .eight_bits = {"router"},
       .head = Head::kUntiedIfTold},
      {.name = "ernie4_5_moe",
       .edits = {{"e_score_correction_bias", What::kLose,
                  "mlx-lm's model chooses experts without this correction"},
                 {"mtp_block.", What::kDrop, kMtp},
                 {"mtp_linear_proj.", What::kDrop, kMtp},
                 {"mtp_hidden_norm.", What::kDrop, kMtp},
                 {"mtp_emb_norm.", What::kDrop, kMtp}}},
      {.name = "gemma4",
       .model_types = {"gemma4", "gemma4_text"},
       .experts = "experts.switch_glu",
       .eight_bits = {"router.proj"},
       .edits = {{"input_min", What::kDrop, "a range for activations, which mlx-lm doesn't use"},
                 {"input_max", What::kDrop, "a range for activations, which mlx-lm doesn't use"},
                 {"output_min", What::kDrop, "a range for activations, which mlx-lm doesn't use"},
                 {"output_max", What::kDrop, "a range for activations, which mlx-lm doesn't use"}},
       .source = Source::kOutIn,
       .experts_in_all_layers = true,
       .head = Head::kUntiedIfTold,
       .wrapped = Wrapped::kIfNested},
      {.name = "nemotron_h",
       .experts = "mixer.switch_mlp",
       .raw_router = "mixer.gate",
       .edits = {kKeepCorrection,
                 kKeepALog,
                 // Of transformers 5.
                 {"model.layers.", What::kRename, "backbone.layers."},
                 {"model.embeddings.", What::kRename, "backbone.embeddings."},
                 {"model.norm_f.", What::kRename, "backbone.norm_f."}},
       .head = Head::kAlways,
       .layers = "backbone.layers",
       .projs = {"", "fc1", "fc2"}},
      {.name = "llama4",
       .experts = "feed_forward.experts",
       .source = Source::kInOut,
       .head = Head::kAlways,
       .wrapped = Wrapped::kAlways},
      {.name = "qwen3_vl_moe",
       .eight_bits = {"mlp.gate"},
       .source = Source::kInOut,
       .wrapped = Wrapped::kAlways},
      {.name = "lfm2_moe",
       .experts = "feed_forward.switch_mlp",
       .eight_bits = {"feed_forward.gate"},
       .edits = {kKeepExpertBias,
                 {"feed_forward.w1.", What::kRename, "feed_forward.gate_proj."},
                 {"feed_forward.w3.", What::kRename, "feed_forward.up_proj."},
                 {"feed_forward.w2.", What::kRename, "feed_forward.down_proj."}},
       .head = Head::kNever},
      {.name = "bailing_moe",
       .eight_bits = {"mlp.gate.gate_proj"},
       .edits = {kKeepExpertBias,
                 {"mlp.gate.weight", What::kRename, "mlp.gate.gate_proj.weight"},
                 {"mlp.gate.bias", What::kRename, "mlp.gate.gate_proj.bias"}},
       .norms_head = true},
  };
}

}  // namespace

const std::vector<MlxFamily>& MlxFamilies() {
  static const std::vector<MlxFamily> families = Families();
  return families;
}

std::span<const GgufName> GgufNames() {
  static constexpr GgufName kNames[] = {
      {"token_embd", "model.embed_tokens", false},
      {"output_norm", "model.norm", false},
      {"output", "lm_head", false},
      {"attn_norm", "input_layernorm"},
      {"attn_q", "self_attn.q_proj"},
      {"attn_k", "self_attn.k_proj"},
      {"attn_v", "self_attn.v_proj"},
      {"attn_output", "self_attn.o_proj"},
      {"attn_q_norm", "self_attn.q_norm"},
      {"attn_k_norm", "self_attn.k_norm"},
      {"ffn_norm", "post_attention_layernorm"},
      {"ffn_gate_inp", "mlp.gate"},
      {"ffn_gate_inp_shexp", "mlp.shared_expert_gate"},
      {"ffn_gate_shexp", "mlp.shared_expert.gate_proj"},
      {"ffn_up_shexp", "mlp.shared_expert.up_proj"},
      {"ffn_down_shexp", "mlp.shared_expert.down_proj"},
      {"ffn_gate", "mlp.gate_proj"},
      {"ffn_up", "mlp.up_proj"},
      {"ffn_down", "mlp.down_proj"},
  };
  return kNames;
}

const std::vector<MlxEdit>& MlxEditsOfAll() {
  static const std::vector<MlxEdit> edits = {
      {"mtp.", What::kDrop, kMtp},
      {"rotary_emb.", What::kDrop, "computed from config.json"},
      {"visual.", What::kDrop, kTower},
      {"vision_tower.", What::kDrop, kTower},
      {"vision_model.", What::kDrop, kTower},
      {"vision_embedder.", What::kDrop, kTower},
      {"audio_tower.", What::kDrop, kTower},
      {"embed_vision.", What::kDrop, kTower},
      {"embed_audio.", What::kDrop, kTower},
      {"multi_modal_projector.", What::kDrop, kTower},
      {"mm_projector.", What::kDrop, kTower},
  };
  return edits;
}

}  // namespace moe
