#include "experts/mlx_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "experts/config_numbers.h"
#include "experts/families.h"
#include "experts/roles.h"

namespace moe {

/// How mlx-lm's model of a family differs from the checkpoint.
struct MlxFamily {
  /// What becomes of the router's matrix: as any other, in 8 bits by the model's own predicate, or
  /// it is no module that can be quantized.
  enum class Router { kPlain, kEightBits, kRaw };

  std::string_view name;  ///< of the row in families.cc
  std::string_view experts = "mlp.switch_mlp";
  Router router = Router::kPlain;
  std::string_view router_module = "mlp.gate";
  /// Whether mlx-lm has the text model below a module "language_model".
  enum class Wrapped { kNever, kAlways, kIfNested } wrapped = Wrapped::kNever;
  bool latent = false;  ///< kv_b_proj becomes embed_q and unembed_out
  std::string_view layers = "model.layers";
  std::array<std::string_view, 3> projs = {kGateProj, kUpProj, kDownProj};
};

namespace {

using enum MlxFamily::Router;
using Wrapped = MlxFamily::Wrapped;

constexpr std::string_view kSparse = "block_sparse_moe.switch_mlp";

// A family is here when its modules were compared with mlx-lm's own (tests/data/mlx_modules).
constexpr MlxFamily kFamilies[] = {
    {.name = "mixtral", .experts = kSparse},
    {.name = "qwen2_moe"},
    {.name = "qwen3_moe", .router = kEightBits},
    {.name = "qwen3_next", .router = kEightBits},
    {.name = "qwen3_5_moe", .router = kEightBits, .wrapped = Wrapped::kAlways},
    {.name = "deepseek_v3", .router = kRaw, .latent = true},
    {.name = "deepseek_v32", .router = kRaw, .latent = true},
    {.name = "kimi_k2", .router = kRaw, .latent = true},
    {.name = "glm4_moe_lite", .router = kRaw, .latent = true},
    {.name = "glm4_moe", .router = kRaw},
    {.name = "gpt_oss",
     .experts = "mlp.experts",
     .router = kEightBits,
     .router_module = "mlp.router"},
    {.name = "olmoe"},
    {.name = "phimoe", .experts = kSparse},
    {.name = "minimax_m2",
     .experts = kSparse,
     .router = kEightBits,
     .router_module = "block_sparse_moe.gate"},
    {.name = "granitemoe",
     .experts = kSparse,
     .router = kEightBits,
     .router_module = "block_sparse_moe.router.layer"},
    {.name = "jamba",
     .experts = "feed_forward.switch_mlp",
     .router = kEightBits,
     .router_module = "feed_forward.router"},
    {.name = "ernie4_5_moe"},
    {.name = "gemma4",
     .experts = "experts.switch_glu",
     .router = kEightBits,
     .router_module = "router.proj",
     .wrapped = Wrapped::kIfNested},
    {.name = "nemotron_h",
     .experts = "mixer.switch_mlp",
     .router = kRaw,
     .router_module = "mixer.gate",
     .layers = "backbone.layers",
     .projs = {"", "fc1", "fc2"}},
};

/// The gate of a shared expert goes with the router (Qwen).
constexpr std::string_view kSharedGate = "shared_expert_gate";

constexpr std::string_view kWeight = ".weight";

bool EndsWithModule(std::string_view path, std::string_view module) {
  return path.ends_with(module) &&
         (path.size() == module.size() || path[path.size() - module.size() - 1] == '.');
}

/// The path in MLX's model of a module of the checkpoint.
std::string PathOf(std::string_view module, std::string_view wrapper) {
  constexpr std::string_view kTextModel = "model.language_model.";
  if (wrapper.empty() || module.starts_with(wrapper)) return std::string(module);
  if (!module.starts_with(kTextModel)) return fmt::format("{}{}", wrapper, module);
  return fmt::format("{}model.{}", wrapper, module.substr(kTextModel.size()));
}

/// The number behind "layers" in a module's path.
std::optional<int64_t> LayerIn(std::string_view path) {
  const auto parts = NameComponents(path);
  for (size_t i = 1; i < parts.size(); ++i) {
    if (parts[i - 1] == "layers") return IntegerIn(parts[i]);
  }
  return std::nullopt;
}

}  // namespace

MlxFacts MlxFactsOf(const Json& config) {
  const Json& text = config.contains("text_config") ? config["text_config"] : config;
  constexpr const char* kTied = "tie_word_embeddings";
  return {.layers = WholeNumber(text["num_hidden_layers"]),
          .heads = WholeNumber(text["num_attention_heads"]),
          .nope_dim = WholeNumber(text["qk_nope_head_dim"]),
          .value_dim = WholeNumber(text["v_head_dim"]),
          .kv_shared = WholeNumber(text["num_kv_shared_layers"]),
          .nested = config.contains("text_config"),
          .tied = (text.contains(kTied) ? text : config)[kTied].get<bool>()};
}

MlxNames::MlxNames(const MlxFamily& family, const MlxFacts& facts)
    : family_(&family), facts_(facts) {
  const bool wrapped =
      family.wrapped == Wrapped::kAlways || (family.wrapped == Wrapped::kIfNested && facts.nested);
  if (wrapped) wrapper_ = "language_model.";
}

Result<MlxNames> MlxNames::Of(std::string_view family, const MlxFacts& facts) {
  const auto* row = std::ranges::find(kFamilies, family, &MlxFamily::name);
  if (row != std::end(kFamilies)) return MlxNames(*row, facts);
  std::vector<std::string_view> known;
  for (const MlxFamily& other : kFamilies) known.push_back(other.name);
  return Fail(ErrorCode::kUnsupported,
              family.empty() ? "a model of no known family" : fmt::format("family {}", family),
              "what mlx-lm calls its modules is not known",
              fmt::format("known: {}", fmt::join(known, ", ")));
}

std::string MlxNames::Experts(int64_t layer, std::string_view proj) const {
  constexpr std::array<std::string_view, 3> kProjs = {kGateProj, kUpProj, kDownProj};
  const auto* at = std::ranges::find(kProjs, proj);
  const std::string_view word = at == kProjs.end() ? proj : family_->projs[at - kProjs.begin()];
  return fmt::format("{}{}.{}.{}.{}", wrapper_, family_->layers, layer, family_->experts, word);
}

bool MlxNames::IsDropped(std::string_view path) const {
  constexpr std::string_view kNeverRead[] = {"mtp.",
                                             "model.visual.",
                                             "vision_tower.",
                                             "model.vision",
                                             "model.audio_tower.",
                                             "model.embed_vision.",
                                             "model.embed_audio.",
                                             "model.multi_modal_projector."};
  const std::string_view below = path.starts_with(wrapper_) ? path.substr(wrapper_.size()) : path;
  if (std::ranges::any_of(kNeverRead, [&](auto head) { return below.starts_with(head); }))
    return true;
  if (below == "lm_head" && facts_.tied) return true;
  const auto layer = LayerIn(path);
  if (!layer || !facts_.layers) return false;
  const bool of_kv =
      EndsWithModule(path, "self_attn.k_proj") || EndsWithModule(path, "self_attn.v_proj");
  const uint64_t without = of_kv ? facts_.kv_shared.value_or(0) : 0;
  return static_cast<uint64_t>(*layer) + without >= *facts_.layers;
}

std::vector<MlxModule> MlxNames::Modules(std::string_view name,
                                         std::span<const uint64_t> shape) const {
  if (!name.ends_with(kWeight)) return {};
  const std::string path = PathOf(name.substr(0, name.size() - kWeight.size()), wrapper_);
  if (IsDropped(path)) return {};
  const bool split = EndsWithModule(path, "embed_q") || EndsWithModule(path, "unembed_out");
  if (shape.size() != (family_->latent && split ? 3 : 2)) return {};
  MlxModule module = {path, {shape.begin(), shape.end()}};
  if (EndsWithModule(path, family_->router_module) || EndsWithModule(path, kSharedGate)) {
    if (family_->router == kRaw) return {};
    module.eight_bits = family_->router == kEightBits;
  }
  const uint64_t heads = facts_.heads.value_or(0), nope = facts_.nope_dim.value_or(0),
                 value = facts_.value_dim.value_or(0);
  if (family_->latent && EndsWithModule(path, "kv_b_proj") && heads > 0 &&
      shape[0] == heads * (nope + value)) {
    const std::string attention = path.substr(0, path.rfind('.') + 1);
    return {{attention + "embed_q", {heads, shape[1], nope}},
            {attention + "unembed_out", {heads, value, shape[1]}}};
  }
  return {std::move(module)};
}

std::string CheckpointModule(std::string_view name, bool of_one_expert) {
  if (name.ends_with(kWeight)) name.remove_suffix(kWeight.size());
  auto parts = NameComponents(name);
  const auto is_number = [](std::string_view part) { return IntegerIn(part).has_value(); };
  const auto last = std::find_if(parts.rbegin(), parts.rend(), is_number);
  if (of_one_expert && last != parts.rend()) *last = "*";
  return fmt::format("{}", fmt::join(parts, "."));
}

}  // namespace moe
