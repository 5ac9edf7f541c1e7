#include "base/json_text.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/temp_folder.h"
#include "base/test_json.h"

namespace moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ParseLenientJson, UnderstandsPythonsLiterals) {
  const auto json = ParseLenientJson(R"({"a": NaN, "b": [Infinity, -Infinity], "c": 1})", "J");
  ASSERT_TRUE(json.has_value()) << json.error().Text();
  EXPECT_TRUE(std::isnan((*json)["a"].get<double>()));
  EXPECT_EQ((*json)["b"][0].get<double>(), HUGE_VAL);
  EXPECT_EQ((*json)["b"][1].get<double>(), -HUGE_VAL);
}

TEST(ParseLenientJson, LeavesTheirNamesInStringsAndKeysAlone) {
  const auto json =
      ParseLenientJson(R"({"NaN": "Infinity", "q": "\"NaN", "e": "\\", "n": NaN})", "J");
  ASSERT_TRUE(json.has_value()) << json.error().Text();
  EXPECT_EQ((*json)["NaN"], "Infinity");
  EXPECT_EQ((*json)["q"], "\"NaN");
  EXPECT_TRUE((*json)["n"].is_number());
}

TEST(ParseLenientJson, RefusesEverythingElseThatIsNoJson) {
  for (const char* text :
       {"", "{", "{\"a\": nan}", "{\"a\": +Infinity}", "{\"a\": 1,}", "{'a': 1}", "{} {}",
        "{\"a\": NaNa}", "{\"a\" \"b\"}", "// x\n{}", "{\"a\": \"\xff\"}", "\"\\"}) {
    const auto json = ParseLenientJson(text, "J");
    ASSERT_FALSE(json.has_value()) << text;
    EXPECT_EQ(json.error().code, ErrorCode::kMalformed);
    EXPECT_EQ(json.error().where, "J");
    EXPECT_THAT(json.error().message, HasSubstr("line"));
  }
}

// A parser that walks what it has built needs as much stack as the text is deep.
TEST(ParseLenientJson, RefusesEndlessNesting) {
  for (const std::string open : {"[", "{\"a\":"}) {
    std::string text;
    for (int i = 0; i < 200'000; ++i) text += open;
    text += "1";
    text.append(200'000, open == "[" ? ']' : '}');
    const auto json = ParseLenientJson(text, "J");
    ASSERT_FALSE(json.has_value());
    EXPECT_THAT(json.error().message, HasSubstr("nested"));
  }
}

TEST(ParseLenientJson, ListsKeysThatStandTwiceInOneObject) {
  std::vector<std::string> duplicates;
  const auto json = ParseLenientJson(R"({"a": {"b": 1}, "b": 2, "c": [{"b": 1}, {"b": 1}],
                                        "a": {"b": 3, "b": 4}})",
                                     "J", &duplicates);
  ASSERT_TRUE(json.has_value()) << json.error().Text();
  EXPECT_THAT(duplicates, ElementsAre("a", "b"));
  EXPECT_EQ((*json)["a"]["b"], 4);
}

TEST(SortedJsonText, SortsKeysAtEveryLevel) {
  const Json json = {{"b", {{"z", 1}, {"a", ListOf(2, 3)}}}, {"a", "ü"}, {"c", std::nan("")}};
  EXPECT_EQ(SortedJsonText(json),
            "{\n  \"a\": \"ü\",\n  \"b\": {\n    \"a\": [\n      2,\n      3\n    ],\n"
            "    \"z\": 1\n  },\n  \"c\": null\n}\n");
}

TEST(JsonText, KeepsTheOrderOfKeys) {
  EXPECT_EQ(JsonText({{"b", 1}, {"a", 2}}), "{\n  \"b\": 1,\n  \"a\": 2\n}\n");
}

TEST(ReadTextFile, ReadsAllBytes) {
  const TempFolder folder;
  const std::string bytes("a\0\r\n\xff", 5);
  EXPECT_EQ(*ReadTextFile(folder.Write("f", bytes)), bytes);
  EXPECT_EQ(*ReadTextFile(folder.Write("empty")), "");
}

TEST(ReadTextFile, TellsAMissingFileFromOneItCantRead) {
  const TempFolder folder;
  EXPECT_EQ(ReadTextFile(folder.path() / "none").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(ReadTextFile(folder.path()).error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace moe
