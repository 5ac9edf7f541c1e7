#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experts/mlx_names.h"
#include "moescope/error.h"
#include "moescope/matrix_view.h"
#include "moescope/model.h"

namespace moe {

/// A checkpoint as mlx-lm has it after its model's sanitize() and, before anything is quantized,
/// convert()'s cast to the model's dtype. A view into its Model, which must outlive it.
struct MlxPlan {
  /// A matrix of the checkpoint.
  struct Part {
    const ModelTensor* source = nullptr;
    MatrixView view;  ///< in source->weight, decoded
  };
  struct Tensor {
    std::string name;             ///< "model.layers.3.mlp.switch_mlp.up_proj.weight"
    std::vector<uint64_t> shape;  ///< unquantized
    DType dtype = DType::kOpaque;
    MlxRule rule = MlxRule::kFloat;
    bool routed_experts = false;   ///< [experts, out, in]: a part is an expert's matrix
    bool keeps_mxfp4 = false;      ///< experts that mlx-lm leaves in their codes
    bool plus_one = false;         ///< 1 is added in the source's dtype, before the cast
    std::vector<Part> parts = {};  ///< its values, row-major, one after another

    std::string module() const;  ///< without ".weight"
    uint64_t elements() const;
    uint64_t float_bytes() const;  ///< as it is, unquantized
  };
  struct Dropped {
    const ModelTensor* source = nullptr;
    std::string why;
    bool is_loss = false;  ///< the checkpoint's own model gives other results with it
  };

  std::vector<Tensor> tensors;  ///< by name
  std::vector<Dropped> dropped;
  /// Why mlx-lm can't load the checkpoint as it is, though what this plan makes of it loads; "": it
  /// can, as far as names and storages tell.
  std::string why_not_loaded;
};

/// kUnsupported: the family's tensors are not known, mlx-lm has no model for such layers or
/// weights, an expert is missing, or a weight can't be decoded.
Result<MlxPlan> PlanForMlx(const Model& model);

}  // namespace moe
