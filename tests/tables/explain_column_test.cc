#include "tables/explain_column.h"

#include <gmock/gmock.h>

namespace moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST(ExplainColumn, GivesUnitFormulaReadingAndTables) {
  const auto column = ExplainColumn("w_rel_fro");
  ASSERT_TRUE(column) << column.error().Text();
  EXPECT_THAT(column->tables, ElementsAre("quant_sim", "dense_quant_sim"));
  EXPECT_EQ(column->unit, "ratio");
  EXPECT_THAT(column->meaning, HasSubstr("sqrt(sum d^2) / (sqrt(sum x^2) + eps)"));
  EXPECT_THAT(column->reading, HasSubstr("a tenth of the size"));
  EXPECT_THAT(ExplainColumn("layer")->tables,
              ElementsAre("matrix_stats", "quant_sim", "evidence", "dense_stats", "dense_quant_sim",
                          "B_quant_deltas"));
  EXPECT_EQ(ExplainColumn("index_shard")->reading, "");
}

TEST(ExplainColumn, KnowsTheColumnsOfOtherConfigurations) {
  struct {
    const char *name, *part;
  } cases[] = {{"g128_max_outlier", "128 consecutive"}, {"g32_p99_outlier", "percentile 99 "},
               {"p95_abs", "percentile 95 "},           {"p9999_abs", "percentile 99.99 "},
               {"p999_abs", "percentile 99.9 "},        {"p50_abs", "percentile 50 "}};
  for (const auto& [name, part] : cases) {
    const auto column = ExplainColumn(name);
    ASSERT_TRUE(column) << column.error().Text();
    EXPECT_THAT(column->meaning, HasSubstr(part));
    EXPECT_THAT(column->tables, ElementsAre("matrix_stats", "dense_stats"));
    EXPECT_NE(column->reading, "");
  }
}

TEST(ExplainColumn, KnowsWhatSummariesAggregate) {
  const auto column = ExplainColumn("w_rel_fro__p99");
  ASSERT_TRUE(column) << column.error().Text();
  EXPECT_EQ(column->name, "w_rel_fro__p99");
  EXPECT_EQ(column->unit, "ratio");
  EXPECT_THAT(column->meaning, StartsWith("p99 over the matrices"));
  EXPECT_THAT(column->meaning, HasSubstr("sqrt(sum d^2)"));
  EXPECT_THAT(column->tables, ElementsAre(HasSubstr("B_")));
  EXPECT_THAT(ExplainColumn("rms__median")->tables, ElementsAre(HasSubstr("A_")));
}

TEST(ExplainColumn, OfAnUnknownNameTellsTheClosest) {
  for (const char* name : {"w_rel_frob", "w_rel_frob__median"}) {
    const auto column = ExplainColumn(name);
    ASSERT_FALSE(column);
    EXPECT_EQ(column.error().code, ErrorCode::kBadArgument);
    EXPECT_THAT(column.error().Text(), HasSubstr("'w_rel_fro'"));
  }
  EXPECT_THAT(ExplainColumn("zzzzzzzzz").error().Text(),
              testing::AllOf(HasSubstr("columns: file, "), HasSubstr("w_rel_fro")));
}

}  // namespace
}  // namespace moe
