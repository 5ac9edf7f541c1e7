#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "experts/families.h"

namespace moe {

/// What mlx-lm's model of a family does with the tensors whose names have `part` (at their start or
/// behind a dot).
struct MlxEdit {
  enum class What {
    kDrop,      ///< mlx-lm's model has no such part, and gives the same without it
    kLose,      ///< the checkpoint's own model uses it, mlx-lm's does not
    kRename,    ///< `part` becomes `text`
    kPlusOne,   ///< a vector, to which 1 is added in its own dtype
    kKeepType,  ///< its floats are not cast to the model's dtype
    kEvenOdd,   ///< `part` becomes two, named in `text`: every other element of the last axis
  };
  std::string_view part;
  What what = What::kDrop;
  std::string_view text = "";  ///< kDrop, kLose: why
};

/// How mlx-lm's model of a family differs from the checkpoint. All that differs between families is
/// here.
struct MlxFamily {
  std::string_view name;  ///< of the row in families.cc
  /// config.json's model_type, of those that mlx-lm has a model for; none: `name`.
  std::vector<std::string_view> model_types = {};
  std::string_view experts = "mlp.switch_mlp";
  /// Ends of paths that the model's own rule keeps in affine, 8 bits, groups of 64.
  std::vector<std::string_view> eight_bits = {};
  std::string_view raw_router = "";  ///< a matrix, but no module that can be quantized
  std::vector<MlxEdit> edits = {};
  /// How the checkpoints' experts lie that mlx-lm reads, beside those under its own names.
  enum class Source { kPerExpert, kOutIn, kInOut, kBlocks } source = Source::kPerExpert;
  /// Storages (docs/formats.md) that mlx-lm reads under the checkpoint's names, beside floats.
  std::vector<std::string_view> storages = {};
  bool keeps_mxfp4 = false;  ///< experts that are MXFP4 stay so, whatever a predicate says
  bool experts_in_all_layers = false;
  /// Whether there is an lm_head beside the embedding.
  enum class Head { kUnlessTied, kUntiedIfTold, kAlways, kNever } head = Head::kUnlessTied;
  /// Whether mlx-lm has the text model below a module "language_model".
  enum class Wrapped { kNever, kAlways, kIfNested } wrapped = Wrapped::kNever;
  bool same_in_gguf = false;  ///< llama.cpp has the same values, as GgufNames() calls them
  bool latent = false;        ///< kv_b_proj becomes embed_q and unembed_out
  bool norms_head = false;    ///< where the config has norm_head, lm_head is divided at every load
  std::string_view layers = "model.layers";
  std::array<std::string_view, 3> projs = {kGateProj, kUpProj, kDownProj};
};

/// The families whose tensors in mlx-lm 0.32.2 are known.
const std::vector<MlxFamily>& MlxFamilies();

/// What llama.cpp calls a module of Hugging Face's: alone, or below "blk.L." and "model.layers.L.".
struct GgufName {
  std::string_view gguf, hf;
  bool in_layer = true;
};
/// Of the families that are the same in GGUF.
std::span<const GgufName> GgufNames();

/// Edits that hold for all of them: parts that no model of mlx-lm has.
const std::vector<MlxEdit>& MlxEditsOfAll();

}  // namespace moe
