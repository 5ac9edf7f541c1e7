#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_text.h"
#include "moescope/dtype.h"
#include "moescope/error.h"
#include "moescope/experts.h"
#include "moescope/matrix_view.h"

namespace moe {

/// What mlx-lm's own rule does with a tensor when it quantizes a model.
enum class MlxRule {
  kFloat,      ///< nothing: of no module that can be quantized
  kDefault,    ///< as it is asked to
  kEightBits,  ///< affine, 8 bits, groups of 64: routers, and what single families add
};

/// A tensor of mlx-lm's model.
struct MlxTensor {
  std::string name;             ///< "model.layers.3.self_attn.q_proj.weight"
  std::vector<uint64_t> shape;  ///< unquantized
  DType dtype = DType::kOpaque;
  MlxRule rule = MlxRule::kFloat;
  /// 1 is added to the values in the checkpoint's dtype, before they are cast to `dtype`.
  bool plus_one = false;
  /// Its values, row-major: matrices of the checkpoint's tensor (as decoded), one after another.
  std::vector<MatrixView> parts = {};
};

/// The module that has a tensor of mlx-lm's model as its weight: without ".weight".
std::string MlxModuleOf(std::string_view name);

/// What becomes of a tensor of the checkpoint.
struct MlxFate {
  std::vector<MlxTensor> tensors = {};  ///< usually one
  std::string dropped = {};             ///< why there are none
  std::string refused = {};             ///< why mlx-lm's model can't have it, though it is needed
  bool is_loss = false;  ///< dropped, and the checkpoint's own model gives other results with it
};

/// What of a config.json tells which tensors there are.
struct MlxFacts {
  std::string model_type = {};          ///< of the whole config; "": not known
  std::optional<uint64_t> layers = {};  ///< num_hidden_layers
  std::optional<uint64_t> heads = {}, nope_dim = {},
                          value_dim = {};  ///< of attention with a latent (MLA)
  std::optional<uint64_t> kv_shared = {};  ///< the last layers, which have no keys and values
  bool nested = false;              ///< text_config: the text model is a part of a larger one
  bool norm_head = false;           ///< the output head has columns of length 1
  std::optional<bool> tied = {};    ///< tie_word_embeddings: there is no lm_head
  std::optional<DType> dtype = {};  ///< that mlx-lm casts floats to; nullopt: each keeps its own
};
MlxFacts MlxFactsOf(const Json& config);

struct MlxEdit;    // mlx_families.h
struct MlxFamily;  // mlx_families.h

/// What mlx-lm 0.32.2 makes of the tensors of a checkpoint, after its model's sanitize().
class MlxNames {
 public:
  /// For a family of docs/architectures.md. kUnsupported: its tensors are not known (the hint lists
  /// those that are), or mlx-lm has no model of that type.
  static Result<MlxNames> Of(std::string_view family, const MlxFacts& facts);

  /// The module that holds all routed experts of a layer and projection ("gate_proj", "up_proj",
  /// "down_proj"). Its weight is [experts, out, in].
  std::string Experts(int64_t layer, std::string_view proj) const;

  /// Routed experts that are stored as MXFP4 stay so, whatever a predicate says.
  bool KeepsMxfp4() const;

  /// Its rule for a module that can be quantized.
  MlxRule RuleFor(std::string_view path) const;

  /// The dtype in mlx-lm's model of a tensor with that dtype in the checkpoint, decoded.
  DType DTypeOf(std::string_view path, DType dtype) const;

  /// What becomes of a tensor that holds no routed experts' matrices: name as in the checkpoint
  /// (with ".weight"), shape and dtype as decoded. `is_mlx`: the checkpoint has MLX's names already
  /// (IsMlxForm() of its experts).
  MlxFate FateOf(std::string_view name, std::span<const uint64_t> shape, DType dtype,
                 bool is_mlx) const;

  /// FateOf() knows llama.cpp's names, and its files have the checkpoint's own values.
  bool ReadsGguf() const;

  /// A tensor of routed experts is called as in mlx-lm's model.
  bool IsMlxForm(std::string_view name) const;

  /// Why mlx-lm can't load a checkpoint that has a weight of that name stored so (Weight::storage;
  /// "": floats), and, where it holds routed experts, they lie so; "": it can, as far as that
  /// tells. Names of MLX's are not asked.
  std::string WhyNotLoaded(std::string_view name, const ExpertBank* experts,
                           std::string_view storage) const;

  /// kUnsupported: mlx-lm has no model for experts in these layers alone.
  Result<void> CheckLayers(const std::set<int64_t>& with_experts) const;

 private:
  MlxNames(const MlxFamily& family, const MlxFacts& facts);
  bool HasHead() const;
  const MlxEdit* DropOf(std::string_view path) const;  ///< why it is dropped; nullptr: it is not
  std::vector<MlxTensor> Latent(std::string_view path, std::span<const uint64_t> shape) const;
  std::vector<MlxTensor> EvenOdd(std::string_view path, std::span<const uint64_t> shape) const;
  MlxTensor Whole(std::string path, std::span<const uint64_t> shape, bool is_mlx) const;
  bool IsModule(const MlxTensor& tensor) const;

  const MlxFamily* family_;
  MlxFacts facts_;
  std::string_view wrapper_;  ///< what stands before the text model's paths
};

/// The module of a weight in the checkpoint: without ".weight". Of one expert of many, "*" for its
/// number: "model.layers.3.mlp.experts.*.down_proj".
std::string CheckpointModule(std::string_view name, bool of_one_expert);

}  // namespace moe
