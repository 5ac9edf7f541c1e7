#include "base/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
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

void Mend(int, siginfo_t* info, void*) {
  if (!MendLostBytes(info->si_addr)) std::_Exit(1);
}

TEST(MappedFile, ThatBecomesShorterGivesZerosAndTells) {
  struct sigaction mend{}, before{};
  mend.sa_sigaction = Mend;
  mend.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &mend, &before);
  const TempFolder folder;
  const std::string bytes(1 << 20, 'x');
  const auto path = folder.Write("a", bytes);
  const auto whole = MappedFile::Open(folder.Write("b", bytes)), file = MappedFile::Open(path);
  std::filesystem::resize_file(path, 5000);
  EXPECT_EQ(Text(**file).substr(0, 5000), bytes.substr(0, 5000));
  EXPECT_EQ(Text(**file).back(), '\0');
  ASSERT_FALSE((*file)->CheckWhole().has_value());
  EXPECT_EQ((*file)->CheckWhole().error().where, path.string());
  EXPECT_TRUE((*whole)->CheckWhole().has_value());
  EXPECT_EQ(Text(**whole), bytes);
  EXPECT_FALSE(MendLostBytes(&mend));
  sigaction(SIGBUS, &before, nullptr);
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
    auto spool = SpoolFile::Create(10);
    ASSERT_TRUE(spool.has_value());
    const std::string first = "one ", second = "two";
    ASSERT_TRUE(spool->Append(std::as_bytes(std::span(first))).has_value());
    ASSERT_TRUE(spool->Append(std::as_bytes(std::span(second))).has_value());
    mapping = *spool->Map();
  }
  EXPECT_EQ(Text(*mapping), "one two");
}

TEST(SpoolFile, IsRefusedBeforeItFillsTheDisk) {
  const auto spool = SpoolFile::Create(uint64_t{1} << 62);
  ASSERT_FALSE(spool.has_value());
  EXPECT_EQ(spool.error().code, ErrorCode::kIo);
  EXPECT_THAT(spool.error().Text(), testing::HasSubstr("TMPDIR"));
}

TEST(SpoolFile, SaysWhereItCouldNotBeMade) {
  const TempFolder folder;
  const char* before = std::getenv("TMPDIR");
  const std::string saved = before != nullptr ? before : "";
  setenv("TMPDIR", (folder.path() / "missing").c_str(), 1);
  const auto spool = SpoolFile::Create(10);
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
