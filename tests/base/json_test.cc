#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "base/json_builder.h"
#include "base/test_json.h"

namespace moe {
namespace {

using testing::ElementsAre;

TEST(Json, KeepsTheKindOfEachNumber) {
  const Json json = AsJson(R"([1, -1, 18446744073709551615, 1.0, 18446744073709551616, 1e-7])");
  EXPECT_TRUE(json[0].is_number_unsigned());
  EXPECT_TRUE(json[1].is_number_integer());
  EXPECT_FALSE(json[1].is_number_unsigned());
  EXPECT_EQ(json[2].get<uint64_t>(), std::numeric_limits<uint64_t>::max());
  EXPECT_TRUE(json[3].is_number_float());
  EXPECT_TRUE(json[4].is_number_float());
  EXPECT_EQ(json.Text(), "[1,-1,18446744073709551615,1.0,1.8446744073709552e+19,1e-07]");
}

TEST(Json, ComparesNumbersAsNumbers) {
  EXPECT_EQ(Json(1), Json(1U));
  EXPECT_EQ(Json(1), Json(1.0));
  EXPECT_EQ(Json(4U), AsJson("4.0"));
  EXPECT_NE(Json(-1), Json(std::numeric_limits<uint64_t>::max()));
  EXPECT_NE(Json(1), Json("1"));
  EXPECT_NE(Json(1), Json(true));
  EXPECT_NE(Json(std::nan("")), Json(std::nan("")));
  EXPECT_EQ(AsJson(R"({"a": [1, {"b": null}]})"), AsJson(R"({"a": [1.0, {"b": null}]})"));
  EXPECT_NE(AsJson(R"({"a": 1, "b": 2})"), AsJson(R"({"b": 2, "a": 1})"));
}

TEST(Json, IsMadeOfWhatStandsThere) {
  Json json = {{"name", "x"}, {"sizes", std::vector<int>{2, 3}}, {"by", {{"k", true}}}};
  json["map"] = std::map<std::string, double>{{"a", 0.5}};
  json["name"] = std::string("y");
  json["none"] = std::vector<int>();
  json["list"].push_back(nullptr);
  json["list"].push_back(ListOf("p", -2));
  EXPECT_EQ(json.Text(), R"({"name":"y","sizes":[2,3],"by":{"k":true},"map":{"a":0.5},"none":[],)"
                         R"("list":[null,["p",-2]]})");
  json.erase("list");
  json.Update({{"none", 1}, {"more", Json::Object()}});
  EXPECT_EQ(json.Text(), R"({"name":"y","sizes":[2,3],"by":{"k":true},"map":{"a":0.5},"none":1,)"
                         R"("more":{}})");
}

TEST(Json, AnswersWhatIsNotThereWithNothing) {
  const Json json = AsJson(R"({"a": {"b": [10, {"c": "t"}]}})");
  EXPECT_EQ(json.At("/a/b/1/c")->text(), "t");
  EXPECT_EQ(*json.At(""), json);
  for (const char* pointer : {"/a/b/2", "/a/b/x", "/a/c", "/a/b/0/c"}) {
    EXPECT_EQ(json.At(pointer), nullptr) << pointer;
  }
  EXPECT_TRUE(json["x"]["y"][3].is_null());
  EXPECT_TRUE(json["a"]["b"][2].is_null());
  EXPECT_EQ(json["a"].text(), "");
  EXPECT_EQ(json["a"].get<int>(), 0);
  EXPECT_EQ(json["a"]["b"].Find("c"), nullptr);
  EXPECT_EQ(json.size(), 1u);
  EXPECT_EQ(json, AsJson(R"({"a": {"b": [10, {"c": "t"}]}})"));  // asking has added nothing
}

TEST(Json, IsWrittenInEachStyle) {
  const Json json = {{"b", "\u00fc\xff\n"},
                     {"a", ListOf(std::numeric_limits<double>::infinity(), std::nan(""))}};
  EXPECT_EQ(json.Text(), "{\"b\":\"\u00fc\ufffd\\n\",\"a\":[null,null]}");
  EXPECT_EQ(json.Text({.ascii = true, .sorted = true}),
            R"({"a":[null,null],"b":"\u00fc\ufffd\n"})");
  EXPECT_EQ(Json({{"a", Json::Array()}, {"b", 1}}).Text({.indented = true}),
            "{\n  \"a\": [],\n  \"b\": 1\n}");
}

TEST(Json, TakesTheLastOfTwoValuesInTheFirstOnesPlace) {
  EXPECT_EQ(AsJson(R"({"a": 1, "b": 2, "a": 3})").Text(), R"({"a":3,"b":2})");
}

TEST(Json, IsNotParsedDeeperThanItCanBeWalked) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(Json::Parse(nested(Json::kDeepest)).has_value());
  EXPECT_FALSE(Json::Parse(nested(Json::kDeepest + 1)).has_value());
  EXPECT_FALSE(Json::Parse(nested(1'000'000)).has_value());
}

TEST(Json, IsNoTextThatIsCutOffOrGoesOn) {
  for (const char* text : {"", "{", "[1,]", "{\"a\"}", "1 2", "nul", "\"\xff\"", "1e999"}) {
    EXPECT_FALSE(Json::Parse(text).has_value()) << text;
  }
}

TEST(ReadJson, SaysWhereATextIsNoJson) {
  JsonBuilder builder;
  const auto fault = ReadJson("{\"a\": tru }", builder);
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->byte, 10u);
  EXPECT_THAT(fault->message, testing::StartsWith("parse error at line 1, column 10: "));
  EXPECT_THAT(fault->message, testing::Not(testing::HasSubstr("tru")));
  EXPECT_EQ(fault->last_read, "; last read: '\"a\": tru '");
}

TEST(JsonBuilder, TellsTheWayToAKeyThatStandsTwice) {
  JsonBuilder builder;
  std::vector<std::vector<std::string>> found;
  builder.on_duplicate = [&](const auto& path) { found.push_back(path); };
  const auto fault =
      ReadJson(R"({"m": {"x": 1, "y": [{"z": 1, "z": 2}], "x": 2}, "n": {"x": 1}})", builder);
  ASSERT_FALSE(fault.has_value());
  EXPECT_THAT(found, ElementsAre(ElementsAre("m", "y", "z"), ElementsAre("m", "x")));
}

}  // namespace
}  // namespace moe
