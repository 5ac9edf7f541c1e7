#include "report/recipe_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

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

/// Numbers of the units that are routed experts of one layer.
std::vector<size_t> CellsOf(const Recipe& recipe) {
  std::vector<size_t> cells;
  for (size_t u = 0; u < recipe.units.size(); ++u) {
    if (recipe.units[u].role == "routed_expert" && recipe.units[u].layer) cells.push_back(u);
  }
  return cells;
}

Json CellsJson(const Recipe& recipe) {
  Json list = Json::Array();
  for (const size_t u : CellsOf(recipe)) {
    const RecipeUnit& unit = recipe.units[u];
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

/// Each other way to quantize, its size and objective, and that of the best recipe of no more
/// bytes.
Json BesideJson(const Recipe& recipe, const std::vector<PlanComparison>& comparisons) {
  const double unit = *recipe.objective.reference_value;
  Json list = Json::Array();
  for (const PlanComparison& comparison : comparisons) {
    list.push_back({{"name", ComparisonName(comparison, recipe)},
                    {"bytes", comparison.other.bytes},
                    {"value", comparison.other.cost / unit},
                    {"best", comparison.best / unit}});
  }
  return list;
}

/// Schemes by number, in the order of their first use.
class SchemeList {
 public:
  /// `unit` is stored in it.
  size_t NumberOf(const StoredForm& scheme, const RecipeUnit& unit, unsigned float_bits) {
    const auto is_same = [&](const StoredForm& other) { return AreSame(other, scheme); };
    const auto found = std::ranges::find_if(schemes_, is_same);
    if (found != schemes_.end()) return static_cast<size_t>(found - schemes_.begin());
    schemes_.push_back(scheme);
    const auto bytes = static_cast<double>(StoredBytes(unit, scheme, float_bits).value_or(0));
    list_.push_back(
        {{"name", FormLabel(scheme)}, {"bits", 8 * bytes / static_cast<double>(WeightsOf(unit))}});
    return schemes_.size() - 1;
  }
  const Json& list() const { return list_; }

 private:
  std::vector<StoredForm> schemes_;
  Json list_ = Json::Array();
};

/// What the cells get in each point of the front.
Json ChoicesJson(const Recipe& recipe, const std::vector<Plan::Point>& front) {
  const std::vector<size_t> cells = CellsOf(recipe);
  std::vector<std::optional<size_t>> before(cells.size());
  SchemeList schemes;
  Json list = Json::Array();
  for (const Plan::Point& point : front) {
    Json changes = Json::Array();
    for (size_t i = 0; i < cells.size(); ++i) {
      const size_t scheme =
          schemes.NumberOf(point.schemes[cells[i]], recipe.units[cells[i]], recipe.float_bits());
      if (scheme == before[i]) continue;
      changes.push_back(i);
      changes.push_back(scheme);
      before[i] = scheme;
    }
    list.push_back(std::move(changes));
  }
  return {{"schemes", schemes.list()}, {"changes", std::move(list)}};
}

Json PointJson(uint64_t bytes, double value) { return Json::Array({bytes, value}); }

Json ChartJson(const Recipe& recipe, const std::string& name,
               const std::vector<PlanComparison>& comparisons,
               const std::vector<Plan::Point>& front) {
  const double unit = *recipe.objective.reference_value;
  Json points = Json::Array(), reference = Json::Array(), rules = Json::Array();
  for (const Plan::Point& point : front) {
    points.push_back(Json::Array({point.bytes, point.cost / unit, point.bits}));
  }
  for (const PlanComparison& comparison : comparisons) {
    (comparison.rule.empty() ? reference : rules)
        .push_back(PointJson(comparison.other.bytes, comparison.other.cost / unit));
  }
  Json own = Json::Array({PointJson(recipe.bytes(), recipe.objective.value / unit)});
  return {
      {"title", "The least objective for every size"},
      {"xName", "size of the whole checkpoint"},
      {"yName", "objective, " + ReferenceName(recipe) + " = 1"},
      {"points", std::move(points)},
      {"marks", Json::Array({{{"name", name}, {"points", std::move(own)}},
                             {{"name", ReferenceName(recipe)}, {"points", std::move(reference)}},
                             {{"name", "mlx-lm's mixed rules"}, {"points", std::move(rules)}}})}};
}

/// What else there was to choose; null where nothing is relative.
void AddFront(const Recipe& recipe, const std::string& name, Json& json) {
  for (const char* key : {"front", "beside", "choices"}) json[key] = nullptr;
  const auto plan = Plan::Of(recipe);
  if (!RelativeObjective(recipe) || !plan) return;
  const auto front = plan->Front(kFrontPoints);
  const auto comparisons = ComparisonsOf(recipe, *plan);
  json["front"] = ChartJson(recipe, name, comparisons, front);
  json["beside"] = BesideJson(recipe, comparisons);
  json["choices"] = ChoicesJson(recipe, front);
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
  json["groups"] = GroupsJson(recipe);
  json["cells"] = CellsJson(recipe);
  AddFront(recipe, name, json);
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

std::optional<double> RelativeObjective(const Recipe& recipe) {
  const auto& [name, value, reference, reference_value] = recipe.objective;
  if (!reference || !(reference_value.value_or(0) > 0)) return std::nullopt;
  return value / *reference_value;
}

std::string ReferenceName(const Recipe& recipe) {
  return FormLabel(recipe.objective.reference) + " for all";
}

std::string ComparisonName(const PlanComparison& comparison, const Recipe& recipe) {
  return comparison.rule.empty() ? ReferenceName(recipe)
                                 : fmt::format("mlx-lm's {}", comparison.rule);
}

Json FrontChart(const Recipe& recipe, const std::string& name) {
  const auto plan = Plan::Of(recipe);
  if (!RelativeObjective(recipe) || !plan) return nullptr;
  return ChartJson(recipe, name, ComparisonsOf(recipe, *plan), plan->Front(kFrontPoints));
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
