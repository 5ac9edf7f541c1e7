#include "base/json_text.h"
#include "recipe/exporters.h"

namespace moe {
namespace {

Json EntryOf(const StoredForm& scheme) {
  if (!scheme) return false;
  return {{"group_size", scheme->group_size}, {"bits", scheme->bits}, {"mode", scheme->mode}};
}

}  // namespace

std::string MlxConfigText(const Recipe& recipe) {
  Json block = EntryOf(MlxDefault(recipe));
  for (const RecipeUnit& unit : recipe.units) {
    for (const RecipeModule& module : unit.modules) block[module.mlx] = EntryOf(unit.chosen.scheme);
  }
  return JsonText({{"quantization", block}, {"quantization_config", block}});
}

}  // namespace moe
