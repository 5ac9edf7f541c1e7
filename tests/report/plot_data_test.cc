#include "report/plot_data.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "base/json_text.h"
#include "base/temp_folder.h"
#include "base/test_json.h"

namespace moe {
namespace {

using enum PlotKind;
using testing::HasSubstr;

Result<std::vector<Drawing>> DrawCsv(const std::string& text, const PlotSpec& spec) {
  const TempFolder folder;
  const auto table = TableReader::Open(folder.Write("t.csv", text));
  return DrawingsOf(**table, spec);
}

/// The data of the only picture.
Json DataOf(const std::string& text, const PlotSpec& spec) {
  const auto drawings = DrawCsv(text, spec);
  if (!drawings) return drawings.error().Text();
  EXPECT_EQ(drawings->size(), 1u);
  return drawings->empty() ? Json() : AsJson(drawings->front().data.value());
}

const PlotSpec kRmsBars = {"A", "rms__median", kBars, false, "global", false};
const PlotSpec kErrorBars = {"B", "w_rel_fro__median", kBars, true, "global", false};
const PlotSpec kRmsLines = {"A", "rms__median", kLines, false, "layer", false};
const PlotSpec kErrorLines = {"quant_sim", "w_rel_fro", kLines, true, "layer", false};
const PlotSpec kRmsHeatmap = {"matrix_stats", "rms", kHeatmap, false, "maps", false};
const PlotSpec kErrorHeatmap = {"quant_sim", "w_rel_fro", kHeatmap, true, "maps", false};

TEST(Bars, AreMediansByProjectionSortedAsText) {
  const Json data = DataOf(
      "proj,rms__median\n"
      "up,2\ngate,1\ngate,3\nup,6\ngate,100\ngate,bad\ngate,\n",
      kRmsBars);
  EXPECT_EQ(data["labels"], ListOf("gate", "up"));
  EXPECT_EQ(data["values"], ListOf(3.0, 4.0));
  EXPECT_EQ(data["colours"], ListOf(0, 1));
  EXPECT_EQ(data["yName"], "rms");
}

TEST(Bars, OfProjectionAndSchemeHaveTheColourOfTheScheme) {
  const Json data = DataOf(
      "proj,scheme,w_rel_fro__median\n"
      "up,q8,0.3\nup,q4,0.2\ngate,q8,0.1\n",
      kErrorBars);
  EXPECT_EQ(data["labels"], ListOf("gate / q8", "up / q4", "up / q8"));
  EXPECT_EQ(data["values"], ListOf(0.1, 0.2, 0.3));
  EXPECT_EQ(data["colours"], ListOf(1, 0, 1));
}

TEST(Lines, HaveAValueForEachLayerThatAnyOfThemHas) {
  const Json data = DataOf(
      "layer,proj,rms__median\n"
      "10,up,1\n2,up,3\n2,up,5\n2,gate,7\n-1,gate,9\n,gate,11\n",
      kRmsLines);
  EXPECT_EQ(data["x"], ListOf(-1, 2, 10));  // as numbers, an unknown layer as it is
  ASSERT_EQ(data["series"].size(), 2u);
  EXPECT_EQ(data["series"][0]["name"], "gate");
  EXPECT_EQ(data["series"][0]["y"], ListOf(9.0, 7.0, nullptr));
  EXPECT_EQ(data["series"][1]["y"], ListOf(nullptr, 4.0, 1.0));
}

TEST(Lines, OfASchemeShareItsColourAndThoseOfAProjectionItsDash) {
  const Json data = DataOf(
      "layer,expert_id,proj,scheme,w_rel_fro\n"
      "0,0,a,q4,1\n0,0,b,q4,1\n0,0,b,q8,1\n",
      kErrorLines);
  std::vector<std::string> looks;
  for (const Json& line : data["series"]) {
    looks.push_back(line["name"].get<std::string>() + " " + line["colour"].Text() + " " +
                    line["dash"].Text());
  }
  EXPECT_THAT(looks, testing::ElementsAre("a / q4 0 0", "b / q4 0 1", "b / q8 1 1"));
}

TEST(Lines, DoNotNeedAnExpert) {
  EXPECT_EQ(DataOf("layer,proj,scheme,w_rel_fro\n0,a,q4,1\n", kErrorLines)["x"], ListOf(0));
}

TEST(Heatmap, HasARowForEachExpertAndNullWhereThereIsNone) {
  const Json data = DataOf(
      "layer,expert_id,proj,rms\n"
      "3,10,up,1\n3,2,up,2\n4,2,up,3\n4,2,up,5\n4,-1,up,7\n",
      kRmsHeatmap);
  EXPECT_EQ(data["xLabels"], ListOf("3", "4"));
  EXPECT_EQ(data["yLabels"], ListOf("-1", "2", "10"));  // shared experts: -1
  EXPECT_EQ(data["values"], ListOf(nullptr, 7.0, 2.0, 4.0, 1.0, nullptr));
  EXPECT_EQ(data["scale"], ListOf(1.0, 2.0, 4.0, 7.0));
}

TEST(Heatmaps, OfOneSchemeShareTheirScaleAndOthersHaveEachTheirOwn) {
  const auto stats =
      DrawCsv("layer,expert_id,proj,rms\n0,0,a,1\n0,1,a,2\n0,0,b,5\n0,1,b,9\n", kRmsHeatmap);
  ASSERT_TRUE(stats);
  ASSERT_EQ(stats->size(), 2u);
  EXPECT_EQ(AsJson((*stats)[0].data.value())["scale"], ListOf(1.0, 2.0));
  EXPECT_EQ(AsJson((*stats)[1].data.value())["scale"], ListOf(5.0, 9.0));

  const auto quant = DrawCsv(
      "layer,expert_id,proj,scheme,w_rel_fro\n"
      "0,0,a,q4,1\n0,1,a,q4,2\n0,0,b,q4,5\n0,0,a,q8,0.5\n0,1,a,q8,0.25\n",
      kErrorHeatmap);
  ASSERT_TRUE(quant);
  ASSERT_EQ(quant->size(), 3u);
  const std::string names[] = {"a q4", "a q8", "b q4"};
  const Json scales[] = {ListOf(1.0, 2.0, 5.0), ListOf(0.25, 0.5), ListOf(1.0, 2.0, 5.0)};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ((*quant)[i].proj + " " + (*quant)[i].scheme, names[i]);
    EXPECT_EQ(AsJson((*quant)[i].data.value())["scale"], scales[i]);
  }
}

TEST(Drawings, ThereAreNoneWithoutAValue) {
  for (const char* text :
       {"", "\n", "layer,expert_id,proj,rms\n", "layer,expert_id,proj,rms\n0,0,up,\n",
        "layer,expert_id,proj,rms\n0,0,,1\n", "layer,expert_id,proj,rms\n,0,up,1\n",
        "layer,expert_id,proj,rms\n0,0,up,inf\n"}) {
    const auto drawings = DrawCsv(text, kRmsHeatmap);
    ASSERT_TRUE(drawings) << text << drawings.error().Text();
    EXPECT_TRUE(drawings->empty()) << text;
  }
}

TEST(Drawings, OfTextSayThatItIsNotNumeric) {
  for (const char* text : {"oops", "a list"}) {
    const auto drawings =
        DrawCsv(fmt::format("layer,expert_id,proj,rms\n0,0,up,{}\n0,1,up,\n", text), kRmsHeatmap);
    ASSERT_FALSE(drawings);
    EXPECT_EQ(drawings.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(drawings.error().Text(), HasSubstr("column 'rms' of matrix_stats is not numeric"));
  }
}

TEST(Drawings, NameTheColumnsThatTheTableLacks) {
  const auto drawings = DrawCsv("expert_id,scheme\n0,q4\n", kErrorHeatmap);
  ASSERT_FALSE(drawings);
  EXPECT_EQ(drawings.error().code, ErrorCode::kBadArgument);
  EXPECT_THAT(
      drawings.error().Text(),
      HasSubstr("quant_sim is missing required columns for plotting: layer, proj, w_rel_fro"));
}

struct Token {
  const char* text;
  const char* shown;  ///< in the error; nullptr: it is a layer
};

TEST(Axes, TakeWholeNumbersHoweverTheyAreWritten) {
  const Token tokens[] = {
      {"1", nullptr},   {"1.0", nullptr},   {" 1 ", nullptr},    {"1e0", nullptr}, {"", nullptr},
      {"NaN", nullptr}, {"-1", nullptr},    {"oops", "'oops'"},  {"1.5", "1.5"},   {"inf", "inf"},
      {"0x1", "'0x1'"}, {"True", "'True'"}, {"1e300", "1e+300"},
  };
  for (const Token& token : tokens) {
    SCOPED_TRACE(token.text);
    // A row of its own before it, so that the file's other cells do not decide the column's type.
    const auto drawings = DrawCsv(
        std::string("layer,proj,rms__median\n0,up,1\n") + token.text + ",up,2\n", kRmsLines);
    ASSERT_EQ(drawings.has_value(), token.shown == nullptr);
    if (token.shown == nullptr) continue;
    EXPECT_EQ(drawings.error().code, ErrorCode::kMalformed);
    EXPECT_THAT(drawings.error().Text(),
                HasSubstr("Invalid integer token in axis column 'layer' at row 1: " +
                          std::string(token.shown)));
  }
}

TEST(Axes, AreCheckedInRowsWithoutAValueToo) {
  const auto drawings = DrawCsv("layer,proj,rms__median\n0,up,1\nx,up,\n", kRmsLines);
  ASSERT_FALSE(drawings);
  EXPECT_THAT(drawings.error().Text(), HasSubstr("Invalid integer token"));
}

TEST(Labels, AreOneLineOfCharactersThatXmlHasAndNotTooLong) {
  const std::pair<std::string, std::string> cases[] = {
      {"<script>&'", "<script>&'"},  // escaped where it is drawn
      {"a\tb\x01\x7f", R"(a\u0009b\u0001\u007f)"},
      {"\u0085\u00ad\u061c", R"(\u0085\u00ad\u061c)"},
      {"a\u200b\u202e\u2066z\ufeff", R"(a\u200b\u202e\u2066z\ufeff)"},
      {"a\u2028z\uffff", R"(a\u2028z\uffff)"},
      {std::string(41, 'x'), std::string(40, 'x') + "…"},
      {std::string(39, 'x') + "\u202e", std::string(39, 'x') + "…"},  // never half an escape
      {"プロジェクション", "プロジェクション"},
      {"a\xff", "a\xEF\xBF\xBD"},
  };
  for (const auto& [label, shown] : cases) {
    const Json data = DataOf("proj,rms__median\n" + label + ",1\n", kRmsBars);
    EXPECT_EQ(data["labels"], ListOf(shown)) << label;
  }
}

TEST(Labels, MayBeNumbers) {
  EXPECT_EQ(DataOf("proj,rms__median\n10,1\n10,3\n", kRmsBars)["labels"], ListOf("10"));
}

/// `count` matrices, none of which has layer or expert of another one.
std::string Diagonal(const std::string& proj, int count) {
  std::string rows;
  for (int i = 0; i < count; ++i) rows += fmt::format("{0},{0},{1},1\n", i, proj);
  return rows;
}

TEST(Drawings, OfMoreThanAPictureShowsAreRefused) {
  std::string bars = "proj,rms__median\n";
  for (int i = 0; i <= 120; ++i) bars += "p" + std::to_string(i) + ",1\n";
  const std::string cells = "layer,expert_id,proj,rms\n" + Diagonal("up", 1000);
  for (const auto& [text, spec] : {std::pair{bars, kRmsBars}, std::pair{cells, kRmsHeatmap}}) {
    const auto drawings = DrawCsv(text, spec);
    ASSERT_TRUE(drawings);
    const auto& data = drawings->front().data;
    ASSERT_FALSE(data);
    EXPECT_EQ(data.error().code, ErrorCode::kBadArgument);
    EXPECT_THAT(data.error().Text(), HasSubstr("shows at most"));
  }
}

TEST(Heatmaps, OneOfTooManyCellsDoesNotKeepTheOthersFromBeingDrawn) {
  const auto drawings = DrawCsv(
      "layer,expert_id,proj,rms\n0,0,gate,1\n0,1,gate,\n" + Diagonal("up", 1000), kRmsHeatmap);
  ASSERT_TRUE(drawings);
  ASSERT_EQ(drawings->size(), 2u);
  EXPECT_EQ(AsJson((*drawings)[0].data.value())["values"], ListOf(1.0, nullptr));
  EXPECT_FALSE((*drawings)[1].data);
}

TEST(Heatmaps, OfOneTableHaveTheSameAxesAndShowWhatHasNoValue) {
  const auto drawings = DrawCsv(
      "layer,expert_id,proj,scheme,w_rel_fro\n"
      "0,0,a,q4,1\n0,1,a,q4,2\n1,0,a,q4,\n2,0,b,q8,3\n,7,b,q8,1\n3,7,,q8,1\n9,9,c,q8,\n",
      kErrorHeatmap);
  ASSERT_TRUE(drawings);
  ASSERT_EQ(drawings->size(), 2u);  // c has no value
  for (const Drawing& drawing : *drawings) {
    const Json data = AsJson(drawing.data.value());
    EXPECT_EQ(data["xLabels"], ListOf("0", "1", "2", "9"));
    EXPECT_EQ(data["yLabels"], ListOf("0", "1", "9"));
  }
  const Json first = AsJson((*drawings)[0].data.value());
  const Json none;
  EXPECT_EQ(first["values"],
            ListOf(1.0, none, none, none, 2.0, none, none, none, none, none, none, none));
}

TEST(Heatmaps, OfManyValuesHaveAFairSampleOfThemAsTheirScale) {
  std::string rows = "layer,expert_id,proj,rms\n";
  for (int i = 0; i <= 20'000; ++i) rows += fmt::format("{},{},up,{}\n", i % 2, i / 2, i);
  const Json scale = DataOf(rows, kRmsHeatmap)["scale"];
  ASSERT_EQ(scale.size(), 10'000u);
  EXPECT_EQ(scale.front(), 0);
  EXPECT_NEAR(scale[5'000].get<double>(), 10'000, 2);
  EXPECT_EQ(scale.back(), 20'000);
}

TEST(Lines, HaveAGapAtALayerWithoutAValue) {
  const Json data = DataOf("layer,proj,rms__median\n0,up,1\n1,up,\n2,up,3\n3,gate,\n", kRmsLines);
  EXPECT_EQ(data["x"], ListOf(0, 1, 2, 3));
  ASSERT_EQ(data["series"].size(), 1u);  // gate has no value
  EXPECT_EQ(data["series"][0]["y"], ListOf(1.0, nullptr, 3.0, nullptr));
}

TEST(Bars, DoNotCountInfinities) {
  const Json data =
      DataOf("proj,rms__median\nup,1\nup,3\nup,inf\nup,inf\nup,-inf\ngate,inf\n", kRmsBars);
  EXPECT_EQ(data["labels"], ListOf("up"));
  EXPECT_EQ(data["values"], ListOf(2.0));
}

}  // namespace
}  // namespace moe
