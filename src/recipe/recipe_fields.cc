#include "recipe/recipe_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "measure/quant_modes.h"
#include "recipe/recipe.h"

namespace moe {
namespace {

enum class FieldType {
  kObject,
  kObjects,  ///< a list of them
  kString,
  kStrings,
  kInteger,
  kUnsigned,
  kNumber,   ///< finite
  kNumbers,  ///< an object of them
  kShape,    ///< two or three numbers from 1 on
  kScheme,   ///< "float", or mode, bits and group_size
};
using enum FieldType;

/// A key of recipe.json. All but optional ones must be there. Check and JSON Schema come from this
/// table.
struct RecipeField {
  std::string_view pointer;  ///< "/units/*/layer"; `*` is any element
  FieldType type;
  std::string_view doc;
  bool nullable = false;
  std::string_view values = "";  ///< allowed strings, "a|b|c"; "" any
  bool optional = false;

  std::string_view name() const { return pointer.substr(pointer.rfind('/') + 1); }
};

constexpr bool kOrNull = true;
constexpr std::string_view kFloatTypes = "bfloat16|float16|float32";
constexpr std::string_view kVersionKey = "/schema_version";

constexpr RecipeField kFields[] = {
    {kVersionKey, kUnsigned, "1; a reader refuses others."},
    {"/made_by", kString, "The program that wrote it, and its version."},
    {"/model", kObject, "The model that the recipe is for."},
    {"/model/fingerprint", kString, "Tells whether a run or checkpoint is of the same model."},
    {"/model/model_type", kString, "Of config.json; empty: it has none."},
    {"/model/family", kString,
     "The model's family, as docs/architectures.md has it; empty: unknown."},
    {"/model/dtype", kString, "Of the weights that stay floats, of scales and biases.", false,
     kFloatTypes},
    {"/objective", kObject, "What was made small."},
    {"/objective/name", kString, "Which costs were added up."},
    {"/objective/value", kNumber, "Of the recipe."},
    {"/objective/reference", kScheme, "One scheme for all, to compare with.", kOrNull},
    {"/objective/reference_value", kNumber, "The same sum under it.", kOrNull},
    {"/budget", kObject, "What was asked for."},
    {"/budget/kind", kString,
     "bits: average of quantized weights; size: of all files; as_good_as: the objective of one "
     "scheme for all; max_error: so many times that of affine, 4 bits in groups of 64.",
     false, "bits|size|max_error|as_good_as"},
    {"/budget/value", kString, "As the user wrote it."},
    {"/budget/bytes", kUnsigned, "That it leaves to the units.", kOrNull},
    {"/budget/cost", kNumber, "That it allows.", kOrNull},
    {"/unit", kString, "What is stored in one way.", false, "layer-proj|layer|proj|model"},
    {"/floors", kObjects, "Roles that get no scheme of fewer bits."},
    {"/floors/*/role", kString, "Of the units."},
    {"/floors/*/scheme", kScheme, "The least."},
    {"/pins", kObjects, "Modules whose scheme the user said."},
    {"/pins/*/pattern", kString, "Searched in module names."},
    {"/pins/*/scheme", kScheme, "What they get."},
    {"/keep", kStrings, "Roles that are stored by MLX's own rule."},
    {"/units", kObjects, "What is stored in one way each."},
    {"/units/*/role", kString, "Of its weights; * for several."},
    {"/units/*/layer", kInteger, "Of its weights; null: of none, or of several.", kOrNull},
    {"/units/*/proj", kString, "Of its weights; * for several."},
    {"/units/*/weights", kUnsigned, "How many."},
    {"/units/*/chosen", kObject, "How it is stored."},
    {"/units/*/chosen/scheme", kScheme, "The scheme."},
    {"/units/*/chosen/bytes", kUnsigned, "Of all its modules, with scales and biases."},
    {"/units/*/chosen/cost", kNumber, "Its part of the objective; null: not known.", kOrNull},
    {"/units/*/chosen_by", kString,
     "budget: the best choice; else what left it less of one, or none.", false,
     "budget|pin|floor|keep"},
    {"/units/*/cost_terms", kNumbers, "What its costs are made of."},
    {"/units/*/alternatives", kObjects, "How else it could be stored."},
    {"/units/*/alternatives/*/scheme", kScheme, "The scheme."},
    {"/units/*/alternatives/*/bytes", kUnsigned, "As of what was chosen."},
    {"/units/*/alternatives/*/cost", kNumber, "As of what was chosen.", kOrNull},
    {"/units/*/modules", kObjects, "Its modules."},
    {"/units/*/modules/*/mlx", kString, "Path in MLX's model, without .weight."},
    {"/units/*/modules/*/hf", kString, "Name in the checkpoint; * for the number of an expert."},
    {"/units/*/modules/*/shape", kShape, "Of MLX's weight: [experts, out, in] or [out, in]."},
    {"/units/*/modules/*/dtype", kString,
     "Of its floats, scales and biases, where that is not the model's.", false, kFloatTypes, true},
    {"/coverage", kObject, "How much of the model was seen, and how large it gets."},
    {"/coverage/matrices", kUnsigned, "Expert matrices and other weights of the model."},
    {"/coverage/measured", kUnsigned, "Of them, those with numbers."},
    {"/coverage/source_bytes", kUnsigned, "Of the checkpoint as it is."},
    {"/coverage/untouched_bytes", kUnsigned, "Of what no unit holds."},
    {"/coverage/bytes", kUnsigned,
     "Of all units and what is untouched; headers of files are not in it."},
    {"/coverage/quantized_weights", kUnsigned, "Weights that are not stored as floats."},
    {"/coverage/bits_per_weight", kNumber,
     "Of those, with scales and biases; null: there are none.", kOrNull},
    {"/not_known", kStrings, "What the recipe can't tell, in sentences."},
};

[[nodiscard]] tl::unexpected<Error> Bad(const std::string& where, const std::string& pointer,
                                        const std::string& message) {
  return Malformed(fmt::format("{}: {}", where, pointer.empty() ? "/" : pointer), message);
}

/// "a, b, c" of "a|b|c".
std::string Listed(std::string_view values) {
  std::string text;
  for (const char c : values) text += c == '|' ? std::string(", ") : std::string(1, c);
  return text;
}

bool IsAmong(std::string_view values, const std::string& value) {
  return fmt::format("|{}|", values).find(fmt::format("|{}|", value)) != std::string::npos;
}

bool IsWhole(const Json& value) { return value.is_number_integer(); }

bool IsUnsigned(const Json& value) {
  return value.is_number_unsigned() || (IsWhole(value) && value.get<int64_t>() >= 0);
}

bool IsFinite(const Json& value) { return value.is_number() && std::isfinite(value.get<double>()); }

/// Whether `value` is a list whose elements all are such.
bool AreAll(const Json& value, bool (*is_such)(const Json&)) {
  return std::all_of(value.begin(), value.end(), is_such);
}

bool IsShape(const Json& value) {
  return value.is_array() && (value.size() == 2 || value.size() == 3) &&
         AreAll(value, [](const Json& n) { return IsUnsigned(n) && n.get<uint64_t>() > 0; });
}

bool IsScheme(const Json& value) {
  if (value.is_string()) return value.text() == kFloatScheme;
  const QuantMode* mode = FindQuantMode(value["mode"].text());
  const auto is_of = [&](const char* key, std::span<const int64_t> allowed) {
    return IsWhole(value[key]) && std::ranges::count(allowed, value[key].get<int64_t>()) > 0;
  };
  return mode != nullptr && is_of("bits", mode->bits) && is_of("group_size", mode->group_sizes);
}

/// A type: what it is called, and what is of it.
struct TypeRow {
  FieldType type;
  std::string_view name;
  bool (*has)(const Json& value);
};
constexpr TypeRow kTypes[] = {
    {kObject, "an object", [](const Json& v) { return v.is_object(); }},
    {kObjects, "a list of objects",
     [](const Json& v) {
       return v.is_array() && AreAll(v, [](const Json& item) { return item.is_object(); });
     }},
    {kString, "a string", [](const Json& v) { return v.is_string(); }},
    {kStrings, "a list of strings",
     [](const Json& v) {
       return v.is_array() && AreAll(v, [](const Json& item) { return item.is_string(); });
     }},
    {kInteger, "an integer", IsWhole},
    {kUnsigned, "an integer from 0 on", IsUnsigned},
    {kNumber, "a number", IsFinite},
    {kNumbers, "an object of numbers",
     [](const Json& v) {
       return std::ranges::all_of(v.items(), IsFinite, &Json::Member::value) && v.is_object();
     }},
    {kShape, "a list of two or three integers from 1 on", IsShape},
    {kScheme, "\"float\", or an object of mode, bits and group_size that MLX knows", IsScheme},
};

const TypeRow& RowOf(FieldType type) { return *std::ranges::find(kTypes, type, &TypeRow::type); }

Result<void> CheckValue(const RecipeField& field, const Json& value, const std::string& where,
                        const std::string& pointer) {
  const TypeRow& type = RowOf(field.type);
  if (field.nullable && value.is_null()) return {};
  if (!type.has(value)) {
    return Bad(where, pointer,
               fmt::format("must be {}{}", type.name, field.nullable ? ", or null" : ""));
  }
  if (field.pointer == kVersionKey && value.get<uint64_t>() != Recipe::kSchemaVersion) {
    return Bad(where, pointer,
               fmt::format("is {}, but this program reads {}", value.get<uint64_t>(),
                           Recipe::kSchemaVersion));
  }
  if (!field.values.empty() && !IsAmong(field.values, value.text())) {
    return Bad(where, pointer,
               fmt::format("must be one of {}, but is \"{}\"", Listed(field.values), value.text()));
  }
  return {};
}

/// The value at `rest` of the field's pointer, below `json`, which stands at `pointer`.
Result<void> CheckAt(const RecipeField& field, std::string_view rest, const Json& json,
                     const std::string& where, const std::string& pointer) {
  if (rest.empty()) return CheckValue(field, json, where, pointer);
  const size_t end = std::min(rest.find('/', 1), rest.size());
  const std::string key(rest.substr(1, end - 1));
  rest.remove_prefix(end);
  if (key != "*") {
    const std::string below = pointer + "/" + key;
    if (!json.contains(key)) {
      if (field.optional && rest.empty()) return {};
      return Bad(where, below, "is missing");
    }
    return CheckAt(field, rest, json[key], where, below);
  }
  size_t i = 0;
  for (const Json& item : json) {
    auto done = CheckAt(field, rest, item, where, fmt::format("{}/{}", pointer, i++));
    if (!done) return done;
  }
  return {};
}

// ---- JSON Schema ----

Json SchemaOfType(const char* type) { return {{"type", type}}; }

Json SchemaOfList(const Json& items) { return {{"type", "array"}, {"items", items}}; }

Json SchemaOfScheme() {
  Json any = Json::Array({{{"const", kFloatScheme}}});
  for (const QuantMode& mode : QuantModes()) {
    any.push_back({{"type", "object"},
                   {"properties",
                    {{"mode", {{"const", mode.name}}},
                     {"bits", {{"enum", mode.bits}}},
                     {"group_size", {{"enum", mode.group_sizes}}}}},
                   {"required", std::vector<std::string>{"mode", "bits", "group_size"}}});
  }
  return {{"anyOf", any}};
}

/// Of the object whose keys stand below `pointer` in the table.
Json SchemaOfObject(const std::string& pointer);

Json SchemaOf(const RecipeField& field) {
  const std::string pointer(field.pointer);
  switch (field.type) {
    case kObject:
      return SchemaOfObject(pointer);
    case kObjects:
      return SchemaOfList(SchemaOfObject(pointer + "/*"));
    case kString:
      return SchemaOfType("string");
    case kStrings:
      return SchemaOfList(SchemaOfType("string"));
    case kInteger:
      return SchemaOfType("integer");
    case kUnsigned:
      return {{"type", "integer"}, {"minimum", 0}};
    case kNumber:
      return SchemaOfType("number");
    case kNumbers:
      return {{"type", "object"}, {"additionalProperties", SchemaOfType("number")}};
    case kShape:
      return {{"type", "array"},
              {"items", {{"type", "integer"}, {"minimum", 1}}},
              {"minItems", 2},
              {"maxItems", 3}};
    case kScheme:
      return {{"$ref", "#/$defs/scheme"}};
  }
  return {};
}

Json SchemaWithDoc(const RecipeField& field) {
  Json schema = SchemaOf(field);
  for (std::string_view rest = field.values; !rest.empty();) {
    const size_t end = std::min(rest.find('|'), rest.size());
    schema["enum"].push_back(std::string(rest.substr(0, end)));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (field.pointer == kVersionKey) schema["const"] = Recipe::kSchemaVersion;
  if (field.nullable) schema = {{"anyOf", std::vector<Json>{schema, SchemaOfType("null")}}};
  schema["description"] = std::string(field.doc);
  return schema;
}

Json SchemaOfObject(const std::string& pointer) {
  Json schema = SchemaOfType("object");
  for (const RecipeField& field : kFields) {
    const std::string_view below = field.pointer;
    if (!below.starts_with(pointer + "/") ||
        below.find('/', pointer.size() + 1) != std::string_view::npos) {
      continue;
    }
    schema["properties"][std::string(field.name())] = SchemaWithDoc(field);
    if (!field.optional) schema["required"].push_back(std::string(field.name()));
  }
  return schema;
}

}  // namespace

Result<void> CheckRecipeFields(const Json& recipe, const std::string& where) {
  if (!recipe.is_object()) return Bad(where, "", "must be an object");
  for (const RecipeField& field : kFields) {
    auto done = CheckAt(field, field.pointer, recipe, where, "");
    if (!done) return done;
  }
  return {};
}

std::string RecipeSchemaText() {
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                 {"title", "moescope recipe.json"}};
  schema.Update(SchemaOfObject(""));
  schema["$defs"] = {{"scheme", SchemaOfScheme()}};
  return JsonText(schema);
}

}  // namespace moe
