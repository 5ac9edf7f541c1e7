#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace moe {

/// Scales of a matrix: so many rows by so many columns of blocks.
struct GridSize {
  uint64_t rows = 0, cols = 0;
  bool operator==(const GridSize&) const = default;
};

/// What one entry of config.json's quantization says about the weights of one module, whatever the
/// dialect (MLX, compressed-tensors, ModelOpt, fp8, GPTQ, AWQ, bitsandbytes). What it leaves open
/// is empty. Texts are in lower case.
struct QuantWords {
  std::string entry;              ///< who says it, for errors: "quantization config, group_0"
  std::optional<bool> quantized;  ///< by MLX's own entry of the module: "X": {..} or false
  std::string method;             ///< quant_method; every kind of modelopt is "modelopt"
  std::string format;             ///< of compressed-tensors: "pack-quantized"
  std::string mode;               ///< of MLX: "affine", "mxfp4"
  std::string type;               ///< "int" or "float"
  std::string strategy;           ///< tensor, channel, group, tensor_group or block
  std::optional<uint64_t> bits;   ///< of a code
  std::optional<uint64_t> group;  ///< columns that share a scale; 0: all of a row
  uint64_t block_rows = 0, block_cols = 0;  ///< of strategy "block"; 0: not said
  std::optional<bool> symmetric, act_order, global_scale;
  std::string demand;  ///< what the entry lacks: "a readable bits, not \"8\""; empty: nothing
  const Json* object = nullptr;  ///< all of it, of the QuantConfig; or null

  /// The text of a key of `object` in lower case; empty: absent or no text.
  std::string Text(std::string_view key) const;
  std::optional<bool> Flag(std::string_view key) const;
};

/// config.json's quantization (quantization_config, hf_quant_config.json, ...), read once.
///
/// Names of modules are compared without the wrappers around the text model, so that an entry for
/// model.language_model.layers.0 is that of language_model.model.layers.0 (checkpoints.md 10.3).
///
/// Threads: const members may be called from any thread at once. Words point into it.
class QuantConfig {
 public:
  QuantConfig();  ///< says nothing
  explicit QuantConfig(Json quantization);
  ~QuantConfig();
  QuantConfig(QuantConfig&&) noexcept;
  QuantConfig& operator=(QuantConfig&&) noexcept;

  /// What holds for `module` ("model.layers.0.mlp.experts.1.up_proj"): its own entry, else the
  /// group whose target it is, else what is said of all. More than one where targets are classes
  /// of modules (two groups for "Linear"): then one of them holds. One without words where nothing
  /// is said, or the config excludes the module (ignore, modules_to_not_convert, ...).
  std::vector<QuantWords> Of(std::string_view module) const;

  /// Entries of single modules (MLX's, ModelOpt's quantized_layers) that are for none of `modules`.
  std::set<std::string> EntriesBeside(std::span<const std::string> modules) const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

/// quant_method in lower case, by its usual name ("auto-round", "gptq" for "gptq_marlin"); ""
/// unknown.
std::string QuantMethod(const Json& quantization);

}  // namespace moe
