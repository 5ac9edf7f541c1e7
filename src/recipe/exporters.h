#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/json.h"
#include "recipe/recipe.h"

namespace moe {

/// What a recipe becomes for one tool, in a file of its own each.
struct Exporter {
  std::string_view name;     ///< "mlx-lm"
  std::string_view meaning;  ///< for the help
  std::string (*text)(const Recipe& recipe);
};

std::span<const Exporter> Exporters();

const Exporter* FindExporter(std::string_view name);  ///< nullptr: none

/// A Python file for mlx-lm: a dict of modules and predicate(path, module) for
/// mlx_lm.convert(quant_predicate=...), which it calls itself when it is run: `python FILE MODEL
/// OUT`. Importing it needs nothing.
std::string MlxLmText(const Recipe& recipe);

/// The members "quantization" and "quantization_config" of an MLX checkpoint's config.json, which
/// are equal: a full entry for each quantized module, false for the others of the recipe.
std::string MlxConfigText(const Recipe& recipe);
/// One such entry; false of a float.
Json MlxConfigEntry(const StoredForm& scheme);

/// What mlx-lm takes for the whole model beside what it takes for each module: the scheme of most
/// weights among those whose group divides every row that is quantized. mlx-lm asks about no
/// module whose rows this group doesn't divide.
QuantScheme MlxDefault(const Recipe& recipe);

}  // namespace moe
