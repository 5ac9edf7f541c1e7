#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moe {

/// A weight outside the experts, whatever writes its name: llama.cpp's "blk.3.attn_output.weight"
/// and HF's or MLX's "model.layers.3.self_attn.o_proj" are the same.
struct ModuleName {
  int64_t layer = -1;  ///< -1: in none
  /// As llama.cpp calls it ("attn_output"), where that is known; else what follows the layer's
  /// number; without a layer the whole name.
  std::string name;
  auto operator<=>(const ModuleName&) const = default;
};

/// "model.layers.3." of "model.layers.3.mlp.experts.0.up_proj"; "" if it has no such layer.
std::string_view LayerPrefix(std::string_view name, int64_t layer);

/// `weight`: the name of a weight or of its module.
ModuleName ModuleNameOf(std::string_view weight);

/// The names (of llama.cpp) of the weights that read the same vectors as `name` does, so that the
/// sums of one serve the others: q, k and v of a layer. `name` itself comes first.
std::vector<std::string> WithSameInput(const std::string& name);

}  // namespace moe
