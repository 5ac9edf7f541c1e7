#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_text.h"
#include "moescope/error.h"

namespace moe {

/// A module of mlx-lm's model that it can quantize.
struct MlxModule {
  std::string path;             ///< "model.layers.3.self_attn.q_proj"
  std::vector<uint64_t> shape;  ///< of its weight
  /// mlx-lm's own rule stores it in affine, 8 bits, groups of 64: a router.
  bool eight_bits = false;
};

/// What of a config.json tells which modules there are.
struct MlxFacts {
  std::optional<uint64_t> layers = {};  ///< num_hidden_layers
  std::optional<uint64_t> heads = {}, nope_dim = {},
                          value_dim = {};  ///< of attention with a latent (MLA)
  std::optional<uint64_t> kv_shared = {};  ///< the last layers, which have no keys and values
  bool nested = false;  ///< text_config: the text model is a part of a larger one
  bool tied = false;    ///< tie_word_embeddings: there is no lm_head
};
MlxFacts MlxFactsOf(const Json& config);

struct MlxFamily;  // a row of the table

/// What mlx-lm 0.32 calls the weights of a checkpoint, after its model's sanitize().
class MlxNames {
 public:
  /// For a family of docs/architectures.md. kUnsupported: its names are not known; the hint lists
  /// those that are.
  static Result<MlxNames> Of(std::string_view family, const MlxFacts& facts);

  /// The module that holds all routed experts of a layer and projection ("gate_proj", "up_proj",
  /// "down_proj"). Its weight is [experts, out, in].
  std::string Experts(int64_t layer, std::string_view proj) const;

  /// The modules that another weight becomes, usually one: `name` as in the checkpoint, with
  /// ".weight". None: it is no matrix, or mlx-lm doesn't quantize it (norms, convolutions, the
  /// routers of some families) or drops it (layers beyond the last, a tied head).
  std::vector<MlxModule> Modules(std::string_view name, std::span<const uint64_t> shape) const;

 private:
  MlxNames(const MlxFamily& family, const MlxFacts& facts);
  bool IsDropped(std::string_view path) const;

  const MlxFamily* family_;
  MlxFacts facts_;
  std::string_view wrapper_;  ///< what stands before the text model's paths
};

/// The module of a weight in the checkpoint: without ".weight". Of one expert of many, "*" for its
/// number: "model.layers.3.mlp.experts.*.down_proj".
std::string CheckpointModule(std::string_view name, bool of_one_expert);

}  // namespace moe
