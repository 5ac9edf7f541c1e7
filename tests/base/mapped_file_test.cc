#include "base/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

#include "base/temp_folder.h"

namespace moe {
namespace {

std::string Text(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST(MappedFile, ShowsTheBytesOfTheFile) {
  const TempFolder folder;
  const auto file = MappedFile::Open(folder.Write("a", "weights"));
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(Text(**file), "weights");
}

TEST(MappedFile, TakesAnEmptyFile) {
  const TempFolder folder;
  const auto file = MappedFile::Open(folder.Write("empty"));
  ASSERT_TRUE(file.has_value());
  EXPECT_TRUE((*file)->bytes().empty());
}

TEST(MappedFile, NamesAFileThatIsNotThere) {
  const TempFolder folder;
  const auto file = MappedFile::Open(folder.path() / "gone.npz");
  ASSERT_FALSE(file.has_value());
  EXPECT_EQ(file.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(file.error().Text(), testing::HasSubstr("gone.npz"));
}

TEST(MappedFile, RefusesAFolderAndANamedPipeWithoutWaiting) {
  const TempFolder folder;
  ASSERT_EQ(mkfifo((folder.path() / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(MappedFile::Open(folder.path()).error().code, ErrorCode::kBadArgument);
  EXPECT_EQ(MappedFile::Open(folder.path() / "pipe").error().code, ErrorCode::kBadArgument);
}

TEST(SpoolFile, KeepsWhatWasAppendedAfterItIsGone) {
  std::shared_ptr<const MappedFile> mapping;
  {
    auto spool = SpoolFile::Create();
    ASSERT_TRUE(spool.has_value());
    const std::string first = "one ", second = "two";
    ASSERT_TRUE(spool->Append(std::as_bytes(std::span(first))).has_value());
    ASSERT_TRUE(spool->Append(std::as_bytes(std::span(second))).has_value());
    mapping = *spool->Map();
  }
  EXPECT_EQ(Text(*mapping), "one two");
}

TEST(SpoolFile, SaysWhereItCouldNotBeMade) {
  const TempFolder folder;
  const char* before = std::getenv("TMPDIR");
  const std::string saved = before != nullptr ? before : "";
  setenv("TMPDIR", (folder.path() / "missing").c_str(), 1);
  const auto spool = SpoolFile::Create();
  if (before != nullptr) {
    setenv("TMPDIR", saved.c_str(), 1);
  } else {
    unsetenv("TMPDIR");
  }
  ASSERT_FALSE(spool.has_value());
  EXPECT_THAT(spool.error().where, testing::HasSubstr("missing"));
}

}  // namespace
}  // namespace moe
