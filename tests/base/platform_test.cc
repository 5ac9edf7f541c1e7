#include "base/platform.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "base/machine.h"
#include "base/read_speed.h"
#include "base/temp_folder.h"

namespace moe {
namespace {

TEST(FileSystemOf, NamesWhatIsUnderAPath) {
  const TempFolder folder;
  const auto system = FileSystemOf(folder.path());
  ASSERT_TRUE(system.has_value());
  EXPECT_FALSE(system->name.empty());
  EXPECT_EQ(FileSystemOf(folder.path() / "absent"), std::nullopt);
#if defined(__linux__)
  EXPECT_FALSE(FileSystemOf("/proc")->network);
#endif
}

TEST(ProgramFile, IsThisTest) { EXPECT_EQ(ProgramFile().filename(), "base_test"); }

TEST(ThisMachine, HasCoresAndMemory) {
  const Machine machine = ThisMachine();
  EXPECT_EQ(std::count(machine.system.begin(), machine.system.end(), ' '), 2) << machine.system;
  EXPECT_GE(machine.cores, 1u);
  EXPECT_GT(machine.memory_bytes, uint64_t{64} << 20);
  EXPECT_LT(machine.memory_limit_bytes.value_or(0), machine.memory_bytes);
}

TEST(MeasureReading, ReadsTheLargestFileUpToALimit) {
  const TempFolder folder;
  folder.Write("small", "few bytes");
  folder.Write("large", std::string(1000, 'w'));
  folder.Write("below/larger", std::string(2000, 'w'));  // as in a folder of models
  const auto all = MeasureReading(folder.path(), 5000);
  ASSERT_TRUE(all.has_value()) << all.error().Text();
  EXPECT_EQ(all->file, folder.path() / "below" / "larger");
  EXPECT_EQ(all->bytes, 2000u);
  EXPECT_GT(all->seconds, 0);
  EXPECT_EQ(MeasureReading(folder.path(), 100)->bytes, 100u);
}

TEST(MeasureReading, SaysWhatCannotBeTimed) {
  const TempFolder folder;
  folder.Write("empty");
  EXPECT_EQ(MeasureReading(folder.path(), 100).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(MeasureReading(folder.path() / "absent", 100).error().code, ErrorCode::kIo);
  EXPECT_EQ(MeasureReading(folder.path() / "empty", 100).error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace moe
