#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "checkpoint/safetensors_writer.h"
#include "moescope/model.h"
#include "moescope/quantize.h"
#include "recipe/recipe.h"

namespace moe {

/// How modules are to be stored.
struct OutputChoice {
  /// One scheme for all that mlx_lm.convert quantizes: each module whose rows its groups divide,
  /// but for those that the model's own rule keeps in 8 bits or as floats.
  QuantScheme scheme;
  std::optional<Recipe> recipe = {};  ///< instead: its modules; others stay floats
};

/// A matrix of the source.
struct SourceMatrix {
  const ModelTensor* tensor = nullptr;
  MatrixView view;
};

/// A tensor of mlx-lm's model: what it becomes, and where its values come from.
struct OutputWeight {
  std::string name;                     ///< "model.layers.3.mlp.switch_mlp.down_proj.weight"
  std::vector<uint64_t> shape;          ///< unquantized
  DType dtype = DType::kOpaque;         ///< of its floats, or its scales and biases
  DType source_dtype = DType::kOpaque;  ///< that the source's values are meant in
  bool plus_one = false;                ///< 1 is added, in source_dtype
  StoredForm scheme = {};
  /// Of what is MXFP4 already, MLX's GPU encoder: it keeps the sign of zero, and so the codes.
  QuantProfile profile = QuantProfile::kMlxCpu;
  std::vector<SourceMatrix> parts = {};  ///< row-major, one after another, all of one shape
  size_t first_tensor = 0;  ///< of OutputPlan::tensors: itself; then scales and biases, if it has
  size_t tensors = 1;       ///< how many these are

  uint64_t part_rows() const { return parts.front().view.rows; }
  uint64_t cols() const { return parts.front().view.cols; }
  uint64_t elements() const { return parts.size() * part_rows() * cols(); }
};

/// An MLX checkpoint before any of its bytes is made.
struct OutputPlan {
  std::vector<OutputWeight> weights;  ///< in the order of their names, numbers counted as numbers
  std::vector<PlannedTensor> tensors;
  Json quantization;                ///< config.json's block
  uint64_t parameters = 0;          ///< as mlx_lm counts them
  uint64_t bytes = 0;               ///< of all tensors
  std::vector<std::string> notes;   ///< sentences: what is left out, stays float, was quantized
  std::vector<std::string> losses;  ///< what the source's own model has and mlx-lm's has not
};

/// What `model` becomes. kUnsupported: mlx-lm has no model for it, or tensors that can't be read;
/// kMalformed: experts are missing; kBadArgument: the recipe is of another model.
Result<OutputPlan> PlanOutput(const Model& model, const OutputChoice& choice);

}  // namespace moe
