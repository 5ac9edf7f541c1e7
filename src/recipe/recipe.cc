#include "recipe/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/checked.h"
#include "base/json_text.h"
#include "base/version.h"
#include "measure/quant_modes.h"
#include "recipe/recipe_fields.h"

namespace moe {
namespace {

constexpr uint64_t kMaxWeights = uint64_t{1} << 56;
/// Beside the modules' paths in MLX's config.
constexpr std::string_view kMlxDefaultKeys[] = {"bits", "group_size", "mode"};

/// What follows from the members, for readers of the file.
struct Totals {
  uint64_t weights = 0, bytes = 0;  ///< of what is quantized
};

Totals QuantizedOf(const Recipe& recipe) {
  Totals totals;
  for (const RecipeUnit& unit : recipe.units) {
    if (!unit.chosen.scheme) continue;
    totals.weights += WeightsOf(unit);
    totals.bytes += unit.chosen.bytes;
  }
  return totals;
}

// ---- writing ----

Json ToJson(const StoredForm& scheme) {
  if (!scheme) return kFloatScheme;
  return {{"mode", scheme->mode}, {"bits", scheme->bits}, {"group_size", scheme->group_size}};
}

Json ToJson(const RecipeOption& option) {
  return {
      {"scheme", ToJson(option.scheme)}, {"bytes", option.bytes}, {"cost", OrNull(option.cost)}};
}

Json ToJson(const RecipeModule& module) {
  Json json = {{"mlx", module.mlx}, {"hf", module.hf}, {"shape", module.shape}};
  if (!module.dtype.empty()) json["dtype"] = module.dtype;
  return json;
}

Json ToJson(const Recipe::Floor& floor) {
  return {{"role", floor.role}, {"scheme", ToJson(floor.scheme)}};
}

Json ToJson(const Recipe::Pin& pin) {
  return {{"pattern", pin.pattern}, {"scheme", ToJson(pin.scheme)}};
}

Json ToJson(const RecipeUnit& unit);

template <class T>
Json ListOf(const std::vector<T>& items) {
  Json list = Json::Array();
  for (const T& item : items) list.push_back(ToJson(item));
  return list;
}

Json ToJson(const RecipeUnit& unit) {
  return {{"role", unit.role},
          {"layer", OrNull(unit.layer)},
          {"proj", unit.proj},
          {"weights", WeightsOf(unit)},
          {"chosen", ToJson(unit.chosen)},
          {"chosen_by", unit.chosen_by},
          {"cost_terms", unit.cost_terms},
          {"alternatives", ListOf(unit.alternatives)},
          {"modules", ListOf(unit.modules)}};
}

Json ToJson(const Recipe::Model& model) {
  return {{"fingerprint", model.fingerprint},
          {"model_type", model.model_type},
          {"family", model.family},
          {"dtype", model.dtype}};
}

Json ToJson(const Recipe::Objective& objective) {
  return {{"name", objective.name},
          {"value", objective.value},
          {"reference", objective.reference_value ? ToJson(objective.reference) : Json()},
          {"reference_value", OrNull(objective.reference_value)}};
}

Json ToJson(const Recipe::Budget& budget) {
  return {{"kind", budget.kind},
          {"value", budget.value},
          {"bytes", OrNull(budget.bytes)},
          {"cost", OrNull(budget.cost)}};
}

Json CoverageJson(const Recipe& recipe) {
  const Totals quantized = QuantizedOf(recipe);
  const double bits = 8 * static_cast<double>(quantized.bytes);
  const auto weights = static_cast<double>(quantized.weights);
  return {{"matrices", recipe.coverage.matrices},
          {"measured", recipe.coverage.measured},
          {"source_bytes", recipe.coverage.source_bytes},
          {"untouched_bytes", recipe.coverage.untouched_bytes},
          {"bytes", recipe.bytes()},
          {"quantized_weights", quantized.weights},
          {"bits_per_weight", weights > 0 ? Json(bits / weights) : Json()}};
}

// ---- reading: types are right ----

StoredForm SchemeOf(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  return QuantScheme{"", json["mode"].text(), json["bits"].get<int64_t>(),
                     json["group_size"].get<int64_t>()};
}

template <class T>
std::optional<T> OrNothing(const Json& json) {
  if (json.is_null()) return std::nullopt;
  return json.get<T>();
}

RecipeOption OptionOf(const Json& json) {
  return {SchemeOf(json["scheme"]), json["bytes"].get<uint64_t>(), OrNothing<double>(json["cost"])};
}

RecipeModule ModuleOf(const Json& json) {
  return {json["mlx"].text(), json["hf"].text(), json["shape"].get<std::vector<uint64_t>>(),
          json["dtype"].text()};
}

RecipeUnit UnitOf(const Json& json) {
  RecipeUnit unit;
  unit.role = json["role"].text();
  unit.layer = OrNothing<int64_t>(json["layer"]);
  unit.proj = json["proj"].text();
  unit.chosen = OptionOf(json["chosen"]);
  unit.chosen_by = json["chosen_by"].text();
  for (const auto& [name, value] : json["cost_terms"].items()) {
    unit.cost_terms[name] = value.get<double>();
  }
  for (const Json& item : json["alternatives"]) unit.alternatives.push_back(OptionOf(item));
  for (const Json& item : json["modules"]) unit.modules.push_back(ModuleOf(item));
  return unit;
}

Recipe RecipeOf(const Json& json) {
  Recipe recipe;
  const Json &model = json["model"], &objective = json["objective"], &budget = json["budget"],
             &coverage = json["coverage"];
  recipe.model = {model["fingerprint"].text(), model["model_type"].text(), model["family"].text(),
                  model["dtype"].text()};
  recipe.objective = {objective["name"].text(), objective["value"].get<double>(),
                      SchemeOf(objective["reference"]),
                      OrNothing<double>(objective["reference_value"])};
  recipe.budget = {budget["kind"].text(), budget["value"].text(),
                   OrNothing<uint64_t>(budget["bytes"]), OrNothing<double>(budget["cost"])};
  recipe.unit = json["unit"].text();
  for (const Json& item : json["floors"]) {
    recipe.floors.push_back({item["role"].text(), SchemeOf(item["scheme"])});
  }
  for (const Json& item : json["pins"]) {
    recipe.pins.push_back({item["pattern"].text(), SchemeOf(item["scheme"])});
  }
  recipe.keep = json["keep"].get<std::vector<std::string>>();
  for (const Json& item : json["units"]) recipe.units.push_back(UnitOf(item));
  recipe.coverage = {coverage["matrices"].get<uint64_t>(), coverage["measured"].get<uint64_t>(),
                     coverage["source_bytes"].get<uint64_t>(),
                     coverage["untouched_bytes"].get<uint64_t>()};
  recipe.not_known = json["not_known"].get<std::vector<std::string>>();
  return recipe;
}

// ---- what must follow ----

Result<void> CheckOption(const RecipeUnit& unit, const RecipeOption& option, unsigned float_bits,
                         const std::string& where) {
  const auto bytes = StoredBytes(unit, option.scheme, float_bits);
  if (!bytes) {
    return Malformed(where + "/scheme",
                     fmt::format("{} does not fit the unit's modules", SchemeText(option.scheme)));
  }
  if (*bytes != option.bytes) {
    return Malformed(where + "/bytes",
                     fmt::format("is {}, but {} takes {} bytes of the unit's modules", option.bytes,
                                 SchemeText(option.scheme), *bytes));
  }
  return {};
}

Result<void> CheckUnit(const RecipeUnit& unit, const Json& json, unsigned float_bits,
                       const std::string& where, std::set<std::string>& paths) {
  for (size_t i = 0; i < unit.modules.size(); ++i) {
    const std::string& path = unit.modules[i].mlx;
    if (std::ranges::count(kMlxDefaultKeys, path) > 0) {
      return Malformed(fmt::format("{}/modules/{}/mlx", where, i),
                       fmt::format("'{}' is no module's path: in MLX's config it says what the "
                                   "default is",
                                   path));
    }
    if (!paths.insert(path).second) {
      return Malformed(fmt::format("{}/modules/{}/mlx", where, i),
                       fmt::format("'{}' is in another unit, too", path));
    }
    if (!StoredBytes(unit.modules[i].shape, std::nullopt, float_bits)) {
      return Malformed(fmt::format("{}/modules/{}/shape", where, i), "is more than 2^56 weights");
    }
  }
  if (unit.modules.empty()) return Malformed(where + "/modules", "is empty");
  if (json["weights"].get<uint64_t>() != WeightsOf(unit)) {
    return Malformed(where + "/weights",
                     fmt::format("is not the {} of the unit's modules", WeightsOf(unit)));
  }
  auto done = CheckOption(unit, unit.chosen, float_bits, where + "/chosen");
  for (size_t i = 0; done && i < unit.alternatives.size(); ++i) {
    done = CheckOption(unit, unit.alternatives[i], float_bits,
                       fmt::format("{}/alternatives/{}", where, i));
  }
  return done;
}

Result<void> CheckRecipe(const Recipe& recipe, const Json& json, const std::string& where) {
  std::set<std::string> paths;
  for (size_t i = 0; i < recipe.units.size(); ++i) {
    auto done = CheckUnit(recipe.units[i], json["units"][i], recipe.float_bits(),
                          fmt::format("{}: /units/{}", where, i), paths);
    if (!done) return done;
  }
  if (json["coverage"]["bytes"].get<uint64_t>() != recipe.bytes()) {
    return Malformed(
        where + ": /coverage/bytes",
        fmt::format("is not the {} of the units and what is untouched", recipe.bytes()));
  }
  return {};
}

}  // namespace

QuantScheme MlxEightBits() { return {"", "affine", 8, 64}; }
QuantScheme MlxPackedExperts() { return {"", "mxfp4", 4, 32}; }

bool AreSame(const StoredForm& a, const StoredForm& b) {
  if (!a || !b) return !a && !b;
  return a->mode == b->mode && a->bits == b->bits && a->group_size == b->group_size;
}

std::string SchemeText(const StoredForm& scheme) {
  if (!scheme) return std::string(kFloatScheme);
  return fmt::format("{} {} bits in groups of {}", scheme->mode, scheme->bits, scheme->group_size);
}

const RecipeOption* FindOption(std::span<const RecipeOption> options, const StoredForm& scheme) {
  const auto found = std::ranges::find_if(
      options, [&](const RecipeOption& option) { return AreSame(option.scheme, scheme); });
  return found == options.end() ? nullptr : &*found;
}

std::optional<uint64_t> StoredBytes(std::span<const uint64_t> shape, const StoredForm& scheme,
                                    unsigned float_bits) {
  const auto weights = CheckedProduct(shape);
  if (!weights || *weights > kMaxWeights || shape.empty()) return std::nullopt;
  if (!scheme) return *weights * (float_bits / 8);
  const QuantMode* mode = FindQuantMode(scheme->mode);
  const auto group = static_cast<uint64_t>(scheme->group_size);
  if (mode == nullptr || group == 0 || shape.back() % group != 0) return std::nullopt;
  const uint64_t groups = *weights / group;
  return (*weights * static_cast<uint64_t>(scheme->bits) + groups * GroupBits(*mode, float_bits)) /
         8;
}

std::optional<uint64_t> StoredBytes(const RecipeUnit& unit, const StoredForm& scheme,
                                    unsigned float_bits) {
  uint64_t sum = 0;
  for (const RecipeModule& module : unit.modules) {
    const unsigned bits = module.dtype.empty() ? float_bits : FloatBits(module.dtype);
    const auto bytes = StoredBytes(module.shape, scheme, bits);
    if (!bytes) return std::nullopt;
    sum += *bytes;
  }
  return sum;
}

uint64_t WeightsOf(const RecipeModule& module) { return CheckedProduct(module.shape).value_or(0); }

uint64_t WeightsOf(const RecipeUnit& unit) {
  uint64_t weights = 0;
  for (const RecipeModule& module : unit.modules) weights += WeightsOf(module);
  return weights;
}

unsigned FloatBits(std::string_view dtype) { return dtype == "float32" ? 32 : 16; }

unsigned Recipe::float_bits() const { return FloatBits(model.dtype); }

uint64_t Recipe::bytes() const {
  uint64_t sum = coverage.untouched_bytes;
  for (const RecipeUnit& part : units) sum += part.chosen.bytes;
  return sum;
}

std::string RecipeJson(const Recipe& recipe) {
  return JsonText({{"schema_version", Recipe::kSchemaVersion},
                   {"made_by", fmt::format("moescope {}", kVersion)},
                   {"model", ToJson(recipe.model)},
                   {"objective", ToJson(recipe.objective)},
                   {"budget", ToJson(recipe.budget)},
                   {"unit", recipe.unit},
                   {"floors", ListOf(recipe.floors)},
                   {"pins", ListOf(recipe.pins)},
                   {"keep", recipe.keep},
                   {"units", ListOf(recipe.units)},
                   {"coverage", CoverageJson(recipe)},
                   {"not_known", recipe.not_known}});
}

Result<Recipe> ReadRecipe(const std::filesystem::path& path) {
  const auto text = ReadTextFile(path);
  if (!text) return tl::make_unexpected(text.error());
  const auto json = ParseLenientJson(*text, path.string());
  if (!json) return tl::make_unexpected(json.error());
  auto fields = CheckRecipeFields(*json, path.string());
  if (!fields) return tl::make_unexpected(fields.error());
  Recipe recipe = RecipeOf(*json);
  auto follows = CheckRecipe(recipe, *json, path.string());
  if (!follows) return tl::make_unexpected(follows.error());
  return recipe;
}

}  // namespace moe
