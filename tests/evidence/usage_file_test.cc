#include "evidence/usage_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/temp_folder.h"

namespace moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

Result<UsageFile> Opened(const std::string& text) {
  const TempFolder folder;
  return UsageFile::Open(folder.Write("usage", text));
}

struct GoodCase {
  const char* name;
  std::string text;
  bool rows;
};

// All say: expert 0 of layer 1 saw 5 tokens, expert 2 of it 7.5; layer 0 is dense.
const GoodCase kGood[] = {
    {"Csv", "layer,expert,tokens\n1,0,5\n1,2,7.5\n", false},
    {"CsvOfOtherOrder", "tokens, Expert ,name,LAYER\r\n4,0,a,1\r\n\r\n1,0,b,1\r\n7.5,2,,1", false},
    {"CsvQuoted", "\"layer\",\"expert\",\"tokens\"\n\"1\",\"0\",\"5\"\n\"1\",\"2\",\"7.5\"\n",
     false},
    {"JsonByExpert", R"({"1": {"0": 5, "2": 7.5}})", false},
    {"JsonList", R"({"1": [5, 0, 7.5]})", false},
    {"Rows", "[[0, 0, 0], [5, 0, 7.5]]", true},
    {"SglangsDump", R"({"rank": 0, "logical_count": [[0, 0, 0], [5, 0, 7.5]]})", true},
    {"SglangsSteps", R"({"logical_count": [[[0, 0, 0], [1, 0, 7]], [[0, 0, 0], [4, 0, 0.5]]]})",
     true},
};

class GoodUsage : public testing::TestWithParam<GoodCase> {};

TEST_P(GoodUsage, SaysTokensByLayerAndExpert) {
  const auto file = Opened(GetParam().text);
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  EXPECT_EQ(file->rows.has_value(), GetParam().rows);
  EXPECT_EQ(file->rows.value_or(2), 2U);
  auto experts = file->tokens.at(1);
  std::erase_if(experts, [](const auto& expert) { return expert.second == 0; });
  EXPECT_THAT(experts, ElementsAre(Pair(0, 5), Pair(2, 7.5)));
}

INSTANTIATE_TEST_SUITE_P(All, GoodUsage, testing::ValuesIn(kGood),
                         [](const auto& test) { return test.param.name; });

struct BadCase {
  const char* name;
  std::string text;
  const char* part;
};

const BadCase kBad[] = {
    {"Empty", "", "has no column 'layer'"},
    {"NoTokens", "layer,expert\n1,0\n", "has no column 'tokens'"},
    {"NoNumber", "layer,expert,tokens\n1,0,many\n", "line 2 does not say"},
    {"ShortLine", "layer,expert,tokens\n1,0,5\n1,1\n", "line 3 does not say"},
    {"Negative", "layer,expert,tokens\n1,0,-5\n", "line 2 has a number that is negative"},
    {"NegativeLayer", "layer,expert,tokens\n-1,0,5\n", "line 2 has a number that is negative"},
    {"NotFinite", "layer,expert,tokens\n1,0,inf\n", "negative or not finite"},
    {"HugeLayer", "layer,expert,tokens\n99999999999,0,5\n", "line 2 does not say"},
    {"JsonNan", R"({"1": [NaN]})", "negative or not finite"},
    {"JsonNumber", R"({"1": 5})", "layer '1' does not say"},
    {"JsonWords", R"({"one": [5]})", "layer 'one' does not say"},
    {"JsonText", R"({"1": ["5"]})", "layer '1' does not say"},
    {"Huge", "layer,expert,tokens\n1,0,9007199254740994\n",
     "line 2 has a number that is above 2^53"},
    {"HugeSum", "layer,expert,tokens\n1,0,9007199254740992\n1,0,9007199254740992\n",
     "line 3 has a number that is above 2^53"},
    {"JsonHuge", R"({"1": [1e300]})", "layer '1' has a number that is above 2^53"},
    {"HeaderAlone", "layer,expert,tokens\n\n", "has no counts"},
    {"JsonEmpty", "{}", "has no counts"},
    {"JsonEmptyLayer", R"({"1": []})", "has no counts"},
    {"JsonEmptyList", "[]", "has no counts"},
    {"JsonEmptyRow", "[[]]", "has no counts"},
    {"JsonEmptyStep", "[[[]]]", "has no counts"},
    {"JsonEmptyDump", R"({"logical_count": []})", "has no counts"},
    {"JsonFlatList", "[1, 2]", "row 0 does not say"},
    {"StepsOfOtherSizes", "[[[1], [2]], [[1]]]", "a step of 2 layers and one of 1"},
    {"BrokenJson", "{\"1\": [5}", "usage"},
};

class BadUsage : public testing::TestWithParam<BadCase> {};

TEST_P(BadUsage, IsRefusedWithTheReason) {
  const auto file = Opened(GetParam().text);
  ASSERT_FALSE(file.has_value());
  EXPECT_EQ(file.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(file.error().Text(), HasSubstr(GetParam().part));
}

INSTANTIATE_TEST_SUITE_P(All, BadUsage, testing::ValuesIn(kBad),
                         [](const auto& test) { return test.param.name; });

TEST(UsageFile, OfTorchIsNotReadButToldHowToConvert) {
  const auto file = Opened(std::string("PK\x03\x04", 4) + "archive/data.pkl");
  ASSERT_FALSE(file.has_value());
  EXPECT_EQ(file.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(file.error().hint, HasSubstr("logical_count"));
}

}  // namespace
}  // namespace moe
