#include "run/find_run.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <chrono>

#include "base/temp_folder.h"

namespace moe {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class FindRunTest : public testing::Test {
 protected:
  void SetUp() override {
    before_ = fs::current_path();
    fs::current_path(folder_.path());
  }
  void TearDown() override { fs::current_path(before_); }

  fs::path Run(const std::string& name) const {
    folder_.Write(name + "/analysis_config.json", "{}");
    return fs::canonical(folder_.path() / name);
  }
  static std::string FailureOf(const std::optional<std::string>& named) {
    const auto found = FindRun(named);
    if (found) return "found " + found->string();
    EXPECT_EQ(found.error().code, ErrorCode::kBadArgument);
    return found.error().Text();
  }

  TempFolder folder_;

 private:
  fs::path before_;
};

TEST_F(FindRunTest, ARunIsItself) {
  const fs::path run = Run("runs/org/model/first");
  Run("runs/org/model/first/copies/second");  // not looked at
  EXPECT_EQ(FindRun("runs/org/model/first"), run);
  EXPECT_EQ(FindRun("runs/org/model/first/"), run);
  EXPECT_EQ(FindRun(run.string()), run);
}

TEST_F(FindRunTest, AFileInARunMeansIt) {
  const fs::path run = Run("m/r");
  folder_.Write("m/r/report.html");
  EXPECT_EQ(FindRun("m/r/report.html"), run);
  EXPECT_EQ(FindRun("m/r/analysis_config.json"), run);
}

TEST_F(FindRunTest, APathInsideARunMeansIt) {
  const fs::path run = Run("m/r");
  folder_.Write("m/r/data/quant_sim.csv");
  EXPECT_EQ(FindRun("m/r/data"), run);
  EXPECT_EQ(FindRun("m/r/data/quant_sim.csv"), run);
  EXPECT_EQ(FindRun("m/r/nowhere"), run / "nowhere");
}

TEST_F(FindRunTest, AFolderAboveOneRunMeansIt) {
  const fs::path run = Run("runs/org/model/first");
  for (const char* above : {"runs", "runs/org", "runs/org/model", "."}) {
    EXPECT_EQ(FindRun(above), run) << above;
  }
}

TEST_F(FindRunTest, AFolderAboveSeveralRunsListsThem) {
  const fs::path a = Run("runs/org/a/first"), b = Run("runs/b/first");
  const std::string text = FailureOf("runs");
  EXPECT_THAT(text, HasSubstr("2 runs"));
  EXPECT_THAT(text, HasSubstr(b.string() + ", " + a.string()));
  EXPECT_EQ(FindRun("runs/org"), a);
}

TEST_F(FindRunTest, OfManyRunsTheFirstTenAreListed) {
  for (int i = 10; i < 24; ++i) Run("runs/m" + std::to_string(i) + "/r");
  EXPECT_THAT(FailureOf("runs"), testing::AllOf(HasSubstr("14 runs"), HasSubstr("m19/r, 4 more"),
                                                Not(HasSubstr("m20"))));
}

TEST_F(FindRunTest, HiddenLinkedAndFarFoldersAreNotLookedAt) {
  const fs::path run = Run("runs/m/r");
  Run("runs/.trash/r");
  Run("runs/1/2/3/4/5");
  Run("elsewhere");
  fs::create_directory_symlink(folder_.path() / "elsewhere", folder_.path() / "runs/link");
  EXPECT_EQ(FindRun("runs"), run);
}

TEST_F(FindRunTest, WhatHoldsNoRunIsTakenAsItIs) {
  folder_.Write("by-hand/data/quant_sim.csv");
  EXPECT_EQ(FindRun("by-hand"), fs::canonical("by-hand"));
  EXPECT_EQ(FindRun("nowhere"), fs::canonical(".") / "nowhere");
}

TEST_F(FindRunTest, WithoutANameItIsTheNewestOfTheDefaultFolder) {
  EXPECT_THAT(FailureOf(std::nullopt), HasSubstr("moescope-runs"));
  Run("other/m/r");
  EXPECT_THAT(FailureOf(std::nullopt), HasSubstr("moescope-runs"));
  const fs::path a = Run("moescope-runs/a/r"), b = Run("moescope-runs/org/b/r");
  const auto now = fs::file_time_type::clock::now();
  fs::last_write_time(a / "analysis_config.json", now - std::chrono::hours(2));
  fs::last_write_time(b / "analysis_config.json", now - std::chrono::hours(1));
  EXPECT_EQ(FindRun(std::nullopt), b);
  folder_.Write("moescope-runs/a/r/logs/run_context.json");  // filled just now
  EXPECT_EQ(FindRun(std::nullopt), a);
}

}  // namespace
}  // namespace moe
