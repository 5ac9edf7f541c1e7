#include "collect/narrator.h"

#include <gmock/gmock.h>

#include "codec/memory_file.h"
#include "collect/proj_report.h"

namespace moe {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Config ConfigWithAliases() {
  Config config = DefaultConfig();
  config.extract.proj_aliases = {{"up_proj", {"w3"}}};
  return config;
}

/// Tells `report` of `times` tensors whose token no alias maps.
void Tell(ProjReport& report, int times, const std::string& context, const std::string& action) {
  MemoryFile file;
  file.Add<float>("x.weight", DType::kF32, {1}, {0});
  ModelTensor tensor;
  tensor.ref = {&file, 0};
  UnmappedProj& proj = tensor.found.unmapped_projs.emplace_back();
  proj.context = context;
  proj.action = action;
  for (int i = 0; i < times; ++i) report.Add(tensor);
}

// Word for word: tools that read the reference's logs compare them.
TEST(ProjWarnings, AreTheContractsLines) {
  ProjReport report;
  EXPECT_THAT(report.Warnings(ConfigWithAliases(), {"P", "U"}), IsEmpty());
  Tell(report, 3, "packed_split", "kept_raw");
  Tell(report, 4, "proj_group", "kept_raw");
  Tell(report, 5, "proj_group", "dropped_strict");
  EXPECT_EQ(report.Rows().size(), 3u);
  EXPECT_THAT(
      report.Warnings(ConfigWithAliases(), {"logs/report.csv", "U"}),
      ElementsAre("[proj] unmapped proj tokens kept raw: packed_split=3, proj_group=4 (unique=2, "
                  "occurrences=7). See logs/report.csv",
                  "[proj] strict proj_group dropped tensors due to unmapped proj tokens: "
                  "occurrences=5 (unique=1). See logs/report.csv"));
}

TEST(ProjWarnings, WithoutAliasesSayWhereTheDropsStand) {
  ProjReport report;
  ModelTensor tensor;
  tensor.found.unmatched_reason = "proj_group_strict_no_alias_map";
  for (int i = 0; i < 2; ++i) report.Add(tensor);
  Config config = DefaultConfig();
  config.debug.dump_unmatched_tensors = false;
  EXPECT_THAT(report.Warnings(config, {"", "data/unmatched_tensors.csv"}),
              ElementsAre("[config] parsing.proj_group_strict=true but parsing.proj_aliases is "
                          "empty; strict proj_group drops occurred (occurrences=2). Enable "
                          "debug.dump_unmatched_tensors=true to write unmatched_tensors.*."));
  config.debug.dump_unmatched_tensors = true;
  EXPECT_THAT(report.Warnings(config, {"", "data/unmatched_tensors.csv"}),
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
  TensorCounts counts;
  MatrixWorkSummary work;
  EXPECT_FALSE(EffectivelyEmpty(config, counts, work));
  counts.smoke_candidates = 1;
  EXPECT_TRUE(EffectivelyEmpty(config, counts, work));
  counts.unmatched = 1;
  EXPECT_FALSE(EffectivelyEmpty(config, counts, work));
  counts.unmatched = 0;
  work.matrix_rows = 1;
  EXPECT_FALSE(EffectivelyEmpty(config, counts, work));
}

}  // namespace
}  // namespace moe
