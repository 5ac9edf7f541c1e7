#pragma once

#include "recipe/recipe.h"

namespace moe {

/// A layer of four experts [64, 32] and what stands around it: a unit of each kind.
inline Recipe SampleRecipe() {
  const StoredForm q4 = QuantScheme{"", "affine", 4, 32}, mxfp4 = QuantScheme{"", "mxfp4", 4, 32},
                   q8 = QuantScheme{"", "affine", 8, 32};
  const std::string layer = "model.layers.0.";
  const auto expert = [&](const std::string& proj, std::vector<uint64_t> shape) {
    return RecipeModule{layer + "mlp.switch_mlp." + proj, layer + "mlp.experts.*." + proj,
                        std::move(shape)};
  };
  Recipe recipe;
  recipe.model = {"sha256:1", "qwen3_moe", "qwen3_moe", "bfloat16"};
  recipe.objective = {"activation", 0.75, q4, 0.5};
  recipe.budget = {"bits", "4.5", 20000, std::nullopt};
  recipe.floors = {{"attention", QuantScheme{"", "affine", 6, 32}}};
  recipe.pins = {{"lm_head", std::nullopt}};
  recipe.keep = {"router"};
  // 16384 weights: 4.25 and 5 bits each; 8192: 9 bits; 128: 9; 2048: 16
  recipe.units = {
      {"routed_expert",
       0,
       "gate_proj+up_proj",
       {expert("gate_proj", {4, 64, 32}), expert("up_proj", {4, 64, 32})},
       {mxfp4, 8704, 0.5},
       "budget",
       {{"energy", 2.5}},
       {{q4, 10240, 0.25}}},
      {"routed_expert", 0, "down_proj", {expert("down_proj", {4, 32, 64})}, {q8, 9216, 0.25}},
      {"router",
       0,
       "gate",
       {{layer + "mlp.gate", layer + "mlp.gate", {4, 32}}},
       {q8, 144, std::nullopt},
       "keep"},
      {"embedding",
       std::nullopt,
       "lm_head",
       {{"lm_head", "lm_head", {64, 32}}},
       {std::nullopt, 4096, 0},
       "pin"},
  };
  recipe.coverage = {14, 12, 60000, 640};
  recipe.not_known = {"no imatrix: how often experts are used is guessed"};
  return recipe;
}

}  // namespace moe
