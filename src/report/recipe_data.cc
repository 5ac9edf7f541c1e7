#include "report/recipe_data.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "recipe/overview.h"
#include "recipe/plan.h"
#include "run/schemes.h"

namespace moe {
namespace {

constexpr uint64_t kFrontPoints = 120;
constexpr size_t kFurthest = 10;

std::vector<std::filesystem::path> RecipeFiles(const std::filesystem::path& run_dir) {
  std::vector<std::filesystem::path> files;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(run_dir / "recipes", none)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

Json GroupsJson(const Recipe& recipe) {
  Json list = Json::Array();
  for (const RecipeGroup& group : GroupsOf(recipe)) {
    Json parts = Json::Array();
    for (const RecipeGroup::Part& part : group.parts) {
      parts.push_back({{"scheme", FormLabel(part.scheme)}, {"units", part.units}});
    }
    list.push_back({{"role", group.role},
                    {"proj", group.proj},
                    {"weights", group.weights},
                    {"bytes", group.bytes},
                    {"parts", std::move(parts)}});
  }
  return list;
}

Json CellsJson(const Recipe& recipe) {
  Json list = Json::Array();
  for (const RecipeUnit& unit : recipe.units) {
    if (unit.role != "routed_expert" || !unit.layer) continue;
    list.push_back({{"layer", *unit.layer},
                    {"proj", unit.proj},
                    {"scheme", FormLabel(unit.chosen.scheme)},
                    {"bits", BitsOf(unit)}});
  }
  return list;
}

/// Of the roles that the recipe has.
Json FloorsJson(const Recipe& recipe) {
  Json list = Json::Array();
  for (const auto& [role, scheme] : recipe.floors) {
    if (std::ranges::count(recipe.units, role, &RecipeUnit::role) == 0) continue;
    list.push_back({{"what", role}, {"scheme", FormLabel(scheme)}});
  }
  return list;
}

Json PinsJson(const Recipe& recipe) {
  Json list = Json::Array();
  for (const auto& [pattern, scheme] : recipe.pins) {
    list.push_back({{"what", pattern}, {"scheme", FormLabel(scheme)}});
  }
  return list;
}

Json HeldJson(const Recipe& recipe) {
  std::map<std::pair<std::string, std::string>, uint64_t> counts;
  for (const RecipeUnit& unit : recipe.units) {
    if (unit.chosen_by != "budget") ++counts[{unit.chosen_by, unit.role}];
  }
  Json list = Json::Array();
  for (const auto& [held, units] : counts) {
    list.push_back({{"by", held.first}, {"role", held.second}, {"units", units}});
  }
  return list;
}

Json FurthestJson(const Recipe& recipe) {
  Json list = Json::Array();
  for (const RecipeUnit* unit : FurthestUnits(recipe, kFurthest)) {
    list.push_back({{"module", unit->modules.front().mlx},
                    {"more", unit->modules.size() - 1},
                    {"scheme", FormLabel(unit->chosen.scheme)},
                    {"bits", BitsOf(*unit)},
                    {"by", unit->chosen_by}});
  }
  return list;
}

/// The objective relative to one scheme for all, which alone means something.
std::optional<double> RelativeObjective(const Recipe& recipe) {
  const auto& [name, value, reference, reference_value] = recipe.objective;
  if (!reference || !(reference_value.value_or(0) > 0)) return std::nullopt;
  return value / *reference_value;
}

Json RecipeData(const Recipe& recipe, const std::string& name) {
  Json json = {{"name", name},
               {"budget", {{"kind", recipe.budget.kind}, {"value", recipe.budget.value}}},
               {"bits", MeanBits(recipe)},
               {"bytes", recipe.bytes()},
               {"source_bytes", recipe.coverage.source_bytes}};
  const auto objective = RelativeObjective(recipe);
  json["reference"] = objective ? Json(FormLabel(recipe.objective.reference)) : Json();
  json["objective"] = OrNull(objective);
  json["front"] = FrontChart(recipe, name);
  json["groups"] = GroupsJson(recipe);
  json["cells"] = CellsJson(recipe);
  json["pins"] = PinsJson(recipe);
  json["floors"] = FloorsJson(recipe);
  json["held"] = HeldJson(recipe);
  json["furthest"] = FurthestJson(recipe);
  json["not_known"] = recipe.not_known;
  return json;
}

}  // namespace

std::string FormLabel(const StoredForm& form) {
  const std::string name = form ? ShortSchemeName(*form) : "";
  return name.empty() ? SchemeText(form) : name;
}

Json FrontChart(const Recipe& recipe, const std::string& name) {
  const auto objective = RelativeObjective(recipe);
  const auto plan = Plan::Of(recipe);
  if (!objective || !plan) return nullptr;
  const std::string reference = FormLabel(recipe.objective.reference) + " for all";
  const uint64_t reference_bytes = plan->Uniform(*recipe.objective.reference).bytes();
  Json points = Json::Array();
  for (const Plan::Point& point : plan->Front(kFrontPoints)) {
    points.push_back(
        Json::Array({point.bytes, point.cost / *recipe.objective.reference_value, point.bits}));
  }
  return {{"title", "The least objective for every size"},
          {"xName", "size of the whole checkpoint"},
          {"yName", "objective, " + reference + " = 1"},
          {"points", std::move(points)},
          {"chosen", {{"name", name}, {"bytes", recipe.bytes()}, {"value", *objective}}},
          {"reference", {{"name", reference}, {"bytes", reference_bytes}, {"value", 1}}}};
}

Json RecipesJson(const std::filesystem::path& run_dir) {
  Json list = Json::Array();
  for (const std::filesystem::path& file : RecipeFiles(run_dir)) {
    const std::string name = file.stem().string();
    const auto recipe = ReadRecipe(file);
    list.push_back(recipe ? RecipeData(*recipe, name)
                          : Json({{"name", name}, {"error", recipe.error().Text()}}));
  }
  return list;
}

}  // namespace moe
