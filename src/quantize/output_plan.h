#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "checkpoint/safetensors_writer.h"
#include "measure/quantizer.h"
#include "model/mlx_plan.h"
#include "moescope/model.h"
#include "moescope/quantize.h"
#include "recipe/recipe.h"

namespace moe {

/// How modules are to be stored.
struct OutputChoice {
  /// One scheme for all that mlx_lm.convert quantizes: each module whose rows its groups divide,
  /// but for those that the model's own rule keeps in 8 bits or as floats.
  QuantScheme scheme;
  /// Scales and biases with less error than MLX's own (SearchGroups()).
  bool search = false;
  std::optional<Recipe> recipe = {};  ///< instead: its modules; others stay floats
};

/// A tensor of mlx-lm's model, and what it becomes.
struct OutputWeight {
  MlxPlan::Tensor made;                 ///< unquantized; its parts are all of one shape
  DType source_dtype = DType::kOpaque;  ///< that the source's values are meant in
  StoredForm scheme = {};
  /// Of what is MXFP4 already, MLX's GPU encoder: it keeps the sign of zero, and so the codes.
  QuantProfile profile = QuantProfile::kMlxCpu;
  size_t first_tensor = 0;  ///< of OutputPlan::tensors: itself; then scales and biases, if it has
  size_t tensors = 1;       ///< how many these are

  const std::string& name() const { return made.name; }
  uint64_t part_rows() const { return made.parts.front().view.rows; }
  uint64_t rows() const { return made.parts.size() * part_rows(); }
  uint64_t cols() const { return made.parts.front().view.cols; }
};

/// What encodes a weight that has a scheme. kBadArgument: it takes no rows like these.
Result<Quantizer> QuantizerOf(const OutputWeight& weight);

/// An MLX checkpoint before any of its bytes is made.
struct OutputPlan {
  std::vector<OutputWeight> weights;  ///< in the order of their names, numbers counted as numbers
  std::vector<PlannedTensor> tensors;
  std::string fingerprint;          ///< of the source
  bool search = false;              ///< OutputChoice::search
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
