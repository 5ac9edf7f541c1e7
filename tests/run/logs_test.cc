#include "run/logs.h"

#include <gmock/gmock.h>

#include "base/temp_folder.h"
#include "base/test_json.h"

namespace moe {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(RunJson, HasWhatTheManifestSaysAndNullsWithoutOne) {
  const TempFolder folder;
  Json run = RunJson(folder.path());
  EXPECT_EQ(run["run_dir"], folder.path().string());
  for (const char* key : {"model_id", "run_name", "created_at"}) EXPECT_TRUE(run[key].is_null());
  folder.Write("manifest.json", R"({"model_id": "m/x", "run_name": "r", "created_at": "t"})");
  run = RunJson(folder.path());
  EXPECT_EQ(run["model_id"], "m/x");
  EXPECT_EQ(run["run_name"], "r");
  EXPECT_EQ(run["created_at"], "t");
}

// Contract section 13: error.type is the Python class.
TEST(ErrorJson, NamesThePythonClass) {
  const Error by_code = {ErrorCode::kNotFound, "W", "M", "", ""};
  EXPECT_EQ(ErrorJson(by_code), Json({{"type", "FileNotFoundError"}, {"message", "W: M"}}));
  const Error named = {ErrorCode::kMalformed, "W", "M", "H", "BadZipFile"};
  EXPECT_EQ(ErrorJson(named), Json({{"type", "BadZipFile"}, {"message", "W: M (H)"}}));
}

TEST(Traceback, BeginsAsPythonsAndEndsInClassAndMessage) {
  const std::string text =
      Traceback("collect-data", {ErrorCode::kBadArgument, "W", "M", "", "PackedSplitError"});
  EXPECT_THAT(text, StartsWith("Traceback (most recent call last):\n"));
  EXPECT_THAT(text, HasSubstr("collect-data"));
  EXPECT_TRUE(text.ends_with("\nPackedSplitError: W: M\n")) << text;
}

TEST(WriteLog, MakesTheFolderAndSortsKeysUnlessTold) {
  const TempFolder folder;
  const Json json = {{"b", 1}, {"a", 2}};
  ASSERT_TRUE(WriteLog(folder.path(), "sorted.json", json).has_value());
  ASSERT_TRUE(WriteLog(folder.path(), "own.json", json, KeyOrder::kOwn).has_value());
  EXPECT_EQ(*ReadTextFile(folder.path() / "logs/sorted.json"), "{\n  \"a\": 2,\n  \"b\": 1\n}\n");
  EXPECT_EQ(*ReadTextFile(folder.path() / "logs/own.json"), "{\n  \"b\": 1,\n  \"a\": 2\n}\n");
}

TEST(WriteLog, FailsWhereAFileStandsInTheWay) {
  const TempFolder folder;
  folder.Write("logs");
  const auto done = WriteLog(folder.path(), "a.json", Json::Object());
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, ErrorCode::kIo);
}

TEST(RemoveLog, RemovesThatFileOnly) {
  const TempFolder folder;
  folder.Write("logs/a.json");
  folder.Write("logs/b.json");
  RemoveLog(folder.path(), "a.json");
  RemoveLog(folder.path(), "none.json");
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "logs/a.json"));
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "logs/b.json"));
}

}  // namespace
}  // namespace moe
