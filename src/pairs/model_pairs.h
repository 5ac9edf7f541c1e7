#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json_text.h"
#include "moescope/model.h"
#include "pairs/weight_key.h"

namespace moe {

/// A weight that both checkpoints have; views of one shape.
struct WeightPair {
  WeightItem a, b;
};

/// A weight or tensor that has no partner, and why.
struct Unpaired {
  std::string name;  ///< as its checkpoint calls it
  std::string reason;
  bool matrix = false;  ///< of an expert, or another one that runtimes quantize
  const ModelTensor* tensor = nullptr;
};

/// The weights of two checkpoints, paired by what they are to the model: whatever they are called
/// (HF, MLX, llama.cpp) and however stored. MLA's kv_b_proj and its two halves by head, as MLX and
/// llama.cpp keep them (embed_q or attn_k_b, unembed_out or attn_v_b), are paired head by head.
///
/// Memory: some hundred bytes a matrix.
struct ModelPairs {
  std::vector<WeightPair> pairs;             ///< in the order of a's tensors
  std::vector<Unpaired> only_a, only_b;      ///< in the order of their tensors
  std::vector<Unpaired> unread_a, unread_b;  ///< what can't be decoded or is not known
  std::vector<WeightPair> misshapen;         ///< of different shapes

  uint64_t matrices() const;  ///< of the pairs, those that runtimes quantize
  bool complete() const;      ///< every matrix of both has its partner, and can be decoded
};

/// A list of {tensor, reason, matrix}.
Json UnpairedJson(const std::vector<Unpaired>& list);

/// Both outlive the result.
ModelPairs PairModels(const Model& a, const Model& b);

}  // namespace moe
