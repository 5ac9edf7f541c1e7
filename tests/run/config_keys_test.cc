#include "run/config_keys.h"

#include <gmock/gmock.h>

#include <set>

#include "base/temp_folder.h"
#include "base/test_files.h"
#include "base/test_json.h"
#include "run/config.h"
#include "run/config_schema.h"
#include "run/config_template.h"

namespace moe {
namespace {

/// Every pointer of `json` as the key table writes them: `*` for list elements.
void AddPointers(const Json& json, const std::string& pointer, std::vector<std::string>& pointers) {
  if (!pointer.empty()) pointers.push_back(pointer);
  for (const auto& [key, value] : json.items()) {
    AddPointers(value, pointer + "/" + key, pointers);
  }
  for (const Json& item : json) {
    if (item.is_object()) AddPointers(item, pointer + "/*", pointers);
  }
}

/// The schema of the value at `pointer`, or null.
Json SchemaAt(const Json& schema, const std::string& pointer) {
  Json at = schema;
  size_t begin = 1;
  while (begin <= pointer.size()) {
    const size_t end = std::min(pointer.find('/', begin), pointer.size());
    const std::string name = pointer.substr(begin, end - begin);
    const char* others = at.contains("items") ? "items" : "additionalProperties";
    const Json named = std::as_const(at)["properties"][name];
    at = named.is_null() ? std::as_const(at)[others] : named;
    if (at.is_null()) return {};
    begin = end + 1;
  }
  return at;
}

// tests/data/run/analysis_config.json: the JSON of contract.md section 2 with the changes of its
// paragraph "Our template", through Python's json.dumps(indent=2).
TEST(ConfigTemplate, IsTheContractsByteForByte) {
  const auto golden = ReadTextFile(TestData() / "run/analysis_config.json");
  ASSERT_TRUE(golden.has_value());
  EXPECT_EQ(ConfigTemplateText(""), *golden);
}

TEST(ConfigTemplate, HoldsAnyModelPath) {
  for (const std::string path : {"/m", "/with \"quotes\" and \\", "/ü\n"}) {
    EXPECT_EQ(AsJson(ConfigTemplateText(path))["model_path"], path);
  }
  EXPECT_TRUE(Json::Parse(ConfigTemplateText("/not utf-8: \xff")).has_value());
}

TEST(ConfigKeys, StandOnceEachBelowASection) {
  std::set<std::string_view> seen = {""};
  for (const ConfigKey& key : ConfigKeys()) {
    EXPECT_TRUE(seen.insert(key.pointer).second) << key.pointer;
    std::string_view parent = key.pointer.substr(0, key.pointer.rfind('/'));
    if (parent.ends_with("/*")) parent.remove_suffix(2);
    EXPECT_TRUE(seen.contains(parent)) << key.pointer << " comes before its section";
    EXPECT_FALSE(key.doc.empty()) << key.pointer;
  }
}

TEST(ConfigKeys, TakeWhatTheirRowsSayOfAnAbsentKey) {
  size_t tried = 0;
  for (const ConfigKey& key : ConfigKeys()) {
    if (key.pointer.find('*') != std::string_view::npos || !Json::Parse(key.absent).has_value())
      continue;
    Json config = AsJson(ConfigTemplateText("/m"));
    PutAt(config, std::string(key.pointer), AsJson(key.absent));
    const auto parsed = ParseConfig(config.Text(), "C");
    ASSERT_TRUE(parsed.has_value()) << parsed.error().Text();
    EXPECT_THAT(parsed->warnings, testing::IsEmpty());
    ++tried;
  }
  EXPECT_GT(tried, 30u);
}

TEST(ConfigSchema, DescribesEveryKeyOfTheTemplate) {
  const Json schema = AsJson(ConfigSchemaText());
  EXPECT_THAT(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  std::vector<std::string> pointers;
  AddPointers(AsJson(ConfigTemplateText("")), "", pointers);
  ASSERT_GT(pointers.size(), 60u);
  for (const std::string& pointer : pointers) {
    if (pointer.find("/layout/") != std::string::npos) continue;  // any value: D9
    if (pointer.find("/packed_split/") != std::string::npos) continue;
    EXPECT_FALSE(SchemaAt(schema, pointer).is_null()) << pointer;
  }
}

TEST(ConfigSchema, SaysTypesNullsAllowedValuesAndRequiredKeys) {
  const Json schema = AsJson(ConfigSchemaText());
  EXPECT_EQ(schema["required"], AsJson(R"(["model_path", "scan", "parsing", "stats"])"));
  EXPECT_EQ(SchemaAt(schema, "/scan/max_files")["type"], AsJson(R"(["integer", "null"])"));
  EXPECT_EQ(SchemaAt(schema, "/stats/sample_seed")["minimum"], 0);
  EXPECT_EQ(SchemaAt(schema, "/mlx/backend")["enum"], AsJson(R"(["native", "mlx", "auto"])"));
  EXPECT_EQ(SchemaAt(schema, "/stats/percentiles_abs")["items"]["type"], "number");
  EXPECT_EQ(SchemaAt(schema, "/parsing/proj_aliases/*")["items"]["type"], "string");
}

TEST(ConfigSchema, AllowsTheModesOfMlxAndWhatEachTakes) {
  const Json entry = SchemaAt(AsJson(ConfigSchemaText()), "/quant_schemes")["items"];
  EXPECT_EQ(entry["properties"]["mode"]["enum"],
            AsJson(R"(["affine", "mxfp4", "mxfp8", "nvfp4"])"));
  const Json& nvfp4 = entry["allOf"][3];
  EXPECT_EQ(nvfp4["if"]["properties"]["mode"]["const"], "nvfp4");
  EXPECT_EQ(nvfp4["then"], AsJson(R"({"properties":
      {"bits": {"enum": [4]}, "group_size": {"enum": [16]}}})"));
}

TEST(ConfigSchema, AllowsExactlyTheValuesOfKeysThatAreCheckedElsewhere) {
  const Json schema = AsJson(ConfigSchemaText());
  for (const char* pointer : {"/scan/recursive", "/stats/quant_compute_dtype"}) {
    const Json values = SchemaAt(schema, pointer)["enum"];
    EXPECT_GE(values.size(), 3u);
    for (const Json& value : values) {
      Json config = AsJson(ConfigTemplateText("/m"));
      PutAt(config, pointer, value);
      EXPECT_TRUE(ParseConfig(config.Text(), "c").has_value()) << pointer << value.Text();
    }
  }
}

TEST(ConfigSchema, AllowsExactlyTheNamesThatAreUnderstood) {
  for (const ConfigKey& key : ConfigKeys()) {
    const bool profile = key.pointer == "/mlx/profile";
    if (!profile && key.pointer != "/mlx/backend") continue;
    const Json schema = SchemaAt(AsJson(ConfigSchemaText()), std::string(key.pointer));
    for (const Json& name : schema["enum"]) {
      if (name.is_null()) continue;
      const auto text = name.get<std::string>();
      EXPECT_TRUE(profile ? ParseProfile(text).has_value() : ParseBackend(text).has_value())
          << text;
    }
  }
}

TEST(ConfigKeysMarkdown, IsTheTableOfTheDocumentation) {
  EXPECT_THAT(DocText("config.md"),
              testing::HasSubstr("<!-- keys -->\n" + ConfigKeysMarkdown() + "<!-- /keys -->"));
}

/// The members of `patch`, those of objects one by one.
void Merge(const Json& patch, Json& config) {
  for (const auto& [key, value] : patch.items()) {
    if (value.is_object()) {
      Merge(value, config[key]);
    } else {
      config[key] = value;
    }
  }
}

TEST(ConfigDocumentation, HasExamplesThatCanBePutIntoTheTemplate) {
  const std::string doc = DocText("config.md");
  constexpr std::string_view kBegin = "```json\n", kEnd = "\n```";
  int examples = 0;
  for (size_t at = doc.find(kBegin); at != std::string::npos; at = doc.find(kBegin, at + 1)) {
    const size_t begin = at + kBegin.size();
    const std::string text = "{" + doc.substr(begin, doc.find(kEnd, begin) - begin) + "}";
    SCOPED_TRACE(text);
    ASSERT_TRUE(Json::Parse(text).has_value());
    Json config = AsJson(ConfigTemplateText("m"));
    Merge(AsJson(text), config);
    const auto parsed = ParseConfig(config.Text(), "C");
    ASSERT_TRUE(parsed.has_value()) << parsed.error().Text();
    EXPECT_THAT(parsed->warnings, testing::IsEmpty());
    for (const ExtractRule& rule : parsed->extract.rules) {
      EXPECT_EQ(rule.layout_error.value_or(""), "");
      EXPECT_EQ(rule.packed_split_error.value_or(""), "");
    }
    ++examples;
  }
  EXPECT_GT(examples, 3);
}

TEST(ConfigKeysMarkdown, HasFiveCellsInEveryRow) {
  const std::string table = ConfigKeysMarkdown();
  size_t begin = 0;
  while (begin < table.size()) {
    const size_t end = table.find('\n', begin);
    const std::string row = table.substr(begin, end - begin);
    size_t bars = 0;
    for (size_t i = 0; i < row.size(); ++i) bars += row[i] == '|' && (i == 0 || row[i - 1] != '\\');
    EXPECT_EQ(bars, 6u) << row;
    begin = end + 1;
  }
}

}  // namespace
}  // namespace moe
