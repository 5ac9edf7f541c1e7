#include "run/commit_marker.h"

#include <gmock/gmock.h>

#include <array>

#include "base/temp_folder.h"

namespace moe {
namespace {

constexpr std::array kBoth = {kCollectData, kBuildTables};

TEST(CommitMarker, GoesWhenAllFilesHaveTheirNames) {
  const TempFolder folder;
  bool marked = false;
  const auto done = CommitMarked(folder.path(), kCollectData, [&]() -> Result<void> {
    marked = !CheckCommitted(folder.path(), kBoth).has_value();
    return {};
  });
  EXPECT_TRUE(done.has_value());
  EXPECT_TRUE(marked);
  EXPECT_TRUE(CheckCommitted(folder.path(), kBoth).has_value());
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(CommitMarker, StaysAfterAFailureUntilTheSameCommandSucceeds) {
  const TempFolder folder;
  const auto commit = [&](std::string_view command, bool succeeds) {
    return CommitMarked(folder.path(), command, [&]() -> Result<void> {
      if (succeeds) return {};
      return Fail(ErrorCode::kIo, "data/a", "can't be renamed");
    });
  };
  EXPECT_FALSE(commit(kCollectData, false).has_value());
  EXPECT_TRUE(commit(kBuildTables, true).has_value());
  const auto checked = CheckCommitted(folder.path(), kBoth);
  ASSERT_FALSE(checked.has_value());
  EXPECT_THAT(checked.error().message, testing::HasSubstr("collect-data"));
  EXPECT_TRUE(CheckCommitted(folder.path(), {{kBuildTables}}).has_value());
  EXPECT_TRUE(commit(kCollectData, true).has_value());
  EXPECT_TRUE(CheckCommitted(folder.path(), kBoth).has_value());
}

TEST(CommitMarker, ThatCanNotBeWrittenKeepsEverythingAsItWas) {
  const TempFolder folder;
  bool called = false;
  EXPECT_FALSE(CommitMarked(folder.path() / "none", kCollectData, [&]() -> Result<void> {
                 called = true;
                 return {};
               }).has_value());
  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace moe
