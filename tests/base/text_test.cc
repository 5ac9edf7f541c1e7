#include "base/text.h"

#include <gmock/gmock.h>

#include "base/temp_folder.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

TEST(ClosestName, IsTheNearestOneThatMayBeMeant) {
  struct Case {
    const char* word;
    std::vector<std::string> candidates;
    std::optional<std::string> closest;
  };
  const Case cases[] = {
      {"max_file", {"max_bytes", "max_files"}, "max_files"},
      {"max_files", {"max_files", "max_file"}, "max_files"},
      {"extensoins", {"experts_only", "extensions"}, "extensions"},  // 2 replaced
      {"mlx", {"scan", "stats"}, std::nullopt},
      {"abcd", {"wxyz"}, std::nullopt},
      {"abc", {"abx", "aby"}, "abx"},         // first of equals
      {"ab", {"abcd"}, "abcd"},               // distance 2, the least bound
      {"ab", {"abcde"}, std::nullopt},        // distance 3
      {"abcdefghi", {"abcdef"}, "abcdef"},    // distance 3 = 9 / 3
      {"abcdefgh", {"abcde"}, std::nullopt},  // distance 3 > 8 / 3
      {"xy", {"a", "b"}, std::nullopt},       // nothing of the candidate is left
      {"", {"abc", "ab"}, std::nullopt},
      {"abc", {}, std::nullopt},
      {"abc", {""}, std::nullopt},
  };
  for (const Case& test : cases) {
    EXPECT_EQ(ClosestName(test.word, test.candidates), test.closest) << test.word;
  }
}

TEST(Trimmed, HasNoWhiteSpaceAtItsEnds) {
  EXPECT_EQ(Trimmed(" \t\r\n\v\fa b \n"), "a b");
  EXPECT_EQ(Trimmed("a"), "a");
  EXPECT_EQ(Trimmed(" \n"), "");
  EXPECT_EQ(Trimmed(""), "");
}

TEST(ResolvePath, ExpandsTheHomeFolder) {
  const TempFolder home;
  const fs::path real = fs::canonical(home.path());
  const char* old_home = std::getenv("HOME");
  const std::string kept = old_home == nullptr ? "" : old_home;
  setenv("HOME", home.path().c_str(), 1);
  EXPECT_EQ(ResolvePath("~"), real);
  EXPECT_EQ(ResolvePath("~/"), real);
  EXPECT_EQ(ResolvePath("~/runs/m"), real / "runs/m");
  EXPECT_EQ(ResolvePath("~user/m"), fs::canonical(".") / "~user/m");
  EXPECT_EQ(ResolvePath("a/~"), fs::canonical(".") / "a/~");
  setenv("HOME", kept.c_str(), 1);
}

TEST(ResolvePath, MakesPathsAbsoluteAndFollowsLinks) {
  const TempFolder folder;
  const fs::path real = fs::canonical(folder.path());
  fs::create_directory(folder.path() / "a");
  fs::create_directory_symlink(folder.path() / "a", folder.path() / "link");
  const std::string base = folder.path().string();
  EXPECT_EQ(ResolvePath("x"), fs::canonical(".") / "x");
  EXPECT_EQ(ResolvePath("."), fs::canonical("."));
  EXPECT_EQ(ResolvePath(base + "/link/new/file"), real / "a/new/file");
  EXPECT_EQ(ResolvePath(base + "/a/../b/./c"), real / "b/c");
  EXPECT_EQ(ResolvePath(base + "/a/"), real / "a");
  EXPECT_EQ(ResolvePath("/"), "/");
}

TEST(HumanBytes, HasThreeDigitsInDecimalUnits) {
  const std::pair<uint64_t, const char*> cases[] = {
      {0, "0 B"},          {789, "789 B"},          {999, "999 B"},
      {1000, "1 kB"},      {45'600'000, "45.6 MB"}, {1'230'000'000, "1.23 GB"},
      {999'499, "999 kB"}, {999'500, "1 MB"},       {UINT64_MAX, "18.4 EB"}};
  for (const auto& [bytes, text] : cases) EXPECT_EQ(HumanBytes(bytes), text);
}

TEST(UtcNow, HasTheFormsOfTheLogs) {
  EXPECT_THAT(UtcNow(TimePrecision::kSeconds),
              testing::MatchesRegex("2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"));
  EXPECT_THAT(
      UtcNow(TimePrecision::kMicroseconds),
      testing::MatchesRegex("2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}"));
}

}  // namespace
}  // namespace moe
