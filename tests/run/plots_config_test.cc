#include "run/plots_config.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "base/temp_folder.h"
#include "base/test_files.h"
#include "base/test_json.h"
#include "run/config.h"
#include "run/config_keys.h"

namespace moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Optional;

struct Loaded {
  Result<PlotsConfig> plots;
  std::vector<std::string> warnings;
};

/// analysis_config.json with nothing but `plots`.
Loaded Load(const std::string& plots) {
  const TempFolder folder;
  const auto path = folder.Write("analysis_config.json", "{\"plots\": " + plots + "}");
  Loaded loaded;
  loaded.plots = LoadPlotsConfig(path, loaded.warnings);
  return loaded;
}

TEST(PlotsConfig, SaysNothingWhereTheSectionIsAbsentOrNull) {
  for (const char* section : {"null", "{}", R"({"artifact_keys": null})"}) {
    const auto plots = Load(section).plots;
    ASSERT_TRUE(plots) << plots.error().Text();
    EXPECT_EQ(plots->artifact_keys, std::nullopt);
    EXPECT_EQ(plots->expert_layer_heatmaps.enabled, std::nullopt);
    EXPECT_EQ(plots->expert_layer_heatmaps.source, "matrix_stats");
    EXPECT_EQ(plots->expert_layer_heatmaps.metric, "outlier_p999_over_median");
    EXPECT_EQ(plots->quant_error_layer_lines.enabled, std::nullopt);
    EXPECT_EQ(plots->quant_error_layer_lines.source, "quant_sim");
    EXPECT_EQ(plots->quant_error_layer_lines.metric, "w_rel_fro");
  }
}

TEST(PlotsConfig, TrimsKeysAndTakesEachOnceInOrder) {
  const auto plots = Load(R"({"artifact_keys": ["B_quant_layer_summary",
      " A_weight_global_summary\n", "B_quant_layer_summary"]})")
                         .plots;
  ASSERT_TRUE(plots) << plots.error().Text();
  EXPECT_THAT(plots->artifact_keys,
              Optional(ElementsAre("B_quant_layer_summary", "A_weight_global_summary")));
  EXPECT_THAT(Load(R"({"artifact_keys": []})").plots->artifact_keys, Optional(IsEmpty()));
}

TEST(PlotsConfig, ASwitchIsABoolOrAnObjectThatIsOnUnlessItSaysOtherwise) {
  struct Case {
    const char* value;
    std::optional<bool> enabled;
  };
  const Case cases[] = {{"null", std::nullopt},
                        {"true", true},
                        {"false", false},
                        {"{}", true},
                        {R"({"enabled": true})", true},
                        {R"({"enabled": false})", false},
                        {R"({"enabled": null})", false}};
  for (const char* name : {"expert_layer_heatmaps", "quant_error_layer_lines"}) {
    for (const Case& test : cases) {
      const auto plots = Load(std::string("{\"") + name + "\": " + test.value + "}").plots;
      ASSERT_TRUE(plots) << plots.error().Text();
      const bool is_heatmaps = name == std::string("expert_layer_heatmaps");
      EXPECT_EQ(
          (is_heatmaps ? plots->expert_layer_heatmaps : plots->quant_error_layer_lines).enabled,
          test.enabled)
          << name << " " << test.value;
    }
  }
}

TEST(PlotsConfig, TakesSourceAndMetric) {
  const auto plots = Load(R"({"expert_layer_heatmaps":
      {"source_artifact": "quant_sim", "metric": " sqnr_db "}})")
                         .plots;
  ASSERT_TRUE(plots) << plots.error().Text();
  EXPECT_EQ(plots->expert_layer_heatmaps.source, "quant_sim");
  EXPECT_EQ(plots->expert_layer_heatmaps.metric, "sqnr_db");
}

struct BadSection {
  const char* section;
  const char* pointer;
  const char* expected_part;
};
constexpr BadSection kBadSections[] = {
    {"[]", "/plots", "an object or null"},
    {"true", "/plots", "an object or null"},
    {R"({"artifact_keys": "A_weight_global_summary"})", "/plots/artifact_keys",
     "a list of strings"},
    {R"({"artifact_keys": [1]})", "/plots/artifact_keys", "a list of strings"},
    {R"({"artifact_keys": ["A_weight_layer_summary", ""]})", "/plots/artifact_keys/1", "one of"},
    {R"({"artifact_keys": [" "]})", "/plots/artifact_keys/0", "one of"},
    {R"({"artifact_keys": ["B_quant_deltas"]})", "/plots/artifact_keys/0", "B_quant_layer_summary"},
    {R"({"artifact_keys": ["A_weight_layer_sumary"]})", "/plots/artifact_keys/0",
     "did you mean \"A_weight_layer_summary\"?"},
    {R"({"expert_layer_heatmaps": 1})", "/plots/expert_layer_heatmaps",
     "true, false, an object or null"},
    {R"({"expert_layer_heatmaps": {"enabled": "yes"}})", "/plots/expert_layer_heatmaps/enabled",
     "true or false"},
    {R"({"expert_layer_heatmaps": {"source_artifact": "tensor_inventory"}})",
     "/plots/expert_layer_heatmaps/source_artifact", "one of matrix_stats, quant_sim"},
    {R"({"expert_layer_heatmaps": {"metric": " "}})", "/plots/expert_layer_heatmaps/metric",
     "must not be empty"},
    {R"({"quant_error_layer_lines": {"source_artifact": "matrix_stats"}})",
     "/plots/quant_error_layer_lines/source_artifact", "one of quant_sim"},
    {R"({"quant_error_layer_lines": {"metric": 3}})", "/plots/quant_error_layer_lines/metric",
     "a string"},
};

TEST(PlotsConfigError, NamesTheJsonPointerAndWhatWasExpected) {
  for (const BadSection& bad : kBadSections) {
    SCOPED_TRACE(bad.section);
    const auto plots = Load(bad.section).plots;
    ASSERT_FALSE(plots);
    EXPECT_EQ(plots.error().code, ErrorCode::kBadArgument);
    EXPECT_TRUE(plots.error().where.ends_with("analysis_config.json " + std::string(bad.pointer)))
        << plots.error().where;
    EXPECT_THAT(plots.error().message, HasSubstr(bad.expected_part));
  }
}

TEST(PlotsConfigError, AppliesToAWholeConfigToo) {
  auto config = JsonOfFile(TestData() / "run/analysis_config.json");
  for (const BadSection& bad : kBadSections) {
    config["plots"] = AsJson(bad.section);
    const auto parsed = ParseConfig(config.Text(), "C");
    ASSERT_FALSE(parsed) << bad.section;
    EXPECT_EQ(parsed.error().where, "C " + std::string(bad.pointer));
  }
}

TEST(PlotsConfig, WarnsOfUnknownKeysOfItsSectionOnly) {
  const TempFolder folder;
  const auto path = folder.Write("analysis_config.json",
                                 R"({"skan": {}, "plots": {"artefact_keys": [], "x": {}}})");
  std::vector<std::string> warnings;
  ASSERT_TRUE(LoadPlotsConfig(path, warnings));
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_THAT(warnings[0], HasSubstr("/plots/artefact_keys is ignored; did you mean"));
}

TEST(PlotsConfigError, OfAFileThatIsMissingOrNoJsonNamesIt) {
  const TempFolder folder;
  std::vector<std::string> warnings;
  const auto missing = LoadPlotsConfig(folder.path() / "analysis_config.json", warnings);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().Text(), HasSubstr("Missing config: "));
  for (const char* text : {"{", "[]", "3"}) {
    const auto broken = LoadPlotsConfig(folder.Write("analysis_config.json", text), warnings);
    ASSERT_FALSE(broken) << text;
    EXPECT_NE(broken.error().code, ErrorCode::kNotFound);
    EXPECT_THAT(broken.error().where, HasSubstr("analysis_config.json"));
  }
}

}  // namespace
}  // namespace moe
