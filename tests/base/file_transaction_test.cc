#include "base/file_transaction.h"

#include <gmock/gmock.h>

#include <set>
#include <string>

#include "base/temp_folder.h"
#include "base/test_files.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

std::set<std::string> Names(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

TEST(FileTransaction, FilesTakeTheirNamesTogether) {
  const TempFolder folder;
  folder.Write("a", "old");
  folder.Write("stale", "old");
  FileTransaction files;
  ASSERT_TRUE(AddFile(files, folder.path() / "a", "new").has_value());
  ASSERT_TRUE(AddFile(files, folder.path() / "b", "two").has_value());
  files.Remove(folder.path() / "stale");
  files.Remove(folder.path() / "never there");
  EXPECT_EQ(ReadText(folder.path() / "a"), "old");
  EXPECT_FALSE(fs::exists(folder.path() / "b"));
  ASSERT_TRUE(files.Commit().has_value());
  EXPECT_THAT(Names(folder.path()), ElementsAre("a", "b"));
  EXPECT_EQ(ReadText(folder.path() / "a"), "new");
  EXPECT_EQ(ReadText(folder.path() / "b"), "two");
}

TEST(FileTransaction, ThatIsDroppedLeavesAllAsItWas) {
  const TempFolder folder;
  folder.Write("a", "old");
  {
    FileTransaction files;
    ASSERT_TRUE(AddFile(files, folder.path() / "a", "new").has_value());
    auto unfinished = PendingFile::Create(folder.path() / "b");
    ASSERT_TRUE(unfinished.has_value());
    ASSERT_TRUE(files.Add(std::move(*unfinished)).Write("half").has_value());
    files.Remove(folder.path() / "a");
  }
  EXPECT_THAT(Names(folder.path()), ElementsAre("a"));
  EXPECT_EQ(ReadText(folder.path() / "a"), "old");
}

// A file that can't take its name: those behind it, and what was to go, stay as they were.
TEST(FileTransaction, StopsWhereAFileCanNotTakeItsName) {
  const TempFolder folder;
  FileTransaction files;
  ASSERT_TRUE(AddFile(files, folder.path() / "a", "new").has_value());
  ASSERT_TRUE(AddFile(files, folder.path() / "b", "new").has_value());
  folder.Write("stale", "old");
  files.Remove(folder.path() / "stale");
  fs::create_directory(folder.path() / "a");
  const auto done = files.Commit();
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, ErrorCode::kIo);
  EXPECT_FALSE(fs::exists(folder.path() / "b"));
  EXPECT_EQ(ReadText(folder.path() / "stale"), "old");
}

TEST(FileTransaction, AFolderIsNotRemoved) {
  const TempFolder folder;
  fs::create_directory(folder.path() / "kept");
  FileTransaction files;
  files.Remove(folder.path() / "kept");
  EXPECT_TRUE(files.Commit().has_value());
  EXPECT_TRUE(fs::exists(folder.path() / "kept"));
}

}  // namespace
}  // namespace moe
