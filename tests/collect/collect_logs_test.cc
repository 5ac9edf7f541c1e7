#include "collect/collect_logs.h"

#include <gmock/gmock.h>

namespace moe {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Config ConfigWithAliases() {
  Config config = DefaultConfig();
  config.extract.proj_aliases = {{"up_proj", {"w3"}}};
  return config;
}

ProjCanonicalizationRow RowWith(const std::string& action) {
  ProjCanonicalizationRow row;
  row.action = action;
  return row;
}

// The texts of contract section 13, which tests of the reference compare exactly.
TEST(ProjWarnings, AreTheContractsLines) {
  CollectPlan plan;
  EXPECT_THAT(ProjWarnings(plan, ConfigWithAliases(), {"P", "U"}), IsEmpty());
  plan.proj_report = {RowWith("kept_raw"), RowWith("kept_raw"), RowWith("dropped_strict")};
  plan.proj_kept_split = 3;
  plan.proj_kept_group = 4;
  plan.proj_dropped_strict = 5;
  EXPECT_THAT(
      ProjWarnings(plan, ConfigWithAliases(), {"logs/report.csv", "U"}),
      ElementsAre("[proj] unmapped proj tokens kept raw: packed_split=3, proj_group=4 (unique=2, "
                  "occurrences=7). See logs/report.csv",
                  "[proj] strict proj_group dropped tensors due to unmapped proj tokens: "
                  "occurrences=5 (unique=1). See logs/report.csv"));
}

TEST(ProjWarnings, WithoutAliasesSayWhereTheDropsStand) {
  CollectPlan plan;
  plan.proj_no_alias_map = 2;
  Config config = DefaultConfig();
  config.debug.dump_unmatched_tensors = false;
  EXPECT_THAT(ProjWarnings(plan, config, {"", "data/unmatched_tensors.csv"}),
              ElementsAre("[config] parsing.proj_group_strict=true but parsing.proj_aliases is "
                          "empty; strict proj_group drops occurred (occurrences=2). Enable "
                          "debug.dump_unmatched_tensors=true to write unmatched_tensors.*."));
  config.debug.dump_unmatched_tensors = true;
  EXPECT_THAT(ProjWarnings(plan, config, {"", "data/unmatched_tensors.csv"}),
              ElementsAre("[config] parsing.proj_group_strict=true but parsing.proj_aliases is "
                          "empty; strict proj_group drops occurred (occurrences=2). See "
                          "data/unmatched_tensors.csv for details."));
}

TEST(MergeByTensor, KeepsLinesOfATensorTogether) {
  EXPECT_THAT(MergeByTensor({{0, "a"}, {2, "b"}, {2, "c"}}, {{0, "A"}, {1, "B"}, {2, "C"}}),
              ElementsAre("a", "A", "B", "b", "c", "C"));
}

TEST(EffectivelyEmpty, IsARunThatMissedTensorsNamedLikeExperts) {
  const Config config = DefaultConfig();
  CollectReport report;
  EXPECT_FALSE(EffectivelyEmpty(config, report));
  report.plan.smoke_candidates = 1;
  EXPECT_TRUE(EffectivelyEmpty(config, report));
  report.plan.unmatched_expertish = 1;
  EXPECT_FALSE(EffectivelyEmpty(config, report));
  report.plan.unmatched_expertish = 0;
  report.work.matrix_rows = 1;
  EXPECT_FALSE(EffectivelyEmpty(config, report));
}

}  // namespace
}  // namespace moe
