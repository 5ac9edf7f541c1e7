#include "base/json_text.h"
#include "recipe/exporters.h"

namespace moe {

Json MlxConfigEntry(const StoredForm& scheme) {
  if (!scheme) return false;
  return {{"group_size", scheme->group_size}, {"bits", scheme->bits}, {"mode", scheme->mode}};
}

std::string MlxConfigText(const Recipe& recipe) {
  Json block = MlxConfigEntry(MlxDefault(recipe));
  for (const RecipeUnit& unit : recipe.units) {
    const Json entry = MlxConfigEntry(unit.chosen.scheme);
    for (const RecipeModule& module : unit.modules) block[module.mlx] = entry;
  }
  return JsonText({{"quantization", block}, {"quantization_config", block}});
}

}  // namespace moe
