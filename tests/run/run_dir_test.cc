#include "run/run_dir.h"

#include <gmock/gmock.h>

#include "base/json_text.h"
#include "base/temp_folder.h"
#include "base/test_json.h"
#include "run/config_template.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using testing::MatchesRegex;

Json Manifest(const fs::path& run_dir) { return JsonOfFile(run_dir / "manifest.json"); }

TEST(InitRun, MakesEveryFolderOfTheContract) {
  const TempFolder root;
  const auto run_dir = InitRun(root.path(), "m", "r", std::nullopt, "auto");
  ASSERT_TRUE(run_dir.has_value()) << run_dir.error().Text();
  EXPECT_EQ(*run_dir, fs::canonical(root.path()) / "m/r");
  for (const char* folder : {"logs", "data", "tables", "cache/sampled_indices", "plots/summary",
                             "plots/global", "plots/block4", "plots/layer"}) {
    EXPECT_TRUE(fs::is_directory(*run_dir / folder)) << folder;
  }
}

TEST(InitRun, WritesTheTemplateWithTheModelPathAsItIs) {
  const TempFolder root;
  const fs::path plain = *InitRun(root.path(), "m", "plain", std::nullopt, "auto");
  EXPECT_EQ(*ReadTextFile(plain / "analysis_config.json"), ConfigTemplateText(""));
  const fs::path with = *InitRun(root.path(), "m", "with", fs::path("org/name"), "auto");
  EXPECT_EQ(*ReadTextFile(with / "analysis_config.json"), ConfigTemplateText("org/name"));
}

TEST(InitRun, LeavesAnExistingConfigAsItIs) {
  const TempFolder root;
  root.Write("m/r/analysis_config.json", "not even JSON");
  ASSERT_TRUE(InitRun(root.path(), "m", "r", fs::path("/other"), "auto").has_value());
  EXPECT_EQ(*ReadTextFile(root.path() / "m/r/analysis_config.json"), "not even JSON");
}

TEST(InitRun, WritesTheManifestOfTheContract) {
  const TempFolder root;
  const fs::path run_dir = *InitRun(root.path(), "org/m", "r", std::nullopt, "auto");
  EXPECT_EQ(run_dir, fs::canonical(root.path()) / "org/m/r");
  const Json manifest = Manifest(run_dir);
  std::vector<std::string> keys;
  for (const auto& [key, value] : manifest.items()) keys.push_back(key);
  EXPECT_THAT(keys, testing::ElementsAre("model_id", "run_name", "created_at", "version"));
  EXPECT_EQ(manifest["model_id"], "org/m");
  EXPECT_EQ(manifest["run_name"], "r");
  EXPECT_EQ(manifest["version"], 2);
  EXPECT_THAT(manifest["created_at"].get<std::string>(),
              MatchesRegex("[0-9]+-[0-9]+-[0-9]+T[0-9]+:[0-9]+:[0-9]+\\.[0-9]+Z"));
}

// Contract D15.
TEST(InitRun, ChangesNothingOfAManifestButUpdatedAt) {
  const TempFolder root;
  const Json old = {{"version", 1}, {"created_at", "long ago"}, {"run_name", "x"}, {"own", true}};
  root.Write("m/r/manifest.json", old.Text());
  const fs::path run_dir = *InitRun(root.path(), "m", "r", std::nullopt, "auto");
  Json manifest = Manifest(run_dir);
  EXPECT_THAT(manifest["updated_at"].get<std::string>(), testing::EndsWith("Z"));
  manifest.erase("updated_at");
  EXPECT_EQ(manifest.Text(), old.Text());
}

TEST(InitRun, ReplacesAManifestThatCantBeRead) {
  const TempFolder root;
  root.Write("m/r/manifest.json", "{");
  EXPECT_EQ(Manifest(*InitRun(root.path(), "m", "r", std::nullopt, "auto"))["model_id"], "m");
}

TEST(InitRun, RefusesIdsThatAreEmptyOrLeaveTheRoot) {
  const TempFolder outside;
  const fs::path root = outside.path() / "root";
  const std::pair<std::string, std::string> bad[] = {
      {"", "r"},        {"..", "r"},
      {"a/../..", "r"}, {"/m", "r"},
      {".", "r"},       {"m", ""},
      {"m", ".."},      {"m", "a/b"},
      {"m", "/r"},      {"m", "."},
      {"m", "../r"},    {"./.", "r"},
      {"m/..", "r"},    {std::string("m\0x", 3), "r"}};
  for (const auto& [model_id, run_name] : bad) {
    const auto run_dir = InitRun(root, model_id, run_name, std::nullopt, "auto");
    ASSERT_FALSE(run_dir.has_value()) << model_id << " " << run_name;
    EXPECT_EQ(run_dir.error().code, ErrorCode::kBadArgument);
    EXPECT_EQ(run_dir.error().TypeName(), "SystemExit");
  }
  EXPECT_TRUE(fs::is_empty(outside.path()));
}

TEST(InitRun, FailsWhereAFileStandsInTheWay) {
  const TempFolder root;
  root.Write("m");
  const auto run_dir = InitRun(root.path(), "m", "r", std::nullopt, "auto");
  ASSERT_FALSE(run_dir.has_value());
  EXPECT_EQ(run_dir.error().code, ErrorCode::kIo);
}

TEST(ReadRunManifest, OfNoneOrABrokenOneIsEmpty) {
  const TempFolder folder;
  EXPECT_EQ(ReadRunManifest(folder.path()).model_id, std::nullopt);
  for (const char* text : {"", "[]", "{\"model_id\": 3}"}) {
    folder.Write("manifest.json", text);
    EXPECT_EQ(ReadRunManifest(folder.path()).model_id, std::nullopt) << text;
  }
}

}  // namespace
}  // namespace moe
