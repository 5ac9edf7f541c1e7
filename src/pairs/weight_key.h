#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "moescope/model.h"

namespace moe {

/// What a weight is to its model, whatever checkpoint calls it.
struct WeightKey {
  enum class Kind {
    kRouted,  ///< a matrix of a routed expert
    kShared,  ///< of a shared one
    kMatrix,  ///< another matrix that runtimes quantize
    kOther    ///< norms, biases, convolutions, towers: all that stays a float; an expert's bias too
  } kind = Kind::kOther;
  std::string stack;    ///< as MatrixKey::stack
  int64_t layer = -1;   ///< -1: in none
  std::string name;     ///< projection of an expert; else as ModuleName::name, or the whole name
  int64_t number = -1;  ///< of the expert, of its bias; of a head, where one side has split heads
  auto operator<=>(const WeightKey&) const = default;
  std::string Text() const;  ///< "layer 3 expert 7 down_proj", "layer 3 attn_output"
};

/// A weight of a checkpoint. Views into its Model, which must outlive it.
struct WeightItem {
  WeightKey key;
  const ModelTensor* tensor = nullptr;
  MatrixView view;     ///< in its weight; of what is no matrix (kOther) one row
  std::string module;  ///< as the checkpoint calls it, without ".weight"
  /// Not 0: rows lie as llama.cpp has them for its rotary embeddings, in so many heads of which
  /// each has row i of its first half, then row i of its second one.
  uint64_t interleaved_heads = 0;

  const Weight& weight() const { return *tensor->weight; }
  uint64_t elements() const { return view.rows * view.cols; }
  /// With its share of scales.
  uint64_t stored_bytes() const { return weight().stored_bytes(elements()); }
};

/// All weights of `model`, tensor by tensor. A key that two weights outside the experts would have
/// is replaced by their whole names; shared experts of several modules keep theirs.
std::vector<WeightItem> WeightsOf(const Model& model);

/// "routed_expert", "shared_expert", "router", "attention", "embedding", "norm" or "other".
std::string_view RoleText(const WeightItem& item);

}  // namespace moe
