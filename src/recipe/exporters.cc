#include "recipe/exporters.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace moe {
namespace {

constexpr Exporter kExporters[] = {
    {"mlx-lm", "a Python file that runs mlx_lm.convert", MlxLmText},
    {"mlx-config", "the quantization block of an MLX config.json", MlxConfigText},
};

bool DividesAllRows(int64_t group, const Recipe& recipe) {
  return std::ranges::all_of(recipe.units, [&](const RecipeUnit& unit) {
    return !unit.chosen.scheme ||
           std::ranges::all_of(unit.modules, [&](const RecipeModule& module) {
             return module.shape.back() % static_cast<uint64_t>(group) == 0;
           });
  });
}

}  // namespace

std::span<const Exporter> Exporters() { return kExporters; }

const Exporter* FindExporter(std::string_view name) {
  const auto* found = std::ranges::find(kExporters, name, &Exporter::name);
  return found == std::end(kExporters) ? nullptr : found;
}

QuantScheme MlxDefault(const Recipe& recipe) {
  std::vector<std::pair<QuantScheme, uint64_t>> weights;
  for (const RecipeUnit& unit : recipe.units) {
    const StoredForm& scheme = unit.chosen.scheme;
    if (!scheme || !DividesAllRows(scheme->group_size, recipe)) continue;
    const auto is_it = [&](const auto& row) { return AreSame(row.first, scheme); };
    auto row = std::ranges::find_if(weights, is_it);
    if (row == weights.end()) row = weights.insert(row, {*scheme, 0});
    row->second += WeightsOf(unit);
  }
  // The smallest group of all divides every row, so there is one, unless all are floats.
  if (weights.empty()) return {"", "affine", 4, 64};
  return std::ranges::max_element(weights, {}, [](const auto& row) { return row.second; })->first;
}

}  // namespace moe
