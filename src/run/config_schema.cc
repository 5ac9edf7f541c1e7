#include "run/config_schema.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "measure/quant_modes.h"
#include "run/config_keys.h"
#include "run/config_template.h"

namespace moe {
namespace {

using enum KeyType;

/// The template's value of `key` in the Markdown table; "" for sections and for parts of lists.
std::string TemplateCell(const ConfigKey& key, const Json& defaults) {
  if (key.pointer.find('*') != std::string_view::npos) return "";
  const Json* value = defaults.At(key.pointer);
  if (key.type == kObject || key.type == kObjectList || value == nullptr) return "";
  std::string cell = "`";
  for (const char c : value->Text()) {
    if (c == '|') cell += '\\';  // else it would end the cell
    cell += c;
  }
  return cell + "`";
}

Json SchemaOf(const ConfigKey& key, const std::string& pattern);

Json SchemaOfObject(const std::string& pattern) {
  Json schema = {{"type", "object"}};
  for (const ConfigKey* child : ConfigKeysBelow(pattern)) {
    const std::string name(child->name());
    const Json child_schema = SchemaOf(*child, std::string(child->pointer));
    if (name == "*") {
      schema["additionalProperties"] = child_schema;
    } else {
      schema["properties"][name] = child_schema;
      if (child->required) schema["required"].push_back(name);
    }
  }
  return schema;
}

/// The modes of an entry of quant_schemes, and what each takes. Not in the table of keys: other
/// values are read too, and give rows with `error`.
void AddModes(Json& entry) {
  for (const QuantMode& mode : QuantModes()) {
    entry["properties"]["mode"]["enum"].push_back(std::string(mode.name));
    const Json takes = {{"bits", {{"enum", mode.bits}}},
                        {"group_size", {{"enum", mode.group_sizes}}}};
    const Json is_mode = {{"properties", {{"mode", {{"const", std::string(mode.name)}}}}}};
    entry["allOf"].push_back({{"if", is_mode}, {"then", {{"properties", takes}}}});
  }
}

Json SchemaOf(const ConfigKey& key, const std::string& pattern) {
  const auto list_of = [](const char* type) {
    return Json{{"type", "array"}, {"items", {{"type", type}}}};
  };
  Json schema = Json::Object();
  switch (key.type) {
    case kObject:
      schema = SchemaOfObject(pattern);
      break;
    case kSwitch:
      schema = SchemaOfObject(pattern);
      schema["type"] = Json::Array({"boolean", "object"});
      break;
    case kObjectList:
      schema = {{"type", "array"}, {"items", SchemaOfObject(pattern + "/*")}};
      break;
    case kString:
      schema["type"] = "string";
      break;
    case kBool:
      schema["type"] = "boolean";
      break;
    case kInteger:
      schema["type"] = "integer";
      break;
    case kUnsigned:
      schema = {{"type", "integer"}, {"minimum", 0}};
      break;
    case kNumber:
      schema["type"] = "number";
      break;
    case kStringList:
      schema = list_of("string");
      break;
    case kIntegerList:
      schema = list_of("integer");
      break;
    case kNumberList:
      schema = list_of("number");
      break;
    case kAny:
      break;
  }
  if (!key.values.empty()) {
    (key.type == kStringList ? schema["items"] : schema)["enum"] = AllowedValues(key);
  }
  if (key.nullable && schema.contains("type")) {
    if (schema["type"].is_string()) schema["type"] = Json::Array({schema["type"]});
    schema["type"].push_back("null");
    if (schema.contains("enum")) schema["enum"].push_back(nullptr);
  }
  if (!key.schema_enum.empty()) schema["enum"] = *Json::Parse(key.schema_enum);
  if (key.pointer == "/quant_schemes") AddModes(schema["items"]);
  schema["description"] = std::string(key.doc);
  return schema;
}

}  // namespace

std::string ConfigSchemaText() {
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                 {"title", "moescope analysis_config.json"}};
  schema.Update(SchemaOfObject(""));
  return JsonText(schema);
}

std::string ConfigKeysMarkdown() {
  const Json defaults = *Json::Parse(ConfigTemplateText(""));
  std::string text =
      "| key | type | template | absent means | meaning |\n| --- | --- | --- | --- | --- |\n";
  for (const ConfigKey& key : ConfigKeys()) {
    std::string name(key.pointer.substr(1));
    std::replace(name.begin(), name.end(), '/', '.');
    const std::string values = fmt::format("{}", fmt::join(AllowedValues(key), ", "));
    text += fmt::format("| `{}` | {}{}{} | {} | {} | {} |\n", name, ExpectedOf(key),
                        values.empty() ? "" : ": ", values, TemplateCell(key, defaults),
                        Json::Parse(key.absent) ? fmt::format("`{}`", key.absent) : key.absent,
                        key.doc);
  }
  return text;
}

}  // namespace moe
