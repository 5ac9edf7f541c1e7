#include "insight/run.h"

#include <gmock/gmock.h>

#include "base/temp_folder.h"
#include "base/test_json.h"
#include "run/commit_marker.h"
#include "run/config_template.h"

namespace moe {
namespace {

using testing::HasSubstr;

TEST(Run, IsNotReadableWhereNoFolderIs) {
  const TempFolder folder;
  const auto checked = moe::Run(folder.path() / "none").Check({{kCollectData}});
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(checked.error().Text(), HasSubstr("no such run directory"));
}

TEST(Run, IsNotReadableWhileItsFilesAreOfTwoRuns) {
  const TempFolder folder;
  const moe::Run run(folder.path());
  EXPECT_TRUE(run.Check({{kCollectData, kBuildTables}}));
  (void)CommitMarked(folder.path(), kBuildTables,
                     []() -> Result<void> { return Fail(ErrorCode::kIo, "disk", "is full"); });
  EXPECT_TRUE(run.Check({{kCollectData}}));
  const auto checked = run.Check({{kCollectData, kBuildTables}});
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::kMalformed);
}

TEST(Run, ReadsALogOnce) {
  const TempFolder folder;
  folder.Write("logs/run_health.json", R"({"family": "olmoe"})");
  moe::Run run(folder.path());
  EXPECT_EQ(run.Log("run_health.json"), Json({{"family", "olmoe"}}));
  folder.Write("logs/run_health.json", "{}");
  EXPECT_EQ(run.Log("run_health.json"), Json({{"family", "olmoe"}}));
  EXPECT_TRUE(run.Log("run_failure.json").is_null());
}

TEST(Run, HasTheConfigOfItsDataElseTheFilesElseOneThatSaysNothing) {
  const TempFolder folder;
  EXPECT_EQ(moe::Run(folder.path()).UsedConfig().model_path, "");
  folder.Write("analysis_config.json", ConfigTemplateText("/now"));
  EXPECT_EQ(moe::Run(folder.path()).UsedConfig().model_path, "/now");
  folder.Write("logs/run_health.json", R"({"config_used": )" + ConfigTemplateText("/then") + "}");
  EXPECT_EQ(moe::Run(folder.path()).UsedConfig().model_path, "/then");
}

TEST(Run, OpensATableOnce) {
  const TempFolder folder;
  folder.Write("tables/C_delta.csv", "name\nx\n");
  moe::Run run(folder.path());
  EXPECT_EQ(run.Find("C_none"), nullptr);
  const RunTable* table = run.Find("C_delta");
  ASSERT_NE(table, nullptr);
  const auto first = run.Open(table->path), again = run.Open(table->path);
  ASSERT_TRUE(first) << first.error().Text();
  EXPECT_EQ(*first, *again);
  EXPECT_EQ(run.Open(folder.path() / "no.csv").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace moe
