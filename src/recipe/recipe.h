#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moescope/error.h"
#include "moescope/quantize.h"

namespace moe {

/// How a weight is stored: in a scheme (whose name says nothing here), or as the float that it is
/// (nullopt).
using StoredForm = std::optional<QuantScheme>;

bool AreSame(const StoredForm& a, const StoredForm& b);
std::string SchemeText(const StoredForm& scheme);  ///< "affine 4 bits in groups of 64", "float"

// What mlx-lm's own rule takes for some modules, whatever the rest is stored in.
QuantScheme MlxEightBits();      ///< of routers, and of others in some families
QuantScheme MlxPackedExperts();  ///< of gpt-oss's experts, which are left as they are

/// Bytes of a weight [..., in] as MLX's files have it, with scales and biases; of a float
/// `float_bits` each. nullopt: the scheme's mode is unknown, its group does not divide a row, or
/// they are more than 2^56.
std::optional<uint64_t> StoredBytes(std::span<const uint64_t> shape, const StoredForm& scheme,
                                    unsigned float_bits);

/// Bits of a float of that dtype, "bfloat16", "float16" or "float32".
unsigned FloatBits(std::string_view dtype);

/// A module of MLX's model, and what it is made of.
struct RecipeModule {
  std::string mlx;  ///< its path: "model.layers.3.mlp.switch_mlp.down_proj"
  /// What the checkpoint calls it, "*" for the number of an expert:
  /// "model.layers.3.mlp.experts.*.down_proj".
  std::string hf;
  std::vector<uint64_t> shape;  ///< of MLX's weight: [experts, out, in] or [out, in]
  std::string dtype = {};       ///< of its floats, scales and biases; "": Recipe::Model::dtype
};

/// One way to store a unit.
struct RecipeOption {
  StoredForm scheme;
  uint64_t bytes = 0;          ///< of all its modules
  std::optional<double> cost;  ///< nullopt: not known
};

/// That of a scheme; nullptr: there is none.
const RecipeOption* FindOption(std::span<const RecipeOption> options, const StoredForm& scheme);

/// What is stored in one way.
struct RecipeUnit {
  std::string role;              ///< "routed_expert", "attention", ... or "*"
  std::optional<int64_t> layer;  ///< nullopt: of none, or of several
  std::string proj;              ///< "down_proj", "gate_proj+up_proj", ... or "*"
  std::vector<RecipeModule> modules;
  RecipeOption chosen;
  /// "budget": the solver chose it; "pin", "floor", "keep": it had no choice, or less of it.
  std::string chosen_by = "budget";
  std::map<std::string, double> cost_terms = {};  ///< what the costs are made of, by name
  std::vector<RecipeOption> alternatives = {};    ///< what else it could have been
};

/// A scheme for each unit of a model, and all that led to it: recipe.json as a value. Exporters
/// read nothing else.
///
/// File: JSON with the keys of docs/recipe.schema.json, which are the names of the members here.
struct Recipe {
  static constexpr uint64_t kSchemaVersion = 1;

  struct Model {
    std::string fingerprint;  ///< tells whether another run or checkpoint is of the same model
    std::string model_type;   ///< of config.json; "": it has none
    std::string family;       ///< the preset; "": unknown
    std::string dtype = "bfloat16";  ///< of floats, scales and biases: "float16", "float32"
  };
  /// What the costs are, and those of one scheme for all to compare with.
  struct Objective {
    std::string name;
    double value = 0;  ///< of the recipe
    StoredForm reference;
    std::optional<double> reference_value;
  };
  struct Budget {
    std::string kind;               ///< "bits", "size", "max_error", "as_good_as"
    std::string value;              ///< as the user wrote it: "4.25", "18GiB", "q4"
    std::optional<uint64_t> bytes;  ///< that it leaves to the units
    std::optional<double> cost;     ///< that it allows
  };
  struct Floor {
    std::string role;
    StoredForm scheme;
  };
  struct Pin {
    std::string pattern;
    StoredForm scheme;
  };
  struct Coverage {
    uint64_t matrices = 0, measured = 0;  ///< of the model; with numbers of all schemes
    uint64_t source_bytes = 0;            ///< of the checkpoint as it is
    uint64_t untouched_bytes = 0;         ///< of what no unit holds, as MLX stores it
  };

  Model model;
  Objective objective;
  Budget budget;
  std::string unit = "layer-proj";  ///< "layer", "proj", "model"
  std::vector<Floor> floors;
  std::vector<Pin> pins;
  std::vector<std::string> keep;  ///< roles that MLX's own rule stores: "router", "norm"
  std::vector<RecipeUnit> units;
  Coverage coverage;
  std::vector<std::string> not_known;  ///< sentences for people

  unsigned float_bits() const;  ///< of model.dtype
  uint64_t bytes() const;       ///< of all units, and what is untouched
};

/// Number of weights of a module, or of all modules of a unit.
uint64_t WeightsOf(const RecipeModule& module);
uint64_t WeightsOf(const RecipeUnit& unit);

/// Of all modules of a unit; nullopt as for each. `float_bits`: of modules without a dtype.
std::optional<uint64_t> StoredBytes(const RecipeUnit& unit, const StoredForm& scheme,
                                    unsigned float_bits);

/// The file's text. Adds what follows from the members: weights, sizes, bits.
std::string RecipeJson(const Recipe& recipe);

/// kNotFound or kIo; kMalformed names the key, as "/units/3/chosen/scheme", where something is
/// missing, of the wrong type, impossible, or not what follows from the other keys.
Result<Recipe> ReadRecipe(const std::filesystem::path& path);

/// The JSON Schema of the file: docs/recipe.schema.json.
std::string RecipeSchemaText();

}  // namespace moe
