#include "base/pending_file.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iterator>
#include <string>
#include <vector>

#include "base/temp_folder.h"
#include "base/test_files.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

size_t CountFiles(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), {}));
}

TEST(PendingFile, KeepsTheOldFileUntilCommit) {
  const TempFolder folder;
  const fs::path path = folder.Write("f", "old");
  const auto file = PendingFile::Create(path);
  ASSERT_TRUE(file.has_value()) << file.error().Text();
  ASSERT_TRUE((*file)->Write("new ").has_value());
  ASSERT_TRUE((*file)->Write("text").has_value());
  EXPECT_EQ((*file)->size(), 8u);
  ASSERT_TRUE((*file)->Finish().has_value());
  EXPECT_EQ(ReadText(path), "old");
  ASSERT_TRUE((*file)->Commit().has_value());
  EXPECT_EQ(ReadText(path), "new text");
  EXPECT_EQ(CountFiles(folder.path()), 1u);
}

TEST(PendingFile, LeavesNothingWithoutCommit) {
  const TempFolder folder;
  for (const bool finished : {false, true}) {
    {
      const auto file = PendingFile::Create(folder.path() / "f");
      ASSERT_TRUE((*file)->Write("text").has_value());
      if (finished) {
        ASSERT_TRUE((*file)->Finish().has_value());
      }
      EXPECT_EQ(CountFiles(folder.path()), 1u);
    }
    EXPECT_EQ(CountFiles(folder.path()), 0u);
  }
}

TEST(PendingFile, OfTheSameNameDoNotMix) {
  const TempFolder folder;
  const fs::path path = folder.path() / "f";
  const auto first = PendingFile::Create(path);
  const auto second = PendingFile::Create(path);
  ASSERT_TRUE(first.has_value() && second.has_value());
  ASSERT_TRUE((*first)->Write("first").has_value());
  ASSERT_TRUE((*second)->Write("second").has_value());
  for (const auto* file : {&first, &second}) {
    ASSERT_TRUE((**file)->Finish().and_then([&] { return (**file)->Commit(); }).has_value());
  }
  EXPECT_EQ(ReadText(path), "second");
  EXPECT_EQ(CountFiles(folder.path()), 1u);
}

TEST(PendingFile, RemovesWhatProcessesThatAreGoneHaveLeft) {
  const TempFolder folder;
  const pid_t gone = fork();
  if (gone == 0) _exit(0);
  waitpid(gone, nullptr, 0);
  const std::string of_gone = std::to_string(gone), of_live = std::to_string(getppid());
  const std::string of_us = std::to_string(getpid());
  for (const std::string& name : {".a.parquet." + of_gone + "-0.tmp", ".b." + of_gone + "-12.tmp",
                                  ".c.csv." + of_us + "-0.tmp"}) {
    folder.Write(name, "left");
  }
  const std::vector<std::string> stay = {".a.parquet." + of_live + "-0.tmp",
                                         "a.parquet." + of_gone + "-0.tmp",
                                         ".a." + of_gone + ".tmp",
                                         "." + of_gone + "-0.tmp",
                                         ".a.parquet." + of_gone + "-0.tmp.txt",
                                         ".a.99999999999999999999-0.tmp"};
  for (const std::string& name : stay) folder.Write(name, "stays");
  const auto first = PendingFile::Create(folder.path() / "f");
  for (const std::string& name : stay) EXPECT_TRUE(fs::exists(folder.path() / name)) << name;
  EXPECT_EQ(CountFiles(folder.path()), stay.size() + 1);
  const auto second = PendingFile::Create(folder.path() / "g");  // and nothing of the first
  EXPECT_EQ(CountFiles(folder.path()), stay.size() + 2);
}

TEST(PendingFile, NeedsItsFolder) {
  const TempFolder folder;
  const auto file = PendingFile::Create(folder.path() / "none/f");
  ASSERT_FALSE(file.has_value());
  EXPECT_EQ(file.error().code, ErrorCode::kIo);
  EXPECT_EQ(file.error().where, (folder.path() / "none/f").string());
}

TEST(WriteFileAtomically, WritesAllBytes) {
  const TempFolder folder;
  const std::string bytes("a\0\xff\n", 4);
  ASSERT_TRUE(WriteFileAtomically(folder.path() / "f", bytes).has_value());
  EXPECT_EQ(ReadText(folder.path() / "f"), bytes);
  ASSERT_TRUE(WriteFileAtomically(folder.path() / "f", "").has_value());
  EXPECT_EQ(ReadText(folder.path() / "f"), "");
}

TEST(WriteFileAtomically, ThatFailsLeavesNothing) {
  const TempFolder folder;
  folder.Write("f/inside");  // a folder that isn't empty stands where the file should be
  const auto done = WriteFileAtomically(folder.path() / "f", "text");
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, ErrorCode::kIo);
  EXPECT_EQ(CountFiles(folder.path()), 1u);
  EXPECT_TRUE(fs::exists(folder.path() / "f/inside"));
}

}  // namespace
}  // namespace moe
